// The world that a test of a rule or a runbook runs in: the real engine on a store of its own, in time that moves when it
// is told to. Nothing outside is asked or done.
import type { Alert } from '../alert/alert.ts';
import { ok, refused } from '../base/failure.ts';
import type { Clock } from '../base/clock.ts';
import type { Ids } from '../base/ids.ts';
import type { Log } from '../base/log.ts';
import type { Redactor } from '../base/secret.ts';
import type { EngineContext, Loaded } from '../engine/context.ts';
import type { Engine } from '../engine/engine.ts';
import { createEngine } from '../engine/engine.ts';
import { createJanitor } from '../engine/janitor.ts';
import type { Actions } from '../port/action.ts';
import type { Fact, Facts } from '../port/fact.ts';
import type { Sources } from '../port/sources.ts';
import { PROMETHEUS_FAILED } from '../port/sources.ts';
import type { Store } from '../port/store.ts';
import { stillParts } from './still.ts';
import type { Figures } from './test-schema.ts';
import type { LeapingClock } from './virtual-clock.ts';
import { createLeapingClock } from './virtual-clock.ts';
import { createOrderedIds } from './virtual.ts';

/** What a test cannot make by itself: its caller knows the adapters. */
export type TestParts = {
  readonly actions: Actions;
  readonly facts: Facts;
  readonly log: Log;
  openStore(clock: Clock, ids: Ids): Store;
};

export type TestWorld = {
  readonly clock: LeapingClock;
  readonly ids: Ids;
  readonly store: Store;
  readonly engine: Engine;
  /** Posts alerts as Alertmanager would, in one group. */
  post(alerts: ReadonlyArray<Pick<Alert, 'labels' | 'annotations' | 'startsAt' | 'status'>>): Promise<void>;
  /** Decides and runs what is due at this moment. */
  settle(): Promise<void>;
  /** Goes on to `at`, and does on the way what amends' own clock would have done. */
  goOnTo(at: number): Promise<void>;
  close(): Promise<void>;
};

type Given = {
  readonly parts: TestParts;
  readonly loaded: Loaded;
  readonly start: number;
  readonly actions: Actions;
  readonly sources: (clock: LeapingClock) => Sources;
  readonly around?: (store: Store) => Store;
};

/** How often questions that wait for a human are looked at. */
const QUESTION_MS = 60_000;
const HELD_MS = 5_000;
/** As the janitor's own rhythm: no finer than live. */
const TIDY_MS = 5_000;
/** A worker that sleeps through a wait is not dead. */
const LEASE_MS = 10 * 366 * 86_400_000;
const FAR = Number.MAX_SAFE_INTEGER;

export const createTestWorld = async (given: Given): Promise<TestWorld> => {
  const clock = createLeapingClock(given.start);
  const ids = createOrderedIds();
  const store = given.parts.openStore(clock, ids);
  const context = contextOf(given, clock, ids, store);
  const engine = createEngine(context);
  const janitor = createJanitor(context);
  let tidiedAt = given.start;
  const tidy = async (): Promise<void> => {
    tidiedAt = clock.now();
    await janitor.tick();
  };
  const settle = async (): Promise<void> => {
    await engine.decider.tick();
    await engine.runner.tick();
  };
  return {
    clock,
    ids,
    store: context.store,
    engine,
    settle,
    async post(alerts) {
      const answer = await engine.intake.submit('alertmanager', bodyOf(alerts, clock.now()));
      if (answer.status !== 'accepted') throw new Error(`the post was ${answer.status}`);
      await settle();
    },
    async goOnTo(at) {
      for (let before = Number.NEGATIVE_INFINITY; ;) {
        const due = await nextDue(store, clock);
        if (due === null || due > at) break;
        // What does not move on by itself must not hold time up.
        const next = Math.max(due, before + 1_000);
        if (next > at) break;
        clock.moveTo(next);
        before = clock.now();
        await tidy();
        await settle();
      }
      clock.moveTo(at);
      if (clock.now() - tidiedAt >= TIDY_MS) await tidy();
    },
    close: () => store.close(),
  };
};

/** When something happens by itself: an episode is looked at again, a run has settled, a question is brought up. */
const nextDue = async (store: Store, clock: LeapingClock): Promise<number | null> => {
  const [episode] = await store.dueEpisodes(FAR, 1);
  const next = episode?.nextEvaluationAt ?? null;
  const settling = await store.settledRuns(FAR);
  const active = await store.activeRuns();
  const times = [
    ...(next === null ? [] : [next]),
    ...settling.map(({ settleUntil }) => settleUntil),
    // An approved run waits for the end of a cooldown; one that something else holds is looked at now and then.
    ...active.map(({ state, notBefore }) =>
      state !== 'awaiting_approval' && notBefore > clock.now() + HELD_MS ? notBefore : clock.now() + QUESTION_MS,
    ),
  ];
  return times.length === 0 ? null : Math.min(...times);
};

const bodyOf = (
  alerts: ReadonlyArray<Pick<Alert, 'labels' | 'annotations' | 'startsAt' | 'status'>>,
  now: number,
): Buffer => {
  const firing = alerts.some(({ status }) => status === 'firing');
  return Buffer.from(
    JSON.stringify({
      version: '4',
      groupKey: '{}',
      receiver: 'amends',
      status: firing ? 'firing' : 'resolved',
      truncatedAlerts: 0,
      alerts: alerts.map(({ labels, annotations, startsAt, status }) => ({
        status,
        labels,
        annotations,
        startsAt: new Date(startsAt).toISOString(),
        endsAt: status === 'resolved' ? new Date(now).toISOString() : '0001-01-01T00:00:00Z',
        generatorURL: '',
      })),
    }),
  );
};

const nothing = (): void => undefined;
/** What is in a test file is no secret, and what is expected has to be seen. */
const OPEN: Redactor = { register: nothing, text: (text) => text, value: (value) => value };

const contextOf = (given: Given, clock: LeapingClock, ids: Ids, store: Store): EngineContext => {
  const leased: Store = { ...store, claim: (owner, now) => store.claim(owner, now, LEASE_MS) };
  return {
    ...stillParts('test'),
    store: given.around?.(leased) ?? leased,
    clock,
    ids,
    log: given.parts.log,
    redactor: OPEN,
    actions: given.actions,
    facts: given.parts.facts,
    sources: given.sources(clock),
    loaded: () => given.loaded,
  };
};

/** What Prometheus answers at a moment, by the id of a fact or by the query; undefined: the test does not say. */
const figureAt = (figures: Figures, key: string, elapsed: number): number | null | undefined => {
  const figure = Object.hasOwn(figures, key) ? figures[key] : undefined;
  if (!Array.isArray(figure)) return figure;
  return figure.findLast(({ from }) => from <= elapsed)?.value ?? null;
};

export const answerQuery = (
  figures: Figures,
  query: string,
  elapsed: number,
): Awaited<ReturnType<Sources['query']>> => {
  const value = figureAt(figures, query, elapsed);
  if (value === undefined)
    return refused([{ code: PROMETHEUS_FAILED, message: `the test's facts have nothing for ${query}` }]);
  return ok(value === null ? [] : [{ labels: {}, value }]);
};

/** The facts, with those from Prometheus answered by the test: by their id, else by their query. */
export const answeredFacts = (facts: Facts, figures: Figures, start: number): Facts => {
  const asked = facts.get('prometheus');
  if (asked?.outside !== true) return facts;
  const answered: Extract<Fact, { readonly outside: true }> = {
    ...asked,
    ask(input, params, sources) {
      const { id } = params;
      const value = typeof id === 'string' ? figureAt(figures, id, input.now - start) : undefined;
      if (value === undefined) return asked.ask(input, params, sources);
      return asked.ask(input, params, { query: async () => ok(value === null ? [] : [{ labels: {}, value }]) });
    },
  };
  return new Map([...facts, ['prometheus', answered]]);
};
