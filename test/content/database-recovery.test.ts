// The shipped database strategies at work: an alert is taken in, real SQLite files are mended, real processes hold locks.
import type { ChildProcess } from 'node:child_process';
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { JsonObject } from '../../src/base/json.ts';
import { startEngine } from '../support/engine.ts';
import type { EngineUnderTest } from '../support/engine.ts';
import { endHolder, startHolder } from '../support/holder.ts';
import { root, until } from '../support/servers.ts';
import { addOrders, breakHeader, breakPages, countOrders, makeDatabase } from '../support/sqlite-files.ts';

type Mode = Parameters<typeof makeDatabase>[1];
type Files = ReturnType<typeof makeDatabase>;

let folder: string;
let files: Files;
let amends: EngineUnderTest;
const holders: ChildProcess[] = [];

const configFor = ({ folder: at, path, backups }: Files): string => `
version: 1
rule_files: ["${root}rules/database/*.json"]
runbook_files: ["${root}runbooks/database/*.yaml"]
recovery: { mode: auto }
components:
  shop-db:
    kind: database
    inventory:
      static: [ { target: orders, connect: { path: "${path}", backups: "${backups}", holders: [lock-holder], schema_file: "${at}/schema.sql" } } ]
    allow: { actions: ["sqlite.*", "locks.*", "inbox.*", "triage.*"] }
allow: { paths: ["${at}"] }
degraded_modes: { database_unavailable: { available: [reading], unavailable: [ordering], impact: "no orders" } }
`;

const begin = async (mode: Mode = 'wal'): Promise<void> => {
  files = makeDatabase(folder, mode);
  mkdirSync(files.backups);
  writeFileSync(join(files.folder, 'schema.sql'), 'CREATE TABLE orders (id INTEGER PRIMARY KEY, what TEXT);');
  amends = await startEngine({ config: configFor(files), files: {} });
};

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'amends-content-'));
});
afterEach(async () => {
  for (const holder of holders.splice(0)) await endHolder(holder);
  await amends.close();
  rmSync(folder, { recursive: true, force: true });
});

const fire = (alertname: string): Promise<void> =>
  amends.post([{ labels: { alertname, component: 'shop-db', target: 'orders', severity: 'critical' } }]);
const backupOf = (day: string): string => join(files.backups, `orders-202601${day}T000000000Z.db`);
const backUp = (day: string): void => copyFileSync(files.path, backupOf(day));
const hold = async (
  does: 'open' | 'read' | 'write' | 'exclusive',
  name = 'lock-holder',
  ignoreTerm = false,
): Promise<ChildProcess> => {
  const holder = await startHolder(folder, { path: files.path, does, ignoreTerm }, name);
  holders.push(holder);
  return holder;
};
const gone = ({ exitCode, signalCode }: ChildProcess): boolean => exitCode !== null || signalCode !== null;
const damaged = (): readonly string[] => readdirSync(files.backups).filter((name) => name.endsWith('.damaged'));

/** The newest run with the outputs of its steps by key. A first one that was verified took less than a minute from its alert. */
const newest = async (
  strategy?: string,
): Promise<{
  run: Awaited<ReturnType<typeof amends.list<'runs'>>>[number];
  outputs: (step: string) => JsonObject;
  path: readonly string[];
}> => {
  const runs = (await amends.list('runs')).toSorted((left, right) => right.createdAt - left.createdAt);
  const run = runs.find((one) => strategy === undefined || one.strategy === strategy);
  if (run === undefined) throw new Error(`no run; decisions: ${JSON.stringify(await amends.list('decisions'))}`);
  const events = (await amends.store.run(run.id))?.events.map(({ event }) => event) ?? [];
  if (runs.length === 1 && run.verifiedAt !== null)
    expect(run.verifiedAt - (run.alertStartedAt ?? run.createdAt)).toBeLessThan(60_000);
  return {
    run,
    path: events.flatMap((event) =>
      event.type === 'step_succeeded' || event.type === 'step_skipped' || event.type === 'step_failed'
        ? [`${event.step} ${event.type.slice(5)}`]
        : [],
    ),
    outputs: (step) => {
      const found = events.findLast(
        (event) => (event.type === 'step_succeeded' || event.type === 'step_failed') && event.step === step,
      );
      return found !== undefined && 'outputs' in found ? found.outputs : {};
    },
  };
};

describe('a missing database', () => {
  it('D2 D7 D8 is restored from the newest backup that passes its check, with evidence and times on record', async () => {
    await begin();
    backUp('01');
    addOrders(files.path, 10);
    backUp('02');
    backUp('03');
    breakPages(backupOf('03'));
    rmSync(files.path);
    await fire('DatabaseMissing');
    const { run, outputs, path } = await newest();
    expect(run).toMatchObject({ strategy: 'restore-backup', outcome: 'resolved', cause: 'verified' });
    expect(path).toEqual([
      'before/look failed',
      'before/holders succeeded',
      'before/evidence skipped',
      'steps/restore succeeded',
    ]);
    expect(outputs('steps/restore')).toMatchObject({
      restored_from: backupOf('02'),
      skipped_backups: [{ path: backupOf('03') }],
    });
    expect(countOrders(files.path)).toBe(510);
    expect(run.alertStartedAt).not.toBeNull();
    expect(run.verifiedAt).toBeGreaterThanOrEqual(run.firstStepAt ?? Infinity);
    expect(await amends.store.degraded()).toEqual([]);
  });

  it('D2 without a backup that passes a human is asked, and an empty one is created from the schema', async () => {
    await begin();
    backUp('01');
    breakHeader(backupOf('01'));
    rmSync(files.path);
    await fire('DatabaseMissing');
    // The next rung asks a human without waiting for the cooldown: that may have come about already.
    expect((await newest('restore-backup')).run).toMatchObject({ outcome: 'unresolved', cause: 'step_failed' });
    expect(await amends.store.degraded()).toMatchObject([{ mode: 'database_unavailable' }]);

    amends.clock.advance(301_000);
    await amends.settle();
    const { run } = await newest();
    expect(run).toMatchObject({ strategy: 'create-fresh', state: 'awaiting_approval' });
    expect(
      await amends.engine.desk.approve({ runId: run.id, step: null, by: 'ann', comment: 'it may be empty' }),
    ).toMatchObject({ ok: true });
    await amends.settle();
    expect((await newest()).run).toMatchObject({ strategy: 'create-fresh', outcome: 'resolved' });
    expect(countOrders(files.path)).toBe(0);
    expect((await amends.list('inbox')).filter(({ status }) => status === 'open')).toMatchObject([
      { kind: 'note', severity: 'SEV2' },
    ]);
    expect(await amends.store.degraded()).toEqual([]);
  });
});

describe('a damaged database', () => {
  it.each([
    ['whose header is gone', breakHeader],
    ['whose integrity check fails', breakPages],
  ])('D3 D7 D8 %s is replaced by the newest backup that passes, and kept as it was', async (_what, damage) => {
    await begin();
    backUp('01');
    damage(files.path);
    const before = readFileSync(files.path);
    await fire('DatabaseCorrupt');
    const { run, outputs } = await newest();
    expect(run).toMatchObject({ strategy: 'restore-backup', outcome: 'resolved' });
    expect(countOrders(files.path)).toBe(500);
    expect(outputs('before/evidence')).toMatchObject({ checked: false });
    expect(damaged()).toHaveLength(1);
    expect(readFileSync(join(files.backups, damaged()[0] ?? ''))).toEqual(before);
    expect(readFileSync(join(outputs('steps/restore')['replaced_to'] as string, 'orders.db'))).toEqual(before);
  });

  it('D3 R3 R17 that no backup can mend is tried as its attempts allow and then handed to a human once, with the evidence', async () => {
    await begin();
    backUp('01');
    breakHeader(backupOf('01'));
    breakHeader(files.path);
    await fire('DatabaseCorrupt');
    for (let attempt = 2; attempt <= 3; attempt += 1) {
      expect(await amends.list('runs')).toHaveLength(attempt - 1);
      amends.clock.advance(301_000);
      await amends.settle();
    }
    for (let hour = 0; hour < 3; hour += 1) {
      amends.clock.advance(3_600_000);
      await fire('DatabaseCorrupt');
    }
    const runs = await amends.list('runs');
    expect(runs.map(({ outcome, cause }) => [outcome, cause])).toEqual(
      [1, 2, 3].map(() => ['unresolved', 'step_failed']),
    );
    const inbox = await amends.list('inbox');
    expect(inbox).toMatchObject([{ kind: 'escalation', severity: 'SEV1', status: 'open', count: 1 }]);
    const evidence = JSON.stringify(inbox[0]?.body);
    expect(evidence).toContain('none of 1 passes its check');
    expect(evidence).toContain('orders-20260101T000000000Z.db');
    expect(evidence).toContain('What happened:');
    expect(await amends.store.degraded()).toMatchObject([{ mode: 'database_unavailable' }]);
  });

  it('D3 that a process has open is left alone until the process is stopped', async () => {
    await begin('delete');
    backUp('01');
    const reader = await hold('open', 'shop-app');
    breakPages(files.path);
    await fire('DatabaseCorrupt');
    const { run } = await newest();
    expect(run).toMatchObject({ outcome: 'unresolved', cause: 'step_failed' });
    await endHolder(reader);
    amends.clock.advance(301_000);
    await amends.settle();
    expect((await newest()).run).toMatchObject({ outcome: 'resolved' });
    expect(countOrders(files.path)).toBe(500);
  });
});

describe('a locked database', () => {
  it.each([
    ['wal', 'write', true],
    ['delete', 'write', false],
    ['delete', 'exclusive', false],
  ] as const)(
    'D4 D8 in mode %s, held by a declared process (%s; ignores TERM: %s), is let go of and loses nothing',
    async (mode, does, ignoreTerm) => {
      await begin(mode);
      const holder = await hold(does, 'lock-holder', ignoreTerm);
      await fire('DatabaseLocked');
      const { run, outputs } = await newest();
      expect(run).toMatchObject({ strategy: 'release-lock', outcome: 'resolved', cause: 'verified' });
      expect(outputs('before/holders')).toMatchObject({
        blocking_count: 1,
        own_process_locked: true,
        locking_processes: [{ pid: holder.pid, name: 'lock-holder' }],
      });
      expect(outputs('steps/release')).toMatchObject({
        lock_released: true,
        processes_stopped: 1,
        processes_killed: ignoreTerm ? 1 : 0,
      });
      await until('the holder is gone', () => gone(holder));
      expect(countOrders(files.path)).toBe(500);
      addOrders(files.path, 1);
    },
  );

  it('D4 keeps what only the WAL holds, which removing the WAL would lose', async () => {
    await begin('wal');
    // Without a connection that stays open, closing would move the WAL into the database.
    await hold('open');
    addOrders(files.path, 100);
    expect(statSync(`${files.path}-wal`).size).toBeGreaterThan(0);
    await hold('write');
    await fire('DatabaseLocked');
    expect((await newest()).run).toMatchObject({ strategy: 'release-lock', outcome: 'resolved' });
    expect(countOrders(files.path)).toBe(600);
    expect(readdirSync(files.backups).filter((name) => name.endsWith('.db'))).toHaveLength(1);
  });

  it('D4 by a process that nobody declared is left to a human, and the process is not touched', async () => {
    await begin();
    const stranger = await hold('write', 'migration');
    await fire('DatabaseLocked');
    for (let attempt = 0; attempt < 3; attempt += 1) {
      amends.clock.advance(301_000);
      await amends.settle();
    }
    expect(await amends.list('runs')).toHaveLength(3);
    expect(gone(stranger)).toBe(false);
    const inbox = await amends.list('inbox');
    expect(inbox).toMatchObject([{ kind: 'escalation', severity: 'SEV2', count: 1 }]);
    expect(JSON.stringify(inbox[0]?.body)).toContain('migration');
  });
});

describe('a database that does not answer', () => {
  it('D5 D8 is looked at again after 1 s, 2 s and 4 s, and is recovered by the first look that succeeds', async () => {
    await begin('delete');
    const holder = await hold('exclusive', 'short-job');
    const fired = fire('DatabaseTimeout');
    await until('the first look has failed', async () => {
      const run = (await amends.list('runs'))[0];
      const events = run === undefined ? [] : ((await amends.store.run(run.id))?.events ?? []);
      return events.some(({ event }) => event.type === 'step_failed' && event.step === 'steps/connect');
    });
    await endHolder(holder);
    await fired;
    const { run, path } = await newest();
    expect(run).toMatchObject({ strategy: 'retry-connection', outcome: 'resolved' });
    expect(path.filter((step) => step.startsWith('steps/'))).toEqual([
      'steps/connect failed',
      'steps/connect succeeded',
    ]);
  });

  it('D5 and is given up after the fourth look, 7 s later', async () => {
    await begin('delete');
    await hold('exclusive', 'long-job');
    await fire('DatabaseTimeout');
    const { run } = await newest();
    expect(run).toMatchObject({ strategy: 'retry-connection', outcome: 'unresolved', cause: 'step_failed' });
    const events = (await amends.store.run(run.id))?.events ?? [];
    const started = events
      .filter(({ event }) => event.type === 'step_started' && event.step === 'steps/connect')
      .map(({ at }) => at);
    const ended = events
      .filter(({ event }) => event.type === 'step_failed' && event.step === 'steps/connect')
      .map(({ at }) => at);
    const waits = ended.slice(0, -1).map((at, index) => Math.round(((started[index + 1] ?? 0) - at) / 1_000));
    expect(waits).toEqual([1, 2, 4]);
  });
});

describe('a large WAL', () => {
  it('D6 D7 D8 is written into the database and cut down to nothing, after a backup', async () => {
    await begin('wal');
    await hold('open', 'shop-app');
    addOrders(files.path, 20_000);
    expect(statSync(`${files.path}-wal`).size).toBeGreaterThan(1_000_000);
    await fire('WalTooLarge');
    const { run, outputs } = await newest();
    expect(run).toMatchObject({ strategy: 'checkpoint-wal', outcome: 'resolved' });
    expect(outputs('steps/checkpoint')).toMatchObject({ busy: false, wal_bytes: 0 });
    expect(statSync(`${files.path}-wal`).size).toBe(0);
    expect(outputs('before/backup')).toMatchObject({ checked: true });
    expect(countOrders(files.path)).toBe(20_500);
  });

  it('D6 that a reader pins is told about with the name of the reader', async () => {
    await begin('wal');
    await hold('open', 'shop-app');
    await hold('read', 'report');
    addOrders(files.path, 1_000);
    await fire('WalTooLarge');
    const { run, outputs } = await newest();
    expect(run).toMatchObject({ strategy: 'checkpoint-wal', outcome: 'unresolved' });
    expect(JSON.stringify(outputs('before/holders'))).toContain('report');
    expect(countOrders(files.path)).toBe(1_500);
  }, 60_000);
});

describe('by hand', () => {
  it.each([
    ['database_missing', 'restore-backup'],
    ['database_corrupt', 'restore-backup'],
    ['database_locked', 'release-lock'],
    ['database_timeout', 'retry-connection'],
    ['wal_too_large', 'checkpoint-wal'],
  ])(
    'the failure type %s is decided by the rules as %s, which leaves a sound database as it is',
    async (failureType, strategy) => {
      await begin();
      backUp('01');
      const answer = await amends.engine.desk.recover({
        component: 'shop-db',
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
      expect((await newest()).run).toMatchObject({ strategy, outcome: 'resolved' });
      expect(countOrders(files.path)).toBe(500);
    },
  );
});
