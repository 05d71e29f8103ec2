// A journal decided again under other rules: the same engine on a store of its own, in the journal's time, with nothing
// done in the world.
import { parseDelivery } from '../alert/webhook.ts';
import type { Ids } from '../base/ids.ts';
import { isObject } from '../base/json.ts';
import type { Log } from '../base/log.ts';
import { createRedactor } from '../base/secret.ts';
import type { EngineContext, Loaded } from '../engine/context.ts';
import { createEngine } from '../engine/engine.ts';
import { createJanitor } from '../engine/janitor.ts';
import type { Facts } from '../port/fact.ts';
import type { Sources } from '../port/sources.ts';
import type { Store } from '../port/store.ts';
import type { Telemetry } from '../port/telemetry.ts';
import type { Outcome } from '../run/events.ts';
import type { Origin, Reason } from '../run/reasons.ts';
import type { RecordedDelivery, RecordedOutcome } from './journal.ts';
import { assumedActions, withoutEffects } from './virtual.ts';
import type { AssumedRun, VirtualClock } from './virtual.ts';

export const ASSUMPTIONS = ['success', 'failure', 'recorded'] as const;
/** What is taken for the outcome of a run that never happened. `recorded`: the journal's own, else success. */
export type Assumption = (typeof ASSUMPTIONS)[number];

/** One decision of the backtest. `delivery` is the place in the journal, null for what amends' own clock decided. */
export type Judged = {
  readonly at: number;
  readonly origin: Origin;
  readonly delivery: number | null;
  /** Numbers episodes in the order in which they opened; the same journal opens the same ones. */
  readonly episode: number | null;
  readonly alertname: string;
  readonly component: string | null;
  readonly target: string | null;
  readonly rule: string | null;
  readonly strategy: string | null;
  readonly reason: Reason;
  /** Of a shadow decision: what live would have come to, a guard's name or `admitted`. */
  readonly would: string | null;
};

export type BacktestResult = {
  readonly from: number | null;
  readonly to: number | null;
  readonly deliveries: number;
  readonly alerts: number;
  readonly decisions: readonly Judged[];
  readonly runs: ReadonlyArray<{ readonly strategy: string; readonly component: string; readonly outcome: Outcome }>;
  /** Runs whose outcome was assumed for want of a recorded one. */
  readonly assumedRuns: number;
  /** Bodies that could not be read, by their line. */
  readonly refused: ReadonlyArray<{ readonly line: number; readonly why: string }>;
};

export type BacktestInput = {
  readonly deliveries: readonly RecordedDelivery[];
  readonly outcomes: readonly RecordedOutcome[];
  readonly loaded: Loaded;
  readonly facts: Facts;
  readonly assume: Assumption;
  /** Empty, and this backtest's alone. */
  readonly store: Store;
  readonly clock: VirtualClock;
  readonly ids: Ids;
  readonly log: Log;
  /** Answers PromQL at a time of the past; without it a rule that asks is undecidable. */
  readonly query?: Sources['query'];
  progress?(done: number, of: number): void;
  /** Each decision by its id in `store`, with the place in the journal of what it is about. */
  readonly decided?: (id: string, delivery: number | null) => void;
  /** False: it ends with the last delivery, and what was held then stays held. */
  readonly aftermath?: boolean;
};

/** After the last delivery time goes on for this long, so that what was held is decided. */
const AFTERMATH_MS = 3_600_000;
/** How often questions that wait for a human are looked at. */
const QUESTION_MS = 60_000;
/** As the janitor's own rhythm: no finer than live. */
const TIDY_MS = 3_000;
const PROGRESS_EVERY = 1_000;
const FAR = Number.MAX_SAFE_INTEGER;

export const backtest = async (input: BacktestInput): Promise<BacktestResult> => {
  const { clock, deliveries } = input;
  const seen = createWitness(input);
  const { engine, janitor, quiet } = createWorld(input, seen);
  const refused: Array<{ line: number; why: string }> = [];
  let alerts = 0;
  let tidiedAt = Number.NEGATIVE_INFINITY;

  const tidy = async (): Promise<void> => {
    tidiedAt = clock.now();
    quiet.value = true;
    await janitor.tick();
    quiet.value = false;
  };
  const settle = async (): Promise<void> => {
    await engine.decider.tick();
    await engine.runner.tick();
  };
  const goOnTo = async (to: number): Promise<void> => {
    for (let before = Number.NEGATIVE_INFINITY; ;) {
      const due = await nextDue(input.store, clock, seen);
      if (due === null || due > to) break;
      // What does not move on by itself must not hold time up.
      clock.moveTo(Math.max(due, before + 1_000));
      before = clock.now();
      await tidy();
      await settle();
    }
    clock.moveTo(to);
  };

  for (const [index, delivery] of deliveries.entries()) {
    const parsed = parseDelivery(delivery.body, delivery.at);
    if (!parsed.ok) {
      refused.push({ line: delivery.line, why: parsed.problems[0]?.message ?? 'the body cannot be read' });
      continue;
    }
    await goOnTo(delivery.at);
    if (clock.now() - tidiedAt >= TIDY_MS) await tidy();
    seen.delivery = index;
    const answer = await engine.intake.submit(delivery.source, delivery.body);
    if (answer.status === 'accepted') alerts += answer.alerts;
    await settle();
    seen.delivery = null;
    if ((index + 1) % PROGRESS_EVERY === 0) input.progress?.(index + 1, deliveries.length);
  }
  const last = deliveries.at(-1)?.at ?? null;
  if (last !== null && input.aftermath !== false) await goOnTo(last + AFTERMATH_MS);
  return {
    from: deliveries[0]?.at ?? null,
    to: last,
    deliveries: deliveries.length - refused.length,
    alerts,
    decisions: seen.decisions,
    runs: seen.runs,
    assumedRuns: seen.assumed,
    refused,
  };
};

/** When something happens by itself: an episode is looked at again, a run has settled, a question is brought up. */
const nextDue = async (store: Store, clock: VirtualClock, seen: Witness): Promise<number | null> => {
  const [episode] = await store.dueEpisodes(FAR, 1);
  const next = episode?.nextEvaluationAt ?? null;
  const times = next === null ? [] : [next];
  if (seen.settling) {
    const settling = await store.settledRuns(FAR);
    seen.settling = settling.length > 0;
    times.push(...settling.map(({ settleUntil }) => settleUntil));
  }
  if (seen.asking) {
    seen.asking = (await store.activeRuns()).some(({ state }) => state === 'awaiting_approval');
    if (seen.asking) times.push(clock.now() + QUESTION_MS);
  }
  return times.length === 0 ? null : Math.min(...times);
};

type Witness = {
  /** The place in the journal of what is being decided. */
  delivery: number | null;
  asking: boolean;
  settling: boolean;
  assumed: number;
  readonly decisions: Judged[];
  readonly runs: Array<{ strategy: string; component: string; outcome: Outcome }>;
  around(store: Store): Store;
  recovers(run: AssumedRun): boolean;
};

const createWitness = ({ assume, outcomes, decided: tell }: BacktestInput): Witness => {
  const episodes = new Map<string, number>();
  const numberOf = (id: string | null): number | null => {
    if (id === null) return null;
    const known = episodes.get(id) ?? episodes.size;
    episodes.set(id, known);
    return known;
  };
  const left = new Map<string, RecordedOutcome[]>();
  const keyOf = ({ component, target, strategy }: Pick<AssumedRun, 'component' | 'target' | 'strategy'>): string =>
    JSON.stringify([component, target, strategy]);
  if (assume === 'recorded') {
    for (const outcome of outcomes) left.set(keyOf(outcome), [...(left.get(keyOf(outcome)) ?? []), outcome]);
  }
  const witness: Witness = {
    delivery: null,
    asking: false,
    settling: false,
    assumed: 0,
    decisions: [],
    runs: [],
    around: (store) => ({
      ...store,
      // Rules say who is decided first, so incidents are numbered before any rule is asked.
      async receive(deliveries) {
        const received = await store.receive(deliveries);
        for (const { episodeId } of received.flat()) numberOf(episodeId);
        return received;
      },
      async decide(requests, now, admit, taker) {
        const decided = await store.decide(requests, now, admit, taker);
        decided.forEach((answer, index) => {
          const request = requests[index];
          if (request === undefined || answer.type !== 'decided') return;
          const { origin, component, target } = request;
          // Where rules in shadow mode alone would have done something, nobody won: the last asked is named.
          const shadow = request.rule === null && answer.reason === 'shadow' ? request.wishes.at(-1)?.plan : undefined;
          const rule = request.rule ?? shadow?.rule ?? null;
          const strategy = request.strategy ?? shadow?.runbook.strategy ?? null;
          const alertname = alertnameOf(request.record['labels']);
          if (answer.reason === 'awaiting_approval') witness.asking = true;
          tell?.(request.id, origin === 'delivery' ? witness.delivery : null);
          witness.decisions.push({
            at: request.at,
            origin,
            delivery: origin === 'delivery' ? witness.delivery : null,
            episode: numberOf(request.episodeId),
            alertname,
            component,
            target,
            rule,
            strategy,
            reason: answer.reason,
            would:
              answer.reason === 'shadow' ? (answer.verdicts.find(({ passed }) => !passed)?.guard ?? 'admitted') : null,
          });
        });
        return decided;
      },
    }),
    recovers(run) {
      if (assume !== 'recorded') return assume === 'success';
      const recorded = left.get(keyOf(run))?.shift();
      if (recorded === undefined) witness.assumed += 1;
      return recorded?.recovered ?? true;
    },
  };
  return witness;
};

const alertnameOf = (labels: unknown): string => {
  const name = isObject(labels) ? labels['alertname'] : undefined;
  return typeof name === 'string' ? name : '';
};

const nothing = (): void => undefined;

const createWorld = (input: BacktestInput, seen: Witness) => {
  const { clock, ids, log, facts } = input;
  const loaded = withoutEffects(input.loaded);
  const quiet = { value: false };
  const telemetry: Telemetry = {
    delivery: nothing,
    acknowledged: nothing,
    alert: nothing,
    unknownFields: nothing,
    watchdog: nothing,
    decision: nothing,
    decided: nothing,
    admission: nothing,
    ruleDecision: nothing,
    runStarted: nothing,
    runEnded({ component, strategy, outcome }) {
      if (outcome === 'resolved') seen.settling = true;
      seen.runs.push({ component, strategy, outcome });
    },
    runIneffective: nothing,
    step: nothing,
    verification: nothing,
    probe: nothing,
    notification: nothing,
  };
  const context: EngineContext = {
    store: seen.around(input.store),
    clock,
    ids,
    log,
    redactor: createRedactor(),
    actions: assumedActions((run) => seen.recovers(run)),
    facts,
    notifiers: new Map(),
    spawner: { run: notHere, sweep: async () => 0, stop: async () => undefined },
    sources: {
      // A run that is taken to have helped is taken to have quietened its alert; otherwise the journal is the truth.
      alert: async () => ({ state: quiet.value ? 'absent' : 'firing', detail: 'as the journal says' }),
      query:
        input.query ??
        (async () => ({
          ok: false,
          problems: [{ code: 'prometheus-failed', message: 'a backtest without --prometheus cannot ask for the past' }],
        })),
    },
    telemetry,
    halt: { reason: () => null },
    emergency: {
      reserve: async () => undefined,
      keep: nothing,
      entries: () => [],
      settled: nothing,
      clear: nothing,
    },
    storeHealth: { trouble: () => null },
    owner: 'backtest',
    loaded: () => loaded,
  };
  return { engine: createEngine(context), janitor: createJanitor(context), quiet };
};

const notHere = async (): Promise<never> => {
  throw new Error('a backtest runs no command');
};
