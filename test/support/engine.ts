// A whole engine on a real store and the real actions, in a folder of its own, with a clock that can be moved ahead.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { systemClock } from '../../src/base/clock.ts';
import { createIds } from '../../src/base/ids.ts';
import { createLog } from '../../src/base/log.ts';
import { createRedactor } from '../../src/base/secret.ts';
import { formatProblem } from '../../src/base/failure.ts';
import type { Result } from '../../src/base/failure.ts';
import { loadCatalog } from '../../src/catalog.ts';
import { loadConfig } from '../../src/config.ts';
import type { EngineContext, Loaded } from '../../src/engine/context.ts';
import { createEngine } from '../../src/engine/engine.ts';
import type { Engine } from '../../src/engine/engine.ts';
import { createEmergencyJournal } from '../../src/engine/emergency.ts';
import { createHaltFile } from '../../src/engine/halt-file.ts';
import type { Action } from '../../src/port/action.ts';
import type { Fact } from '../../src/port/fact.ts';
import { loadByName } from '../../src/port/loader.ts';
import type { Notifier } from '../../src/port/notifier.ts';
import type { Rows } from '../../src/port/record.ts';
import type { Store } from '../../src/port/store.ts';
import type { Telemetry } from '../../src/port/telemetry.ts';
import { createSpawner } from '../../src/actions/spawner.ts';
import { SILENT } from '../../src/replay/still.ts';
import { createSources } from '../../src/sources/sources.ts';
import { openSqliteStore } from '../../src/store/sqlite.ts';
import { createShiftedClock } from './shifted-clock.ts';
import type { ShiftedClock } from './shifted-clock.ts';

export type Given = {
  /** amends.yaml */
  readonly config: string;
  /** By path, relative to the folder. */
  readonly files: Readonly<Record<string, string | object>>;
};

export type EngineUnderTest = {
  readonly folder: string;
  readonly clock: ShiftedClock;
  readonly store: Store;
  readonly engine: Engine;
  /** A new engine on the same record: what the old one knew and did not write down is gone. */
  restart(): void;
  /** Posts an Alertmanager body with these alerts and lets the engine come to rest. */
  post(alerts: readonly AlertGiven[]): Promise<void>;
  settle(): Promise<void>;
  /** Posts without waiting for anything but the acknowledgement. */
  submit(alerts: readonly AlertGiven[]): Promise<void>;
  /** Polls until it is so, at most 10 s. */
  until(so: () => Promise<boolean>): Promise<void>;
  list<K extends keyof Rows>(kind: K): Promise<readonly Rows[K][]>;
  reload(files: Given['files'], config?: string): Promise<void>;
  loaded(): Loaded;
  haltFile: string;
  close(): Promise<void>;
};

export type AlertGiven = {
  readonly status?: 'firing' | 'resolved';
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly startsAt?: number;
};

export const must = <T>(result: Result<T>): T => {
  if (!result.ok) throw new Error(result.problems.map(formatProblem).join('\n'));
  return result.value;
};

export const writeFiles = (folder: string, files: Given['files']): void => {
  for (const [name, content] of Object.entries(files)) {
    const path = join(folder, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content, null, 2));
  }
};

export const body = (clock: { now(): number }, alerts: readonly AlertGiven[]): Buffer =>
  Buffer.from(
    JSON.stringify({
      version: '4',
      groupKey: '{}',
      receiver: 'amends',
      status: 'firing',
      truncatedAlerts: 0,
      externalURL: '',
      groupLabels: {},
      commonLabels: {},
      commonAnnotations: {},
      alerts: alerts.map((alert) => ({
        status: alert.status ?? 'firing',
        labels: alert.labels,
        annotations: alert.annotations ?? {},
        startsAt: new Date(alert.startsAt ?? clock.now()).toISOString(),
        endsAt: alert.status === 'resolved' ? new Date(clock.now()).toISOString() : '0001-01-01T00:00:00Z',
        generatorURL: '',
        fingerprint: '0',
      })),
    }),
  );

export const startEngine = async (
  given: Given,
  options: {
    log?: boolean;
    actions?: ReadonlyMap<string, Action>;
    telemetry?: Partial<Telemetry>;
    notifiers?: ReadonlyMap<string, Notifier>;
    auditHead?: () => string | null;
    /** Gets every line of the log. */
    lines?: string[];
  } = {},
): Promise<EngineUnderTest> => {
  const folder = mkdtempSync(join(tmpdir(), 'amends-engine-'));
  const clock = createShiftedClock();
  const ids = createIds(clock);
  const redactor = createRedactor();
  const { lines } = options;
  const log =
    lines === undefined
      ? createLog(options.log === true ? 'debug' : 'silent', redactor)
      : createLog('debug', redactor, { write: (line) => void lines.push(line) });
  const src = new URL('../../src/', import.meta.url);
  const actions = new Map([...(await loadByName<Action>(new URL('actions/', src), true)), ...(options.actions ?? [])]);
  const facts = await loadByName<Fact>(new URL('facts/', src), false);
  const notifiers = new Map([
    ...(await loadByName<Notifier>(new URL('notifiers/', src), false)),
    ...(options.notifiers ?? []),
  ]);
  const load = async (): Promise<Loaded> => {
    const config = must(await loadConfig(join(folder, 'amends.yaml')));
    return { config, catalog: must(await loadCatalog({ config, actions, facts })) };
  };
  writeFiles(folder, { 'amends.yaml': given.config, ...given.files });
  let loaded = await load();
  const spawner = createSpawner({ log, clock });
  const haltFile = join(folder, 'halt');
  const store = await openSqliteStore({
    folder: join(folder, 'data'),
    clock,
    ids,
    log,
    owner: 'test',
    acceptEmptyHistory: false,
  });
  const context: EngineContext = {
    store,
    clock,
    jumps: clock,
    ids,
    log,
    redactor,
    actions,
    facts,
    notifiers,
    spawner,
    sources: createSources(() => loaded.config, { clock, redactor }),
    telemetry: { ...SILENT, ...options.telemetry },
    halt: createHaltFile(haltFile),
    emergency: createEmergencyJournal(join(folder, 'emergency.ndjson')),
    storeHealth: { trouble: () => null },
    ...(options.auditHead === undefined ? {} : { auditHead: options.auditHead }),
    owner: 'test',
    loaded: () => loaded,
  };
  let engine = createEngine(context);
  return {
    folder,
    clock,
    store,
    get engine() {
      return engine;
    },
    loaded: () => loaded,
    restart: () => void (engine = createEngine(context)),
    haltFile,
    async post(alerts) {
      const submission = await engine.intake.submit('alertmanager', body(clock, alerts));
      if (submission.status !== 'accepted') throw new Error(`not accepted: ${JSON.stringify(submission)}`);
      await engine.settle();
    },
    settle: () => engine.settle(),
    async submit(alerts) {
      const submission = await engine.intake.submit('alertmanager', body(clock, alerts));
      if (submission.status !== 'accepted') throw new Error(`not accepted: ${JSON.stringify(submission)}`);
    },
    async until(so) {
      const end = systemClock.monotonic() + 10_000;
      while (!(await so())) {
        if (systemClock.monotonic() > end) throw new Error('it did not come about within 10 s');
        await systemClock.sleep(10);
      }
    },
    list: async (kind) => (await store.list(kind, { limit: 500, cursor: null, filters: {}, since: null })).items,
    async reload(files, config) {
      writeFiles(folder, { ...files, ...(config === undefined ? {} : { 'amends.yaml': config }) });
      loaded = await load();
    },
    async close() {
      await engine.stop(1_000);
      await spawner.stop();
      await store.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
};
