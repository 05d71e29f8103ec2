// A host: a real small file system that fills up, a process that leaks memory or holds on to files, one that is out of
// memory, writers that lock each other out, and a path that its account may not use any more.
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, chownSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root as checkout, until } from '../test/support/servers.ts';
import { SERVICE_NAME, startService } from '../test/support/service.ts';
import { HOUR, fileOfAge, mountSmallDisk, percentUsed } from '../test/support/small-disk.ts';
import { countOrders, makeDatabase } from '../test/support/sqlite-files.ts';
import { changedRules, uncapped } from './rules.mjs';

const SOURCE = 'recovery-and-failover';
const MEGABYTES = 64;
const FULL = 95;
const OLD_MS = 48 * HOUR;
const LEAK_MB = 150;
const HANDLES = 350;
const NOBODY = 65_534;
const PROGRAM = join(checkout, 'test/support/shop-backend.mjs');

export const available = () => (process.getuid?.() === 0 ? null : 'a small file system can be mounted by root alone');

const told = (argv) => void execFileSync(argv[0], argv.slice(1), { stdio: 'ignore' });

export const prepare = async ({ folder, root }) => {
  chmodSync(folder, 0o755);
  const disk = mountSmallDisk(folder, MEGABYTES);
  const cache = join(disk.path, 'cache');
  const young = fileOfAge(join(cache, 'young'), HOUR, 1_000_000);
  const ruleFiles = changedRules({ root, folder }, 'system', {
    'system-disk-full': uncapped,
    'system-file-permissions': uncapped,
  });
  let made = 0;

  const [leaky, greedy, large] = [
    await startService(folder, { leakMegabytes: LEAK_MB }),
    await startService(folder, { handles: HANDLES }),
    await startService(folder, { batchSize: 100 }),
  ];
  /** As it is after it has worked for long. */
  const worn = async (service, settings) => {
    const before = service.pid();
    service.configure(settings);
    told(service.connect.restart);
    await until('it runs anew', async () => service.pid() !== before && (await service.state()).pid === service.pid());
  };
  const halve = join(folder, 'batch-size.mjs');
  writeFileSync(
    halve,
    `import { writeFileSync } from 'node:fs'; writeFileSync(${JSON.stringify(join(large.folder, 'settings.json'))}, '{"batchSize":50}');`,
  );
  const named = (service) => ({ pid_file: service.pidFile, processes: [SERVICE_NAME] });

  const database = makeDatabase(folder, 'wal');
  mkdirSync(database.backups);
  const backend = await startService(folder, { database: database.path }, [PROGRAM]);
  backend.configure({ database: database.path, port: backend.port() });
  const writers = await startService(folder, { database: database.path }, [PROGRAM]);
  const at = `http://127.0.0.1:${backend.port()}`;
  const order = async () => (await fetch(`${at}/orders`, { method: 'POST' })).status;

  // Its account has to get through all the folders above it.
  const path = mkdtempSync('/tmp/amends-drill-workspace-');
  const writes = () => spawnSync('/usr/bin/touch', [join(path, 'file')], { uid: NOBODY, gid: NOBODY }).status === 0;

  const faults = [
    {
      name: `a disk of ${MEGABYTES} MB, ${FULL}% full`,
      target: 'disk',
      strategy: 'disk_cleanup',
      alertname: 'DiskFull',
      figureMs: 10_000,
      break() {
        while (percentUsed(disk.path) < FULL) fileOfAge(join(cache, `old-${(made += 1)}`), OLD_MS, 1_000_000);
      },
      healthy: () => percentUsed(disk.path) < 80 && readFileSync(young).length === 1_000_000,
    },
    {
      name: `${LEAK_MB} MB of garbage`,
      target: 'leaky',
      strategy: 'memory_gc',
      alertname: 'MemoryLeak',
      break: () => worn(leaky, { leakMegabytes: LEAK_MB }),
      healthy: async () => (await leaky.state()).garbage === 0,
    },
    {
      name: `${HANDLES} of 400 files open`,
      target: 'greedy',
      strategy: 'file_handle_cleanup',
      alertname: 'FileHandlesExhausted',
      asks: true,
      async break() {
        await worn(greedy, { handles: HANDLES });
        told(['prlimit', '--pid', String(greedy.pid()), '--nofile=400:']);
      },
      healthy: async () =>
        (await greedy.state()).handles === 0 &&
        /^Max open files +1000 /m.test(readFileSync(`/proc/${greedy.pid()}/limits`, 'utf8')),
    },
    {
      name: 'out of memory',
      source: 'operations-runbook',
      target: 'large',
      strategy: 'out_of_memory',
      alertname: 'HighMemoryUsage',
      asks: true,
      break: () => worn(large, { batchSize: 100, leakMegabytes: 50 }),
      healthy: async () => {
        const { batch_size: batchSize, garbage } = await large.state();
        return batchSize === 50 && garbage === 0;
      },
    },
    {
      name: 'writers that lock each other out',
      source: 'phase5-recovery-sop',
      target: 'writers',
      strategy: 'lock_contention',
      alertname: 'SqliteLockContention',
      async break() {
        // A batch job whose transaction does not end this time; started anew, it works as it should.
        writers.configure({ database: database.path, hog: true });
        told(writers.connect.restart);
        await until('orders are refused', async () => (await order()) === 503);
        writers.configure({ database: database.path });
      },
      healthy: async () => (await order()) === 200 && countOrders(database.path) > 500,
    },
    {
      name: 'a path that is not its own',
      source: 'phase5-recovery-sop',
      target: 'path',
      strategy: 'file_permissions',
      alertname: 'FilePermissionErrors',
      break() {
        chmodSync(path, 0o700);
        chownSync(path, 0, 0);
      },
      healthy: writes,
    },
  ].map((fault) => ({ source: SOURCE, figureMs: null, ...fault }));
  return {
    ruleFiles,
    component: {
      inventory: {
        static: [
          { target: 'disk', connect: { path: disk.path, roots: [cache] } },
          { target: 'leaky', connect: { ...named(leaky), collect_signal: 'USR2' } },
          { target: 'greedy', connect: { ...named(greedy), release_signal: 'HUP', max_open_files: 1_000 } },
          {
            target: 'large',
            connect: { ...named(large), service: large.connect, batch_down: [process.execPath, halve] },
          },
          {
            target: 'writers',
            connect: {
              path: database.path,
              backups: database.backups,
              holders: [SERVICE_NAME],
              service: backend.connect,
              writers: writers.connect,
              write_url: `${at}/orders`,
              health_url: `${at}/healthz`,
              ready_url: `${at}/readyz`,
            },
          },
          {
            target: 'path',
            connect: { path, account: 'nobody', owner: 'nobody', group: 'nogroup', mode: '0750' },
          },
        ],
      },
      allow: { actions: ['*'] },
    },
    allow: { paths: [folder, disk.path, path], hosts: [new URL(at).host], commands: [process.execPath] },
    faults,
    async close() {
      for (const service of [leaky, greedy, large, writers, backend]) await service.end();
      rmSync(path, { recursive: true, force: true });
      disk.unmount();
    },
  };
};
