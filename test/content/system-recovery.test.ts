// The shipped strategies for hosts at work: a real disk is full, real processes leak, lock each other out and may not write.
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { JsonObject } from '../../src/base/json.ts';
import { startEngine } from '../support/engine.ts';
import type { EngineUnderTest } from '../support/engine.ts';
import { root, until } from '../support/servers.ts';
import { SERVICE_NAME, startService } from '../support/service.ts';
import type { Service, Settings } from '../support/service.ts';
import { HOUR, fileOfAge, itAsRoot, mountSmallDisk, percentUsed } from '../support/small-disk.ts';
import { countOrders, makeDatabase } from '../support/sqlite-files.ts';

let folder: string;
let amends: EngineUnderTest;
const services: Service[] = [];
const disks: Array<{ unmount(): void }> = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'amends-system-'));
  chmodSync(folder, 0o755);
});
afterEach(async () => {
  await amends.close();
  for (const service of services.splice(0)) await service.end();
  for (const disk of disks.splice(0)) disk.unmount();
  rmSync(folder, { recursive: true, force: true });
});

const begin = async (
  connect: JsonObject,
  hosts: readonly string[] = [],
  commands: readonly string[] = [],
): Promise<void> => {
  const config = {
    version: 1,
    rule_files: [`${root}rules/system/*.json`],
    runbook_files: [`${root}runbooks/system/*.yaml`],
    recovery: { mode: 'auto' },
    components: {
      hosts: {
        kind: 'system',
        inventory: { static: [{ target: 'one', connect }] },
        allow: {
          actions: [
            'files.*',
            'process.*',
            'service.*',
            'sqlite.*',
            'locks.*',
            'http.*',
            'wait.*',
            'command.*',
            'inbox.*',
            'triage.*',
          ],
        },
      },
    },
    allow: { paths: [folder], hosts, commands: [process.execPath, ...commands] },
  };
  // JSON is YAML.
  amends = await startEngine({ config: JSON.stringify(config), files: {} });
};
const fire = (alertname: string): Promise<void> =>
  amends.post([{ labels: { alertname, component: 'hosts', target: 'one', severity: 'critical' } }]);
const serve = async (settings: Settings, ...rest: readonly string[]): Promise<Service> => {
  const service = await startService(folder, settings, ...(rest.length === 0 ? [] : [rest]));
  services.push(service);
  return service;
};

const newest = async (strategy?: string) => {
  const runs = (await amends.list('runs')).toSorted((left, right) => right.createdAt - left.createdAt);
  const run = runs.find((one) => strategy === undefined || one.strategy === strategy);
  if (run === undefined) throw new Error(`no run; decisions: ${JSON.stringify(await amends.list('decisions'))}`);
  const events = (await amends.store.run(run.id))?.events.map(({ event }) => event) ?? [];
  return {
    run,
    events: JSON.stringify(events),
    outputs: (step: string): JsonObject => {
      const found = events.findLast(
        (event) => (event.type === 'step_succeeded' || event.type === 'step_failed') && event.step === step,
      );
      return found !== undefined && 'outputs' in found ? found.outputs : {};
    },
  };
};
const approve = async (): Promise<void> => {
  const { run } = await newest();
  expect(run).toMatchObject({ state: 'awaiting_approval' });
  const answer = await amends.engine.desk.approve({ runId: run.id, step: null, by: 'ann', comment: 'go on' });
  expect(answer).toMatchObject({ ok: true });
  await amends.settle();
};
/** What was not finished; the rest of the record helps to see why. */
const expectResolved = async (strategy: string): Promise<Awaited<ReturnType<typeof newest>>> => {
  const found = await newest(strategy);
  if (found.run.outcome !== 'resolved') throw new Error(`${found.run.outcome} ${found.run.cause}: ${found.events}`);
  return found;
};

const OLD = 25 * HOUR;
const MB = 2 ** 20;

describe('a full disk', () => {
  itAsRoot(
    'R14 R2: at 95% goes under 80% by itself, and nothing young, linked, elsewhere or behind a link is gone',
    async () => {
      const disk = mountSmallDisk(folder, 60);
      disks.push(disk);
      const outside = fileOfAge(join(disk.path, 'data/precious'), 400 * HOUR, 4 * MB);
      const young = fileOfAge(join(disk.path, 'cache/young'), 23 * HOUR, 22 * MB);
      for (let file = 0; file < 15; file += 1) fileOfAge(join(disk.path, `cache/deep/er/old-${file}`), OLD, MB);
      const shared = fileOfAge(join(disk.path, 'cache/shared'), OLD, MB);
      linkSync(shared, join(disk.path, 'data/shared'));
      symlinkSync(join(disk.path, 'data'), join(disk.path, 'cache/way-out'));
      const log = fileOfAge(join(disk.path, 'logs/app.log'), HOUR, 15 * MB);
      expect(percentUsed(disk.path)).toBeGreaterThanOrEqual(95);
      await begin({ path: disk.path, roots: [join(disk.path, 'cache')], logs: [join(disk.path, 'logs')] });
      await fire('DiskFull');
      const { run, outputs } = await expectResolved('disk_cleanup');
      expect(run).toMatchObject({ rule: 'system-disk-full', cause: 'verified' });
      expect(percentUsed(disk.path)).toBeLessThan(80);
      expect(outputs('steps/clean')).toMatchObject({
        files_deleted: 15,
        failed: 0,
        kept: { young: 1, linked: 1, not_plain: 1 },
      });
      expect(outputs('steps/rotate')).toMatchObject({ files_rotated: 1, bytes_before: 15 * MB });
      for (const path of [outside, young, shared, join(disk.path, 'data/shared'), log])
        expect([path, existsSync(path)]).toEqual([path, true]);
      expect(statSync(outside).size).toBe(4 * MB);
      expect(statSync(log).size).toBe(0);
      // Seen by who asks: which files went, and how full it was.
      expect(outputs('steps/clean')['first_files']).toContain(join(disk.path, 'cache/deep/er/old-0'));
      expect(outputs('before/usage')['disk_used_percent']).toBeGreaterThanOrEqual(95);
    },
  );

  itAsRoot(
    'F60: a clean-up that frees nothing is not verified, is not widened, and a human gets it with the evidence',
    async () => {
      const disk = mountSmallDisk(folder, 20);
      disks.push(disk);
      const elsewhere = fileOfAge(join(disk.path, 'data/old'), 400 * HOUR, 17 * MB);
      fileOfAge(join(disk.path, 'cache/young'), HOUR, 2 * MB);
      await begin({ path: disk.path, roots: [join(disk.path, 'cache')] });
      await fire('DiskFull');
      expect((await newest()).run).toMatchObject({ outcome: 'unresolved', cause: 'not_verified' });
      amends.clock.advance(301_000);
      await amends.settle();
      amends.clock.advance(301_000);
      await amends.settle();
      await fire('DiskFull');
      const runs = await amends.list('runs');
      expect(runs.map(({ cause }) => cause)).toEqual(['not_verified', 'not_verified']);
      expect((await newest()).outputs('steps/clean')).toMatchObject({
        files_found: 0,
        files_deleted: 0,
        kept: { young: 1 },
      });
      expect(existsSync(elsewhere)).toBe(true);
      const inbox = (await amends.list('inbox')).filter(({ kind }) => kind === 'escalation');
      expect(inbox).toMatchObject([{ severity: 'SEV2', status: 'open', count: 1 }]);
      expect(JSON.stringify(inbox[0]?.body)).toContain('du -xh');
    },
  );
});

describe('a process that leaks', () => {
  const named = (service: Service): JsonObject => ({ pid_file: service.pidFile, processes: [SERVICE_NAME] });

  it('R15 R2: memory comes back when the process is asked by signal to collect', async () => {
    const service = await serve({ leakMegabytes: 150 });
    const before = service.pid();
    await begin({ ...named(service), collect_signal: 'USR2' });
    await fire('MemoryLeak');
    const { outputs } = await expectResolved('memory_gc');
    expect(outputs('steps/measure')['freed_bytes']).toBeGreaterThan(100 * MB);
    expect(outputs('before/baseline')['rss_bytes']).toBeGreaterThan(150 * MB);
    expect(await service.state()).toMatchObject({ pid: before, garbage: 0, collected: 1 });
  });

  it('R15: by endpoint; what is held on to is handed to a human, who is asked for the restart', async () => {
    const service = await serve({ leakMegabytes: 40, deaf: true });
    await begin(
      { ...named(service), collect_url: `http://127.0.0.1:${service.port()}/collect`, service: service.connect },
      [`127.0.0.1:${service.port()}`],
    );
    await fire('MemoryLeak');
    expect((await newest('memory_gc')).run).toMatchObject({ outcome: 'unresolved', cause: 'not_verified' });
    expect(await service.state()).toMatchObject({ collected: 1, garbage: 40 });
    expect((await newest()).run).toMatchObject({ strategy: 'out_of_memory', state: 'awaiting_approval' });
  });

  it('O5: out of memory, by approval, with a smaller batch: restarted, its embedding service too, and both stay up', async () => {
    const service = await serve({ leakMegabytes: 100, batchSize: 100 });
    const embeddings = await serve({});
    const before = [service.pid(), embeddings.pid()];
    const script = join(folder, 'batch-size.mjs');
    writeFileSync(
      script,
      `import { writeFileSync } from 'node:fs'; writeFileSync(${JSON.stringify(join(service.folder, 'settings.json'))}, JSON.stringify({ batchSize: Number(process.argv[2]) }));`,
    );
    await begin({
      ...named(service),
      service: service.connect,
      embeddings: embeddings.connect,
      batch_down: [process.execPath, script, '50'],
    });
    await fire('HighMemoryUsage');
    expect(await service.state()).toMatchObject({ batch_size: 100, pid: before[0] });
    await approve();
    const { outputs } = await expectResolved('out_of_memory');
    expect(outputs('steps/restart')).toMatchObject({ main_pid_before: before[0], active: true });
    expect(await service.state()).toMatchObject({ batch_size: 50, garbage: 0 });
    expect(service.pid()).not.toBe(before[0]);
    expect(embeddings.pid()).not.toBe(before[1]);
  }, 60_000);

  it('O5 F55: one that crashes at every start is not called recovered', async () => {
    const service = await serve({});
    await begin({ ...named(service), service: service.connect });
    service.configure({ crashAfter: 500 });
    await fire('HighMemoryUsage');
    await approve();
    const first = (await amends.list('runs')).find(({ outcome }) => outcome !== null);
    expect(first).toMatchObject({ outcome: 'unresolved', cause: 'step_failed' });
    const events = JSON.stringify((await amends.store.run(first?.id ?? ''))?.events);
    expect(events).toContain('does not stay up');
  }, 90_000);

  it('R16: handles are let go of and the limit is raised to the declared maximum, once a human agrees', async () => {
    const service = await serve({ handles: 350 });
    execFileSync('prlimit', ['--pid', String(service.pid()), '--nofile=400:']);
    await begin({ ...named(service), release_signal: 'HUP', max_open_files: 1_000 });
    await fire('FileHandlesExhausted');
    expect(await service.state()).toMatchObject({ handles: 350 });
    await approve();
    const { outputs } = await expectResolved('file_handle_cleanup');
    expect(outputs('before/list')).toMatchObject({ soft_limit: 400 });
    expect(outputs('steps/raise')).toMatchObject({ raised: true, soft_limit: 1_000 });
    expect(await service.state()).toMatchObject({ handles: 0 });
    expect(readFileSync(`/proc/${service.pid()}/limits`, 'utf8')).toMatch(/^Max open files +1000 /m);
  });
});

describe('writers that lock each other out', () => {
  const program = join(root, 'test/support/shop-backend.mjs');
  const given = async (
    hogs: number,
  ): Promise<{ database: ReturnType<typeof makeDatabase>; backend: Service; connect: JsonObject }> => {
    const database = makeDatabase(folder, 'wal');
    mkdirSync(database.backups);
    const backend = await serve({ database: database.path } as Settings, program);
    let writers: Service | null = null;
    for (let hog = 0; hog < hogs; hog += 1)
      writers = await serve({ database: database.path, hog: true } as Settings, program);
    // The port has to be the same after a restart.
    backend.configure({ database: database.path, port: backend.port() } as Settings);
    const at = `http://127.0.0.1:${backend.port()}`;
    return {
      database,
      backend,
      connect: {
        path: database.path,
        backups: database.backups,
        holders: [SERVICE_NAME],
        service: backend.connect,
        ...(writers === null ? {} : { writers: writers.connect }),
        write_url: `${at}/orders`,
        health_url: `${at}/healthz`,
        ready_url: `${at}/readyz`,
      },
    };
  };

  it('P3: the hot writer is stopped, the backend restarted, one write goes through, and the writer may go on', async () => {
    const { database, backend, connect } = await given(1);
    const before = backend.pid();
    expect((await fetch(connect['write_url'] as string, { method: 'POST' })).status).toBe(503);
    await begin(connect, [`127.0.0.1:${backend.port()}`]);
    await fire('SqliteLockContention');
    const { outputs } = await expectResolved('lock_contention');
    expect(outputs('before/triage_holders')).toMatchObject({ blocking_count: 1 });
    expect(outputs('before/triage_health')).toMatchObject({ status: expect.any(Number) });
    expect(outputs('before/triage_record')).toMatchObject({ recent_events: expect.any(Array), open_inbox: [] });
    expect(outputs('steps/stop_writers')).toMatchObject({ changed: true, active: false });
    expect(outputs('steps/restart')).toMatchObject({ main_pid_before: before });
    expect(outputs('steps/write')).toMatchObject({ status: 200 });
    expect(countOrders(database.path)).toBe(501);
    expect(outputs('on_success/start_writers')).toMatchObject({ active: true });
  }, 60_000);

  it('P3: when the write still fails a human is asked, and the planned rollback takes one migration back behind a backup', async () => {
    const { database, backend, connect } = await given(0);
    const script = join(folder, 'migrate-down.mjs');
    writeFileSync(
      script,
      `import Database from ${JSON.stringify(import.meta.resolve('better-sqlite3'))};
       const file = new Database(${JSON.stringify(database.path)}); file.exec('DROP TRIGGER refuse'); file.pragma('user_version = 1'); console.log('down to 1');`,
    );
    execFileSync(process.execPath, [
      '--input-type=module',
      '-e',
      `import Database from ${JSON.stringify(import.meta.resolve('better-sqlite3'))}; const file = new Database(${JSON.stringify(database.path)});
       file.exec("CREATE TRIGGER refuse BEFORE INSERT ON orders BEGIN SELECT RAISE(ABORT, 'database is locked'); END"); file.pragma('user_version = 2');`,
    ]);
    await begin({ ...connect, migrate_down: [process.execPath, script] }, [`127.0.0.1:${backend.port()}`]);
    await fire('SqliteLockContention');
    expect((await newest('lock_contention')).run).toMatchObject({ outcome: 'unresolved', cause: 'step_failed' });
    expect((await newest()).run).toMatchObject({ strategy: 'planned_rollback', state: 'awaiting_approval' });
    await approve();
    amends.clock.advance(301_000);
    await amends.settle();
    const { outputs } = await expectResolved('planned_rollback');
    expect(outputs('steps/migrate_down')).toMatchObject({
      exit_code: 0,
      schema_changed: true,
      stdout: expect.stringContaining('down to 1'),
    });
    expect(outputs('steps/backup')).toMatchObject({ checked: true });
    expect((await fetch(connect['write_url'] as string, { method: 'POST' })).status).toBe(200);
    expect(countOrders(database.path)).toBe(502);
  }, 90_000);
});

describe('a path that a service may not use', () => {
  const workspace = (): { path: string; connect: JsonObject } => {
    const path = join(folder, 'workspace');
    mkdirSync(path);
    chmodSync(path, 0o700);
    return { path, connect: { path, owner: 'nobody', group: 'nogroup', mode: '0750', account: 'nobody' } };
  };
  const writesAsNobody = (path: string): boolean => {
    try {
      execFileSync('setpriv', ['--reuid=65534', '--regid=65534', '--clear-groups', '--', 'touch', join(path, 'file')], {
        stdio: 'ignore',
      });
      return true;
    } catch {
      return false;
    }
  };

  itAsRoot('P4: gets its declared owner and mode, and the account writes again', async () => {
    const { path, connect } = workspace();
    expect(writesAsNobody(path)).toBe(false);
    await begin(connect);
    await fire('FilePermissionErrors');
    const { outputs } = await expectResolved('file_permissions');
    expect(outputs('before/triage_record')).toMatchObject({ recent_events: expect.any(Array) });
    expect(outputs('before/look')).toMatchObject({ accessible: false, owner: 'root', mode: '0700', blocked_at: path });
    expect(outputs('steps/mend')).toMatchObject({ changed: true, owner: 'nobody', mode: '0750', owner_before: '0' });
    expect(writesAsNobody(path)).toBe(true);
  });

  itAsRoot(
    'P4: what a declared mend does not open asks for the manual step, by name, and changes nothing above',
    async () => {
      const { path, connect } = workspace();
      chmodSync(folder, 0o700);
      chownSync(folder, 0, 0);
      await begin(connect);
      await fire('FilePermissionErrors');
      await until('it was handed over', async () => (await amends.list('inbox')).length >= 2);
      expect((await newest()).run).toMatchObject({ outcome: 'unresolved' });
      const inbox = await amends.list('inbox');
      const manual = inbox.find(({ title }) => title === `Manual step: let nobody write ${path}`);
      expect(JSON.stringify(manual?.body)).toContain(`nobody may not enter ${folder}`);
      expect((statSync(folder).mode & 0o777).toString(8)).toBe('700');
      expect(await amends.list('runs')).toHaveLength(1);
    },
  );
});

describe('by hand', () => {
  itAsRoot('R2: the failure types disk_full and memory_leak are decided by the rules as their strategies', async () => {
    const disk = mountSmallDisk(folder, 10);
    disks.push(disk);
    fileOfAge(join(disk.path, 'cache/old'), OLD, 9 * MB);
    const service = await serve({ leakMegabytes: 60 });
    await begin({
      path: disk.path,
      roots: [join(disk.path, 'cache')],
      pid_file: service.pidFile,
      processes: [SERVICE_NAME],
      collect_signal: 'USR2',
    });
    for (const [failureType, strategy] of [
      ['disk_full', 'disk_cleanup'],
      ['memory_leak', 'memory_gc'],
    ] as const) {
      const answer = await amends.engine.desk.recover({
        component: 'hosts',
        target: null,
        strategy: null,
        failureType,
        inputs: {},
        context: {},
        requireApproval: false,
        overrideCooldown: false,
        reason: 'a drill',
        by: 'ann',
      });
      expect(answer).toMatchObject({ ok: true, value: { reason: 'admitted' } });
      await amends.settle();
      await expectResolved(strategy);
      amends.clock.advance(61_000);
    }
  });
});
