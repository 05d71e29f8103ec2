// A journal decided again under other rules: the same engine on a store of its own, in the journal's time, with nothing
// done in the world.
import type { Ids } from '../base/ids.ts';
import type { Log } from '../base/log.ts';
import { createRedactor } from '../base/secret.ts';
import type { EngineContext, Loaded } from '../engine/context.ts';
import { createEngine } from '../engine/engine.ts';
import { createJanitor } from '../engine/janitor.ts';
import type { Facts } from '../port/fact.ts';
import type { Sources } from '../port/sources.ts';
import type { Store } from '../port/store.ts';
import { actAgain } from './acts.ts';
import { createHappenings } from './happenings.ts';
import type { Journal, RecordedAct, RecordedDelivery } from './journal.ts';
import { createPast } from './past.ts';
import type { Assumption, Past, Unknown } from './past.ts';
import { SILENT, stillParts } from './still.ts';
import type { VirtualClock } from './virtual-clock.ts';
import { assumedActions, withoutEffects } from './virtual.ts';
import { createWitness } from './witness.ts';
import type { EndedRun, Judged, Witness } from './witness.ts';

export type BacktestResult = {
  readonly from: number | null;
  readonly to: number | null;
  readonly deliveries: number;
  readonly alerts: number;
  readonly runs: readonly EndedRun[];
  /** The rule of each run after which a human was called: nothing automatic was left, or nobody could tell. */
  readonly handedOver: readonly string[];
  /** Runs whose outcome was assumed for want of a recorded one. */
  readonly assumedRuns: number;
  /** What decisions depended on and the journal does not say. */
  readonly unknown: Unknown;
  /** What people did and cannot have done here, by its line. */
  readonly undone: ReadonlyArray<{ readonly line: number; readonly why: string }>;
  /** Bodies that could not be read, by their line. */
  readonly refused: ReadonlyArray<{ readonly line: number; readonly why: string }>;
};

export type BacktestInput = {
  readonly journal: Pick<Journal, 'deliveries' | 'acts' | 'outcomes' | 'facts' | 'retries'>;
  readonly loaded: Loaded;
  /** What counted later, by time, each from before everything else of its moment: as the journal has it. */
  readonly later?: readonly LoadedFrom[];
  readonly facts: Facts;
  readonly assume: Assumption;
  /** Empty, and this backtest's alone. */
  readonly store: Store;
  readonly clock: VirtualClock;
  readonly ids: Ids;
  readonly log: Log;
  /** Answers PromQL at a time of the past, in place of the journal. */
  readonly query?: Sources['query'];
  /** Each decision, in order, with its id in `store`. */
  decided(judged: Judged, id: string): void;
  progress?(done: number, of: number): void;
  /** False: it ends with the last delivery, and what was held then stays held. */
  readonly aftermath?: boolean;
};

/** `at` is milliseconds UTC. */
export type LoadedFrom = { readonly at: number; readonly loaded: Loaded };

/** After the last delivery time goes on for this long, so that what was held is decided. */
const AFTERMATH_MS = 3_600_000;
/** Closing what has been quiet, and forgetting what is old, decide nothing: often enough to keep the store small. */
const TIDY_MS = 3_600_000;
const PROGRESS_EVERY = 1_000;

export const backtest = async (input: BacktestInput): Promise<BacktestResult> => {
  const { clock, journal, later = [] } = input;
  const past = createPast(journal, {
    assume: input.assume,
    config: input.loaded.config,
    configAt: (at) => (later.findLast((one) => one.at <= at)?.loaded ?? input.loaded).config,
  });
  const world = createWorld(input, past);
  const { seen, engine } = world;
  const refused: Array<{ line: number; why: string }> = [];
  const undone: Array<{ line: number; why: string }> = [];
  let alerts = 0;

  const receive = async (delivery: RecordedDelivery, index: number): Promise<void> => {
    seen.delivery = index;
    const answer = await engine.intake.submit(delivery.source, delivery.body());
    if (answer.status === 'accepted') alerts += answer.alerts;
    else if (answer.status === 'refused')
      refused.push({ line: delivery.line, why: answer.problems[0]?.message ?? 'the body cannot be read' });
    await world.settle();
    seen.delivery = null;
  };
  const act = async (recorded: RecordedAct): Promise<void> => {
    const why = (await world.happenings.take(recorded))
      ? null
      : await actAgain({ desk: engine.desk, store: input.store, now: clock.now() }, recorded);
    if (why !== null) undone.push({ line: recorded.line, why });
    seen.halted = (await input.store.controls()).halt.on;
    await world.settle();
  };

  let acted = 0;
  for (const [index, delivery] of journal.deliveries.entries()) {
    for (let next = journal.acts[acted]; next !== undefined && isBefore(next, delivery); next = journal.acts[acted]) {
      await world.goOnTo(next.at);
      await act(next);
      acted += 1;
    }
    await world.goOnTo(delivery.at);
    await receive(delivery, index);
    if ((index + 1) % PROGRESS_EVERY === 0) input.progress?.(index + 1, journal.deliveries.length);
  }
  const last = journal.deliveries.at(-1)?.at ?? null;
  const until = last === null || input.aftermath === false ? null : last + AFTERMATH_MS;
  for (const next of journal.acts.slice(acted)) {
    if (until === null || next.at > until) break;
    await world.goOnTo(next.at);
    await act(next);
  }
  if (until !== null) await world.goOnTo(until);
  return {
    from: journal.deliveries[0]?.at ?? null,
    to: last,
    deliveries: journal.deliveries.length - refused.length,
    alerts,
    runs: seen.runs,
    handedOver: seen.handedOver,
    assumedRuns: past.assumedRuns(),
    unknown: past.unknown(),
    undone,
    refused,
  };
};

const isBefore = (act: RecordedAct, delivery: RecordedDelivery): boolean =>
  act.at < delivery.at || (act.at === delivery.at && act.line < delivery.line);

const turn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

const createWorld = (input: BacktestInput, past: Past) => {
  const { clock } = input;
  let loaded = withoutEffects(input.loaded);
  const later = (input.later ?? []).map(({ at, loaded: then }) => ({ at, loaded: withoutEffects(then) }));
  const seen = createWitness({
    store: input.store,
    clock,
    ttlOf: (component) => (loaded.config.components.get(component ?? '')?.policy ?? loaded.config.recovery).episodeTtl,
    lookedAt: (key, due) => past.lookedAt(key, due),
    expiredAt: (run, due) => past.expiredAt(run, due),
    decided: (judged, id) => input.decided(judged, id),
  });
  const quiet = { value: false };
  const happenings = createHappenings(clock, seen.store);
  const context = { ...contextOf(input, () => loaded, seen, past, quiet), ...happenings };
  const engine = createEngine(context);
  const janitor = createJanitor(context);
  let tidiedAt = Number.NEGATIVE_INFINITY;

  const tidy = async (): Promise<void> => {
    tidiedAt = clock.now();
    quiet.value = true;
    await janitor.tick();
    quiet.value = false;
    await seen.tidied();
  };
  /** Until everything that was taken up is done, or waits for its time. */
  const atRest = async (): Promise<void> => {
    while (engine.runner.working > clock.sleeping) await turn();
  };
  const settle = async (): Promise<void> => {
    await atRest();
    await engine.decider.tick();
    while (await seen.hasWork()) {
      if (!(await engine.runner.claim())) break;
      await atRest();
    }
    await atRest();
  };
  const goOnTo = async (to: number): Promise<void> => {
    for (let [next] = later; next !== undefined && next.at <= to; [next] = later) {
      await moveTo(next.at - 1);
      later.shift();
      loaded = next.loaded;
    }
    await moveTo(to);
  };
  const moveTo = async (to: number): Promise<void> => {
    for (let before = Number.NEGATIVE_INFINITY; ;) {
      const due = await seen.nextDue();
      if (due === null || due.at > to) break;
      // What does not move on by itself must not hold time up.
      clock.moveTo(due.at > before ? due.at : before + 1_000);
      before = clock.now();
      if (due.byJanitor) await tidy();
      await settle();
    }
    clock.moveTo(to);
    if (to - tidiedAt >= TIDY_MS) await tidy();
  };
  return { seen, engine, happenings, settle, goOnTo };
};

const contextOf = (
  input: BacktestInput,
  loaded: () => Loaded,
  seen: Witness,
  past: Past,
  quiet: { readonly value: boolean },
): EngineContext => {
  const { clock, ids, log, facts } = input;
  return {
    ...stillParts('backtest'),
    store: seen.store,
    clock,
    ids,
    log,
    redactor: createRedactor(),
    actions: assumedActions((run) => past.ending(run)),
    facts,
    sources: {
      alert: async (labels, source) => past.alert(labels, source, clock.now(), quiet.value),
      query: input.query ?? (async (promql) => past.query(promql, clock.now())),
    },
    telemetry: {
      ...SILENT,
      runEnded: ({ component, strategy, outcome }) => seen.ended({ component, strategy, outcome }),
      runIneffective: () => seen.settled(),
    },
    loaded,
  };
};
