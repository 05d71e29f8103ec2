// The lock playbook of a vector store at work: an alert is taken in, real processes hold a real lock, and the service
// answers again - or a human has it, with what was tried.
import { execFileSync } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { JsonObject } from '../../src/base/json.ts';
import { startEngine } from '../support/engine.ts';
import type { EngineUnderTest } from '../support/engine.ts';
import { endHolder, startHolder } from '../support/holder.ts';
import { binaryOf, itWith } from '../support/requires.ts';
import { root } from '../support/servers.ts';
import { countOrders } from '../support/sqlite-files.ts';
import { startVectorService } from '../support/vector-service.ts';
import type { VectorService } from '../support/vector-service.ts';

let folder: string;
let service: VectorService;
let amends: EngineUnderTest;
const holders: ChildProcess[] = [];

/** As shipped, but for the time that it rests and watches; the first test below waits as shipped. */
const shipped = JSON.parse(readFileSync(join(root, 'rules/faiss/faiss-locked.json'), 'utf8')) as {
  event: { params: JsonObject };
};
const quick = { settle: '100ms', watch: '500ms', ready_within: '1500ms' };
const hurried = { ...shipped, event: { ...shipped.event, params: { ...shipped.event.params, with: quick } } };

const config = (): string => `
version: 1
rule_files: ["rules/*.json", "${root}rules/database/*.json"]
runbook_files: ["${root}runbooks/faiss/*.yaml", "${root}runbooks/database/*.yaml"]
recovery: { mode: auto, cooldown: { after_failure: 60s, factor: 2 } }
components:
  faiss:
    kind: faiss
    inventory:
      static:
        - target: vectors
          connect:
            url: "${service.url}"
            database: "${service.database}"
            path: "${service.database}"
            backups: "${service.backups}"
            holders: [lock-holder]
            own: [vector-service]
            cache: "${service.cache}"
            index: "${service.index}"
            reembed_mark: "${service.mark}"
            stop: ["${service.control}", stop]
            start: ["${service.control}", start]
    allow: { actions: ["faiss.*", "sqlite.*", "locks.*", "http.*"] }
allow: { paths: ["${folder}"], hosts: ["${service.host}"], commands: ["${service.control}"] }
degraded_modes:
  vector_store_fallback: { available: [in memory], unavailable: [vector search], impact: "less" }
  database_unavailable: { available: [], unavailable: [all], impact: "none" }
`;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'amends-faiss-'));
  service = await startVectorService(folder);
  amends = await startEngine({ config: config(), files: { 'rules/faiss-locked.json': hurried } });
});
afterEach(async () => {
  for (const holder of holders.splice(0)) await endHolder(holder);
  await amends.close();
  await service.close();
  rmSync(folder, { recursive: true, force: true });
});

const hold = async (name = 'lock-holder', ignoreTerm = false): Promise<ChildProcess> => {
  const holder = await startHolder(folder, { path: service.database, does: 'exclusive', ignoreTerm }, name);
  holders.push(holder);
  return holder;
};
const gone = ({ exitCode, signalCode }: ChildProcess): boolean => exitCode !== null || signalCode !== null;
const fire = (
  alertname = 'VectorSearchErrors',
  summary = 'sqlite3.OperationalError: database is locked',
): Promise<void> =>
  amends.post([{ labels: { alertname, component: 'faiss', target: 'vectors' }, annotations: { summary } }]);

const newest = async (): Promise<{
  run: Awaited<ReturnType<typeof amends.list<'runs'>>>[number];
  outputs: (step: string) => JsonObject;
  went: (step: string) => string;
}> => {
  const [run] = (await amends.list('runs')).toSorted((left, right) => right.createdAt - left.createdAt);
  if (run === undefined) throw new Error(`no run; decisions: ${JSON.stringify(await amends.list('decisions'))}`);
  const events = (await amends.store.run(run.id))?.events.map(({ event }) => event) ?? [];
  const last = (step: string): (typeof events)[number] | undefined =>
    events.findLast(
      (event) => /^step_(?:succeeded|failed|skipped)$/.test(event.type) && 'step' in event && event.step === step,
    );
  return {
    run,
    outputs(step) {
      const found = last(step);
      return found !== undefined && 'outputs' in found ? found.outputs : {};
    },
    went: (step) => last(step)?.type.slice(5) ?? 'never',
  };
};
const healthy = async (): Promise<number> => (await fetch(`${service.url}/api/vectors/health`)).status;

describe('what sets it off', () => {
  it.each([
    ['an alert text "database is locked"', 'VectorSearchErrors', 'query failed: database is locked'],
    [
      'an alert text "OperationalError ... locked"',
      'VectorSearchErrors',
      'OperationalError: the table vectors is locked',
    ],
    ['an alert text "FAISS ... locked"', 'VectorSearchErrors', 'FAISS index file is locked'],
    ['the health endpoint that answers 500', 'VectorStoreUnhealthy', 'the health endpoint answers 500'],
    ['the generic alert about a locked database', 'DatabaseLocked', 'The database vectors of faiss is locked.'],
  ])(
    'V1 %s is decided by the playbook, above the generic SQLite rules',
    async (_what, alertname, summary) => {
      await amends.submit([{ labels: { alertname, component: 'faiss', target: 'vectors' }, annotations: { summary } }]);
      await amends.engine.decider.tick();
      expect((await amends.list('decisions'))[0]).toMatchObject({ reason: 'admitted', rule: 'faiss-locked' });
      expect((await amends.list('runs'))[0]).toMatchObject({ strategy: 'lock_recovery', rule: 'faiss-locked' });
    },
    60_000,
  );

  it('V1 another text about the component is not, and a human can ask for it by hand', async () => {
    await fire('VectorSearchErrors', 'the model is slow');
    expect(await amends.list('runs')).toEqual([]);
    const answer = await amends.engine.desk.recover({
      component: 'faiss',
      target: 'vectors',
      strategy: 'lock_recovery',
      failureType: null,
      inputs: {},
      context: {},
      requireApproval: false,
      override: [],
      reason: 'asked for',
      by: 'ann',
    } as unknown as Parameters<typeof amends.engine.desk.recover>[0]);
    expect(answer).toMatchObject({ ok: true });
    await amends.settle();
    expect((await newest()).run).toMatchObject({ strategy: 'lock_recovery', outcome: 'resolved' });
  }, 60_000);
});

describe('a lock', () => {
  it('V2 V3 V4 V8 V10 of a declared process is found by the kernel, the process ends when asked, and the store works again', async () => {
    await amends.reload({ 'rules/faiss-locked.json': shipped });
    const holder = await hold();
    expect(await healthy()).toBe(500);
    await fire();
    const { run, outputs, went } = await newest();
    expect(run).toMatchObject({ outcome: 'resolved', cause: 'verified' });
    expect(outputs('steps/detect')).toMatchObject({
      locked_file: service.database,
      lock_error_message: 'database is locked',
      lock_age_seconds: 0,
      operation_that_failed: 'write',
    });
    expect(outputs('steps/identify')).toMatchObject({
      locking_processes: [{ pid: holder.pid, name: 'lock-holder', access: 'write' }],
      process_count: 1,
      own_process_locked: false,
    });
    expect((outputs('steps/identify')['locking_processes'] as JsonObject[])[0]).toMatchObject({
      user: expect.any(String),
      command_line: expect.stringContaining('/lock-holder '),
    });
    expect(outputs('steps/graceful_unlock')).toMatchObject({ lock_released: true, processes_stopped: 1 });
    for (const step of ['restart_service', 'force_unlock', 'rebuild_index', 'escalate'])
      expect([step, went(`steps/${step}`)]).toEqual([step, 'skipped']);
    expect(outputs('steps/verify')).toEqual({
      health_check_passed: true,
      api_responding: true,
      embeddings_working: true,
      search_working: true,
    });
    expect(gone(holder)).toBe(true);
    expect(service.starts()).toBe(1);
    expect(await healthy()).toBe(200);
    expect(countOrders(service.database)).toBe(500);
    expect(await amends.store.degraded()).toEqual([]);
  }, 60_000);

  it('V4 that the service gives back when it is asked to close its connections costs nobody anything', async () => {
    const bystander = await startHolder(folder, { path: service.database, does: 'open' });
    holders.push(bystander);
    await service.post('/hold');
    const before = service.pid();
    await fire();
    const { run, outputs, went } = await newest();
    expect(run).toMatchObject({ outcome: 'resolved' });
    expect(went('steps/close_connections')).toBe('succeeded');
    expect(outputs('steps/graceful_unlock')).toMatchObject({ lock_released: true, processes_stopped: 0 });
    expect(gone(bystander)).toBe(false);
    // It did hold it itself, so it is restarted all the same.
    expect(went('steps/restart_service')).toBe('succeeded');
    expect(service.pid()).not.toBe(before);
  }, 60_000);

  it('V5 that the hung service itself holds is freed by a restart, with its cache cleared', async () => {
    writeFileSync(join(service.cache, 'stale'), 'x');
    await service.post('/hang');
    await fire();
    const { run, outputs, went } = await newest();
    expect(run).toMatchObject({ outcome: 'resolved' });
    expect(outputs('steps/identify')).toMatchObject({ own_process_locked: true });
    expect(outputs('steps/restart_service')).toEqual({
      service_restarted: true,
      service_healthy: true,
      cache_cleared: true,
    });
    expect(went('steps/force_unlock')).toBe('skipped');
    expect(readdirSync(service.cache)).toEqual(['warm']);
    expect(service.starts()).toBe(2);
    expect(countOrders(service.database)).toBe(500);
  }, 60_000);

  it('V6 V10 of a process that ignores TERM is forced after a backup; no committed row is lost, and the backup goes when all is well', async () => {
    const holder = await hold('lock-holder', true);
    await fire();
    const { run, outputs, went } = await newest();
    expect(run).toMatchObject({ outcome: 'resolved' });
    expect(went('steps/graceful_unlock')).toBe('failed');
    expect(outputs('steps/force_unlock')).toMatchObject({
      force_unlock_successful: true,
      processes_terminated: [holder.pid],
      backup_created: expect.stringMatching(/orders-\d{8}T\d{9}Z\.db$/),
    });
    expect(existsSync(outputs('steps/force_unlock')['backup_created'] as string)).toBe(false);
    expect(gone(holder)).toBe(true);
    expect(countOrders(service.database)).toBe(500);
    expect(await healthy()).toBe(200);
  }, 90_000);

  it('V9 V10 R3 of a process that nobody declared is tried three times with growing pauses, then paged once; the store falls back meanwhile, and the process is not touched', async () => {
    const stranger = await hold('migration');
    await fire();
    const { run, outputs, went } = await newest();
    expect(run).toMatchObject({ outcome: 'unresolved', cause: 'not_verified' });
    expect(outputs('steps/escalate')).toEqual({ escalated: true, fallback_enabled: true });
    expect(outputs('steps/verify')).toMatchObject({ health_check_passed: false, api_responding: false });
    expect(went('steps/force_unlock')).toBe('failed');
    expect(await amends.store.degraded()).toMatchObject([{ mode: 'vector_store_fallback', component: 'faiss' }]);
    expect((await amends.list('inbox')).map(({ kind, severity }) => [kind, severity])).toEqual([['note', 'SEV2']]);
    // 60 s, then 120 s.
    amends.clock.advance(61_000);
    await amends.settle();
    expect(await amends.list('runs')).toHaveLength(2);
    amends.clock.advance(61_000);
    await amends.settle();
    expect(await amends.list('runs')).toHaveLength(2);
    amends.clock.advance(60_000);
    await amends.settle();
    expect(await amends.list('runs')).toHaveLength(3);
    amends.clock.advance(300_000);
    await amends.settle();
    expect(await amends.list('runs')).toHaveLength(3);
    expect((await amends.list('inbox')).filter(({ kind }) => kind === 'escalation')).toMatchObject([
      { severity: 'SEV1', count: 1 },
    ]);
    expect(gone(stranger)).toBe(false);
    expect(readdirSync(service.backups)).toEqual([]);
  }, 180_000);
});

describe('an index', () => {
  it('V7 that is damaged is kept, an empty one of 1536 dimensions takes its place, and the application is told to embed anew', async () => {
    const damaged = Buffer.concat([emptyPart(), Buffer.alloc(100, 0xa5)]);
    writeFileSync(service.index, damaged);
    await fire('VectorStoreUnhealthy', 'the health endpoint answers 500');
    const { run, outputs } = await newest();
    expect(run).toMatchObject({ outcome: 'resolved' });
    expect(outputs('steps/rebuild_index')).toMatchObject({
      index_rebuilt: true,
      reembedding_needed: true,
      index_error: 'has 145 bytes instead of 45',
      service_healthy: true,
    });
    expect(readFileSync(outputs('steps/rebuild_index')['index_backup'] as string)).toEqual(damaged);
    const fresh = readFileSync(service.index);
    expect([fresh.subarray(0, 4).toString(), fresh.readInt32LE(4), fresh.readBigInt64LE(8)]).toEqual([
      'IxFI',
      1_536,
      0n,
    ]);
    expect(JSON.parse(readFileSync(service.mark, 'utf8'))).toMatchObject({
      index: service.index,
      dimensions: 1_536,
      metric: 'cosine',
    });
    expect(await healthy()).toBe(200);
  }, 60_000);

  it('V7 that is sound is left alone, however unhealthy the service is', async () => {
    const { readIndex } = await import('../../src/actions/faiss/index-file.ts');
    const before = readFileSync(service.index);
    await hold('migration');
    await fire();
    const { outputs } = await newest();
    expect(outputs('steps/rebuild_index')).toMatchObject({ index_rebuilt: false, reembedding_needed: false });
    expect(readFileSync(service.index)).toEqual(before);
    expect(await readIndex(service.index)).toEqual({ kind: 'IxFI', dimensions: 1_536, vectors: 0 });
  }, 90_000);
});

const emptyPart = (): Buffer => readFileSync(service.index);

it('V13 the human page says how to keep it from coming back', () => {
  const guide = readFileSync(join(root, 'runbooks/faiss/lock_recovery.yaml'), 'utf8');
  for (const advice of [
    /pool of connections/,
    /timeout of 30 s/,
    /journal_mode=WAL/,
    /vacuum.* once a day/,
    /long queries/,
    /End gracefully/,
  ])
    expect(guide).toMatch(advice);
});

itWith('promtool')(
  'V11 V12 the metrics of lock recovery are recorded, and each threshold fires for itself with what to look into',
  () => {
    const said = execFileSync(binaryOf('promtool') ?? 'promtool', ['test', 'rules', 'alerts/tests/faiss.test.yaml'], {
      cwd: root,
      encoding: 'utf8',
      stdio: 'pipe',
    });
    expect(said).toContain('SUCCESS');
    const rules = readFileSync(join(root, 'alerts/faiss.yaml'), 'utf8');
    for (const [threshold, advice] of [
      ['> 5', 'root cause'],
      ['> 3', 'how the processes are managed'],
      ['> 1', 'integrity of the data'],
      ['> 1', 'broken for good'],
    ])
      expect([rules.includes(threshold ?? ''), rules.includes(advice ?? '')]).toEqual([true, true]);
  },
);
