// A started amends beside the host it looks after: a small file system, a supervised process, a database whose writers
// lock each other out, a path that its service may not use. Each is broken for real and looked at from outside.
import { execFileSync, spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { JsonObject } from '../../src/base/json.ts';
import { SERVICE_NAME, startService } from '../support/service.ts';
import type { Service, Settings } from '../support/service.ts';
import { root, startedHere, until } from '../support/servers.ts';
import { resolved, startShipped } from '../support/shipped.ts';
import type { Shipped } from '../support/shipped.ts';
import { HOUR, fileOfAge, itAsRoot, mountSmallDisk, percentUsed } from '../support/small-disk.ts';
import { countOrders, makeDatabase } from '../support/sqlite-files.ts';

const MB = 1_000_000;

const servers = startedHere();
let folder: string;
let amends: Shipped | null = null;
const services: Service[] = [];
const disks: Array<ReturnType<typeof mountSmallDisk>> = [];

beforeEach(async () => {
  folder = await servers.folder();
});
afterEach(async () => {
  await amends?.stop();
  amends = null;
  for (const service of services.splice(0)) await service.end();
  for (const disk of disks.splice(0)) disk.unmount();
});
afterAll(() => servers.stopAll());

const begin = async (connect: JsonObject, hosts: readonly string[] = []): Promise<Shipped> => {
  amends = await startShipped(servers, {
    kinds: ['system'],
    components: {
      hosts: {
        kind: 'system',
        inventory: { static: [{ target: 'one', connect }] },
        allow: { actions: ['*'] },
      },
    },
    allow: { paths: [folder], hosts, commands: [process.execPath] },
  });
  return amends;
};
const serve = async (settings: object, ...program: readonly string[]): Promise<Service> => {
  const service = await startService(folder, settings, ...(program.length === 0 ? [] : [program]));
  services.push(service);
  return service;
};
const named = (service: Service): JsonObject => ({ pid_file: service.pidFile, processes: [SERVICE_NAME] });

describe('a host and a started amends', () => {
  itAsRoot(
    'R2 R14 a full disk is freed of what is old in the declared folder after the webhook, and of nothing else',
    async () => {
      const disk = mountSmallDisk(folder, 20);
      disks.push(disk);
      mkdirSync(join(disk.path, 'cache'));
      const old = fileOfAge(join(disk.path, 'cache/old'), 48 * HOUR, 14 * MB);
      const young = fileOfAge(join(disk.path, 'cache/young'), HOUR, MB);
      const elsewhere = fileOfAge(join(disk.path, 'elsewhere'), 48 * HOUR, 3 * MB);
      const { fire, ended } = await begin({ path: disk.path, roots: [join(disk.path, 'cache')] });
      expect(percentUsed(disk.path)).toBeGreaterThan(85);
      await fire('DiskFull', 'hosts', 'one');
      expect(await ended('disk_cleanup')).toMatchObject(resolved('disk_cleanup'));
      expect(percentUsed(disk.path)).toBeLessThan(80);
      expect([old, young, elsewhere].map((path) => existsSync(path))).toEqual([false, true, true]);
    },
    60_000,
  );

  it('R2 R15 a process that leaks gives its memory back after the webhook, and goes on', async () => {
    const service = await serve({ leakMegabytes: 150 });
    const rss = (): number => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${service.pid()}/status`, 'utf8'))?.[1]);
    const [before, pid] = [rss(), service.pid()];
    const { fire, ended } = await begin({ ...named(service), collect_signal: 'USR2' });
    await fire('MemoryLeak', 'hosts', 'one');
    expect(await ended('memory_gc')).toMatchObject(resolved('memory_gc'));
    expect(before - rss()).toBeGreaterThan(100_000);
    expect(service.pid()).toBe(pid);
  }, 60_000);

  it('R16 file handles are let go of, and the limit is raised, once a human says yes', async () => {
    const service = await serve({ handles: 350 });
    execFileSync('prlimit', ['--pid', String(service.pid()), '--nofile=400:']);
    const { ask, approved } = await begin({ ...named(service), release_signal: 'HUP', max_open_files: 1_000 });
    await ask(0, 'recover', '--component=hosts', '--failure-type=file_handle_exhaustion', '--reason=no more files');
    expect(await approved('file_handle_cleanup')).toMatchObject(resolved('file_handle_cleanup'));
    expect(await service.state()).toMatchObject({ handles: 0 });
    expect(readFileSync(`/proc/${service.pid()}/limits`, 'utf8')).toMatch(/^Max open files +1000 /m);
  }, 60_000);

  it('O5 a service that is out of memory runs anew with a smaller batch, once a human says yes', async () => {
    const service = await serve({ leakMegabytes: 50, batchSize: 100 });
    const before = service.pid();
    const script = join(folder, 'batch-size.mjs');
    writeFileSync(
      script,
      `import { writeFileSync } from 'node:fs'; writeFileSync(${JSON.stringify(join(service.folder, 'settings.json'))}, '{"batchSize":50}');`,
    );
    const { fire, approved } = await begin({
      ...named(service),
      service: service.connect,
      batch_down: [process.execPath, script],
    });
    await fire('HighMemoryUsage', 'hosts', 'one');
    expect(await approved('out_of_memory')).toMatchObject(resolved('out_of_memory'));
    expect(await service.state()).toMatchObject({ batch_size: 50, garbage: 0 });
    expect(service.pid()).not.toBe(before);
  }, 60_000);

  it('P3 P1 writers that lock each other out: the hot one is stopped, orders go through again, and triage is on the run', async () => {
    const program = join(root, 'test/support/shop-backend.mjs');
    const database = makeDatabase(folder, 'wal');
    mkdirSync(database.backups);
    const backend = await serve({ database: database.path }, program);
    const writers = await serve({ database: database.path, hog: true }, program);
    backend.configure({ database: database.path, port: backend.port() } as Settings);
    const at = `http://127.0.0.1:${backend.port()}`;
    const order = async (): Promise<number> => (await fetch(`${at}/orders`, { method: 'POST' })).status;
    expect(await order()).toBe(503);
    const { fire, ended, ask } = await begin(
      {
        path: database.path,
        backups: database.backups,
        holders: [SERVICE_NAME],
        service: backend.connect,
        writers: writers.connect,
        write_url: `${at}/orders`,
        health_url: `${at}/healthz`,
        ready_url: `${at}/readyz`,
      },
      [`127.0.0.1:${backend.port()}`],
    );
    await fire('SqliteLockContention', 'hosts', 'one');
    const run = await ended('lock_contention');
    expect(run).toMatchObject(resolved('lock_contention'));
    expect(countOrders(database.path)).toBe(501);
    expect(JSON.stringify(await ask(0, 'runs', 'show', String(run['id'])))).toContain('before/triage_holders');
  }, 60_000);

  itAsRoot(
    'P4 a path that its service may not use is its own again, and the account writes',
    async () => {
      const path = mkdtempSync('/tmp/amends-workspace-');
      try {
        chmodSync(path, 0o700);
        chownSync(path, 0, 0);
        const writes = (): boolean =>
          spawnSync('/usr/bin/touch', [join(path, 'file')], { uid: 65_534, gid: 65_534 }).status === 0;
        expect(writes()).toBe(false);
        const started = await startShipped(servers, {
          kinds: ['system'],
          components: {
            hosts: {
              kind: 'system',
              inventory: {
                static: [
                  {
                    target: 'one',
                    connect: { path, account: 'nobody', owner: 'nobody', group: 'nogroup', mode: '0750' },
                  },
                ],
              },
              allow: { actions: ['files.*', 'inbox.*', 'triage.*'] },
            },
          },
          allow: { paths: [path] },
        });
        amends = started;
        await started.fire('FilePermissionErrors', 'hosts', 'one');
        expect(await started.ended('file_permissions')).toMatchObject(resolved('file_permissions'));
        await until('the account writes', writes);
        expect(statSync(path).uid).toBe(65_534);
      } finally {
        rmSync(path, { recursive: true, force: true });
      }
    },
    60_000,
  );
});
