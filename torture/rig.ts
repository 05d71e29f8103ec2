// A whole engine in this process, on a real store, with a clock that stands still until it is told to move, and targets
// that write down what they feel in a file of their own.
import { appendFileSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { createSpawner } from '../src/actions/spawner.ts';
import type { Clock } from '../src/base/clock.ts';
import { createSteadyClock, systemClock } from '../src/base/clock.ts';
import { ActionError } from '../src/base/failure.ts';
import type { FailureKind } from '../src/base/failure.ts';
import { createIds } from '../src/base/ids.ts';
import { createLog } from '../src/base/log.ts';
import { createRedactor } from '../src/base/secret.ts';
import { loadCatalog } from '../src/catalog.ts';
import { loadConfig } from '../src/config.ts';
import type { EngineContext } from '../src/engine/context.ts';
import { createEmergencyJournal } from '../src/engine/emergency.ts';
import { createEngine } from '../src/engine/engine.ts';
import type { Engine } from '../src/engine/engine.ts';
import { createHaltFile } from '../src/engine/halt-file.ts';
import { createClockWatch } from '../src/engine/clock-watch.ts';
import { createJanitor } from '../src/engine/janitor.ts';
import type { Action, Spawner } from '../src/port/action.ts';
import type { Fact } from '../src/port/fact.ts';
import { loadByName } from '../src/port/loader.ts';
import type { Notifier } from '../src/port/notifier.ts';
import type { Store } from '../src/port/store.ts';
import type { Telemetry } from '../src/port/telemetry.ts';
import { createSources } from '../src/sources/sources.ts';
import { openSqliteStore } from '../src/store/sqlite.ts';
import { body, must, writeFiles } from '../test/support/engine.ts';
import type { AlertGiven } from '../test/support/engine.ts';
import { checkHeld } from './check.ts';
import { createEmissions } from './emitted.ts';
import type { Emitted } from './emitted.ts';
import { readLedger } from './ledger.ts';
import type { Felt } from './ledger.ts';
import { countedClock, keepForGood, memory, resources } from './resources.ts';
import type { Resources } from './resources.ts';

export type HeldClock = Clock & {
  /** Both clocks. */
  advance(ms: number): Promise<void>;
  /** The wall clock alone: a jump. */
  jump(ms: number): void;
  /** How many wait for their time. */
  waiting(): number;
  /** A process has died, and what it waited for with it. */
  forget(): void;
};

/** Shorter waits are real. */
const SHORT_MS = 1_000;

const createHeldClock = (rest: () => Promise<void>): HeldClock => {
  let wall = Date.UTC(2026, 0, 6, 12);
  let monotonic = 0;
  const timers = new Set<{ readonly at: number; run(): void }>();
  const short = countedClock(systemClock);
  return {
    ...systemClock,
    now: () => wall,
    monotonic: () => monotonic,
    after(ms, run) {
      if (ms < SHORT_MS) return short.after(ms, run);
      const timer = { at: monotonic + ms, run };
      timers.add(timer);
      return { cancel: () => void timers.delete(timer) };
    },
    /** From timer to timer: a heartbeat that is due every ten seconds beats in every ten seconds. */
    async advance(ms) {
      const end = monotonic + ms;
      while (monotonic < end) {
        const next = [...timers].toSorted((left, right) => left.at - right.at)[0];
        const step = Math.min(end, Math.max(monotonic, next?.at ?? end)) - monotonic;
        wall += step;
        monotonic += step;
        for (const timer of timers) {
          if (timer.at > monotonic) continue;
          timers.delete(timer);
          timer.run();
        }
        await rest();
      }
    },
    jump(ms) {
      wall += ms;
    },
    waiting: () => timers.size + short.waiting(),
    forget: () => timers.clear(),
  };
};

/** What a target does with the next effect: takes it, refuses it, or keeps it until it is told. */
export type Manner = 'well' | 'refuses' | 'breaks' | 'holds';

export type Targets = {
  manner(target: string, manner: Manner): void;
  /** Whether a look at the target finds it well. */
  well(target: string, yes: boolean): void;
  /** Targets that hold an effect right now. */
  holding(): readonly string[];
  /** Lets go of the effect that the target holds; `error` null: it went well. */
  release(target: string, error: FailureKind | null): void;
  felt(): readonly Felt[];
};

const createTargets = (file: string, clock: Clock): { targets: Targets; actions: ReadonlyMap<string, Action> } => {
  const manners = new Map<string, Manner>();
  const sick = new Set<string>();
  const held = new Map<string, (error: FailureKind | null) => void>();
  const write = (entry: object): void => appendFileSync(file, `${JSON.stringify(entry)}\n`);
  const effect: Action<{ target: string; secret_file?: string | undefined }> = {
    summary: 'An effect that its target writes down.',
    effect: 'change',
    input: z.strictObject({ target: z.string(), secret_file: z.string().optional() }),
    outputs: { said: 'what its target answered' },
    undo: 'another effect',
    defaultTimeout: 600_000,
    async run({ target, secret_file: secret }, context) {
      const { marker, signal } = context;
      // What is secret ends up in errors and outputs, as it does in real life.
      const said = secret === undefined ? '' : ` with ${await context.secret(secret)}`;
      const manner = manners.get(target) ?? 'well';
      if (manner === 'refuses') throw new ActionError('permanent', `it refused${said}`);
      context.began();
      const slash = marker.indexOf('/');
      const entry = { run: marker.slice(0, slash), step: marker.slice(slash + 1), target, at: clock.now() };
      write({ ...entry, phase: 'in' });
      if (manner === 'holds') {
        const error = await new Promise<FailureKind | null>((resolve, reject) => {
          held.set(target, resolve);
          signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
        }).finally(() => held.delete(target));
        if (error !== null) throw new ActionError(error, `it broke${said}`);
      }
      write({ ...entry, phase: 'out', left: clock.now() });
      if (manner === 'breaks') throw new ActionError('permanent', `it broke${said}`);
      return { outputs: { said } };
    },
  };
  const look: Action<{ target: string }> = {
    summary: 'Looks whether the target is well.',
    effect: 'read',
    input: z.strictObject({ target: z.string() }),
    outputs: {},
    undo: 'nothing to undo',
    defaultTimeout: 5_000,
    run: async ({ target }) => {
      if (sick.has(target)) throw new ActionError('permanent', 'it is not well');
      return { outputs: {} };
    },
  };
  const targets: Targets = {
    manner: (target, manner) => void manners.set(target, manner),
    well: (target, yes) => void (yes ? sick.delete(target) : sick.add(target)),
    holding: () => [...held.keys()],
    release: (target, error) => held.get(target)?.(error),
    felt: () => readLedger(file),
  };
  return {
    targets,
    actions: new Map<string, Action>([
      ['torture.effect', effect],
      ['torture.look', look],
    ]),
  };
};

const nothing = (): void => undefined;
const silent = new Proxy({} as Telemetry, { get: () => nothing });

export type RigGiven = {
  /** amends.yaml; targets are reached as `torture.*` with the target's name. */
  readonly config: string;
  readonly files: Readonly<Record<string, string | object>>;
  readonly aroundStore?: (store: Store) => Store;
  readonly aroundSpawner?: (spawner: Spawner) => Spawner;
  /** Keep what it shows to others (`emitted`): where a case has secrets. */
  readonly listen?: boolean;
};

export type Rig = {
  readonly folder: string;
  readonly database: string;
  readonly clock: HeldClock;
  readonly targets: Targets;
  readonly haltFile: string;
  store: Store;
  engine: Engine;
  janitor: { tick(): Promise<void> };
  /** Told of a jump, it writes it down. */
  clockWatch: { tick(): Promise<void> };
  /** True when it was acknowledged. */
  submit(alerts: readonly AlertGiven[]): Promise<boolean>;
  /** Decides, runs, tidies, until nothing moves but what targets hold. */
  settle(): Promise<void>;
  /** As if the process had died: the store is opened anew, nothing is told to what was there before. `between` comes when it is dead; who does not start is started once more. */
  crash(between?: () => void): Promise<void>;
  /** Everything that it has shown to others, and what it wrote down beside its record; nothing unless it was to `listen`. */
  emitted(): Promise<readonly Emitted[]>;
  close(): Promise<void>;
};

type Parts = Pick<EngineContext, 'actions' | 'facts' | 'notifiers'>;
let parts: Promise<Parts> | null = null;
const loadParts = async (): Promise<Parts> => {
  const src = new URL('../src/', import.meta.url);
  return {
    actions: await loadByName<Action>(new URL('actions/', src), true),
    facts: await loadByName<Fact>(new URL('facts/', src), false),
    notifiers: await loadByName<Notifier>(new URL('notifiers/', src), false),
  };
};

const TO_END_MS = 5_000;
/** Sockets and helpers take a moment to go. */
const givenBack = async (before: Resources, held: () => number): Promise<void> => {
  for (const end = performance.now() + TO_END_MS; ;) {
    const breaches = checkHeld({ before, after: resources(held()) });
    if (breaches.length === 0) return;
    if (performance.now() > end) throw new Error(breaches.map(({ id, what }) => `${id}: ${what}`).join('; '));
    await systemClock.sleep(20);
  }
};

export const openRig = async (given: RigGiven): Promise<Rig> => {
  parts ??= loadParts();
  await keepForGood();
  const { actions, facts, notifiers } = await parts;
  const before = resources();
  const folder = mkdtempSync(join(tmpdir(), 'amends-torture-'));
  const turn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));
  /** Calls of the store and of those who are asked, under way: the engine has come to rest only when there are none. */
  let calls = 0;
  const clock = createHeldClock(async () => {
    for (let still = 0; still < 3; still = calls === 0 ? still + 1 : 0) await turn();
  });
  const ids = createIds(clock);
  const redactor = createRedactor();
  const emissions = given.listen === true ? createEmissions(clock, redactor) : null;
  const log = emissions?.log ?? createLog(process.env['TORTURE_LOG'] === undefined ? 'silent' : 'debug', redactor);
  const made = createTargets(join(folder, 'ledger.ndjson'), clock);
  const all = new Map([...actions, ...made.actions]);
  writeFiles(folder, { 'amends.yaml': given.config, ...given.files });
  const config = must(await loadConfig(join(folder, 'amends.yaml')));
  const loaded = { config, catalog: must(await loadCatalog({ config, actions: all, facts })) };
  const spawner = createSpawner({ log, clock: systemClock });
  const haltFile = join(folder, 'halt');
  const data = join(folder, 'data');
  let dead: { now: boolean } = { now: false };
  let shown: Rig['emitted'] = async () => [];
  const open = async (): Promise<Pick<Rig, 'store' | 'engine' | 'janitor' | 'clockWatch'>> => {
    const steady = createSteadyClock(clock);
    const real = await openSqliteStore({
      folder: data,
      clock: steady,
      ids,
      log,
      owner: 'torture',
      acceptEmptyHistory: false,
    });
    const mine = { now: false };
    dead = mine;
    const sources = createSources(() => loaded.config, { clock: steady, redactor });
    const counting = async <Answer>(call: () => Promise<Answer>): Promise<Answer> => {
      calls += 1;
      try {
        return await call();
      } finally {
        calls -= 1;
      }
    };
    const counted = new Proxy(real, {
      get(store, name: keyof Store) {
        const method = store[name] as (...args: unknown[]) => Promise<unknown>;
        return async (...args: unknown[]) => {
          if (mine.now && name !== 'close') throw new Error('the process is dead');
          return counting(() => method.apply(store, args));
        };
      },
    });
    const store = given.aroundStore === undefined ? counted : given.aroundStore(counted);
    steady.resumeFrom((await store.controls()).now);
    const context: EngineContext = {
      store,
      clock: steady,
      jumps: steady,
      ids,
      log,
      redactor,
      actions: all,
      facts,
      notifiers: emissions === null ? notifiers : new Map([...notifiers, ['log', emissions.notifier]]),
      spawner: given.aroundSpawner === undefined ? spawner : given.aroundSpawner(spawner),
      sources: {
        alert: (...asked) => counting(() => sources.alert(...asked)),
        query: (...asked) => counting(() => sources.query(...asked)),
      },
      telemetry: emissions?.telemetry ?? silent,
      halt: createHaltFile(haltFile),
      emergency: createEmergencyJournal(join(folder, 'emergency.ndjson')),
      storeHealth: { trouble: () => null },
      owner: 'torture',
      loaded: () => loaded,
    };
    const engine = createEngine(context);
    shown = async () => (await emissions?.of(context, engine)) ?? [];
    return { store, engine, janitor: createJanitor(context), clockWatch: createClockWatch(context, engine.runner) };
  };

  /** Works until every run that is under way waits for a target that holds it. */
  const work = async (): Promise<void> => {
    const { engine } = rig;
    let over = false;
    const tick = engine.runner.tick().finally(() => (over = true));
    tick.catch(nothing);
    for (let still = 0; !over && still < 12;) {
      await turn();
      still = calls === 0 && engine.runner.working === made.targets.holding().length ? still + 1 : 0;
    }
    if (over) await tick;
  };

  const rig: Rig = {
    folder,
    database: join(data, 'amends.db'),
    clock,
    targets: made.targets,
    haltFile,
    ...(await open()),
    async submit(alerts) {
      return (await rig.engine.intake.submit('alertmanager', body(clock, alerts))).status === 'accepted';
    },
    async settle() {
      const { engine } = rig;
      for (let round = 0; round < 2; round += 1) {
        await rig.clockWatch.tick();
        await engine.decider.tick();
        await work();
        await rig.janitor.tick();
      }
    },
    async crash(between = nothing) {
      const { store, engine } = rig;
      dead.now = true;
      engine.runner.killSteps('the process is dead');
      while (calls > 0 || engine.runner.working > 0) await turn();
      await store.close();
      clock.forget();
      between();
      Object.assign(rig, await open().catch(open));
    },
    async emitted() {
      const journal = join(folder, 'emergency.ndjson');
      const beside = existsSync(journal) ? [{ where: journal, text: readFileSync(journal, 'latin1') }] : [];
      return [...(await shown()), ...beside];
    },
    async close() {
      dead.now = true;
      rig.engine.runner.killSteps('over');
      while (calls > 0 || rig.engine.runner.working > 0) await turn();
      await spawner.stop();
      await rig.store.close();
      rmSync(folder, { recursive: true, force: true });
      await givenBack(before, () => clock.waiting());
      memory.look();
    },
  };
  return rig;
};
