// A test of rules: alerts come at their times, runs come out as the test says, and what is decided is looked at whenever
// it asks.
import type { Labels } from '../alert/alert.ts';
import { createSelector } from '../alert/select.ts';
import type { Json, JsonObject } from '../base/json.ts';
import { isObject } from '../base/json.ts';
import type { Loaded } from '../engine/context.ts';
import type { Sources } from '../port/sources.ts';
import type { Decided, DecisionRequest, Store, Verdict } from '../port/store.ts';
import type { RuleSet } from '../rule/decide.ts';
import type { Outcome } from '../run/events.ts';
import type { Ledger } from '../run/history.ts';
import { explain } from './explain.ts';
import type { DecisionCase, RuleTest, TestAct, TestAlert } from './test-schema.ts';
import type { TestParts, TestWorld } from './test-world.ts';
import { answerQuery, answeredFacts, createTestWorld } from './test-world.ts';
import { assumedActions, withoutEffects } from './virtual.ts';
import type { LeapingClock } from './virtual-clock.ts';
import type { Ending } from './virtual.ts';

/** What is in force for an alert at one moment, in the words of a test's `exp_` members. */
export type Observed = {
  readonly reason: string | null;
  readonly rule: string | null;
  readonly component: string | null;
  readonly target: string | null;
  readonly runbook: string | null;
  readonly strategy: string | null;
  readonly with: JsonObject;
  readonly mode: string | null;
  readonly rung: number | null;
  /** Milliseconds from the start of the test. */
  readonly until: number | null;
  readonly would: string | null;
  readonly severity: string | null;
  readonly attempts: number;
  readonly runs: number;
  readonly outcome: Outcome | null;
  readonly exhausted: boolean;
  readonly degraded: readonly string[];
  readonly why: string;
  /** Rules that were asked, with whether they matched. */
  readonly asked: ReadonlyArray<{ readonly rule: string; readonly matched: boolean }>;
  readonly candidates: readonly string[];
};

export const DEFAULT_START = '2026-01-05T12:00:00Z';
/** Alertmanager says again, every so often, what still fires. */
const REPEAT_MS = 4 * 3_600_000;

/** Whether the test is to go on after a case. */
type GoOn = (look: DecisionCase, observed: Observed) => boolean;

/** What each case of the test would have seen, in the order of their times, as far as it went on. */
export const observeRuleTest = async (
  parts: TestParts,
  loaded: Loaded,
  test: RuleTest,
  goOn: GoOn = () => true,
): Promise<ReadonlyMap<DecisionCase, Observed>> => {
  const start = Date.parse(test.start ?? DEFAULT_START);
  const figures = test.facts ?? {};
  const outcomes = outcomesOf(test.run_outcomes ?? {});
  const seen = createWitness();
  const still = withoutEffects(loaded);
  const kindOf = (component: string): string => loaded.config.components.get(component)?.kind ?? component;
  const world = await createTestWorld({
    parts: { ...parts, facts: answeredFacts(parts.facts, figures, start) },
    loaded: still,
    start,
    actions: assumedActions(({ component, strategy }) => outcomes(`${kindOf(component)}/${strategy}`)),
    sources: (clock) => sourcesOf(test, start, clock),
    around: (store) => seen.around(store),
  });
  try {
    return await walk({ world, test, start, seen, rules: loaded.catalog.rules, loaded, goOn });
  } finally {
    await world.close();
  }
};

type Walk = {
  readonly world: TestWorld;
  readonly test: RuleTest;
  readonly start: number;
  readonly seen: Witness;
  readonly rules: RuleSet;
  readonly loaded: Loaded;
  readonly goOn: GoOn;
};

const walk = async (given: Walk): Promise<ReadonlyMap<DecisionCase, Observed>> => {
  const { world, test, start } = given;
  const selection = createSelector(given.loaded.config.components)(test.alerts[0]?.labels ?? {});
  const target = selection.found ? selection.target.name : '';
  await begin(world, test.degraded ?? [], selection.component?.name ?? '', target);
  const observed = new Map<DecisionCase, Observed>();
  for (const at of momentsOf(test)) {
    await world.goOnTo(start + at);
    await postAt(given, at);
    for (const act of (test.acts ?? []).filter((one) => one.at === at)) await perform(given, act);
    const looks = test.decision_test.filter(({ eval_time: time }) => time === at);
    for (const look of looks) {
      const one = await observe(given, look);
      observed.set(look, one);
      if (!given.goOn(look, one)) return observed;
    }
  }
  return observed;
};

/** Degraded modes are on for a component and target, and a run clears its own. */
export const begin = async (
  world: TestWorld,
  degraded: readonly string[],
  component: string,
  target: string,
): Promise<void> => {
  const place = { component, target, runId: null };
  const writes = degraded.map((mode) => ({ type: 'degraded', mode, on: true, ...place }) as const);
  if (writes.length > 0) await world.store.write(writes, world.clock.now());
};

const momentsOf = (test: RuleTest): readonly number[] => {
  const last = Math.max(...test.decision_test.map(({ eval_time: time }) => time));
  const times = test.alerts.flatMap((alert) => {
    const { from = 0, until } = alert;
    const repeats = Math.floor((Math.min(until ?? last, last) - from) / REPEAT_MS);
    return [
      from,
      ...(until === undefined ? [] : [until]),
      ...count(repeats).map((turn) => from + (turn + 1) * REPEAT_MS),
    ];
  });
  const all = [...times, ...(test.acts ?? []).map(({ at }) => at), ...test.decision_test.map((look) => look.eval_time)];
  return [...new Set(all.filter((at) => at <= last))].toSorted((left, right) => left - right);
};

const count = (most: number): readonly number[] => Array.from({ length: Math.max(0, most) }, (_, index) => index);

const postAt = async ({ world, test, start, seen }: Walk, at: number): Promise<void> => {
  const entry = (alert: TestAlert, status: 'firing' | 'resolved') => ({
    status,
    labels: alert.labels,
    annotations: alert.annotations ?? {},
    startsAt: start + (alert.from ?? 0) - (alert.age ?? 0),
  });
  const over = test.alerts.filter(({ until }) => until === at);
  if (over.length > 0) await seen.posting(over, () => world.post(over.map((alert) => entry(alert, 'resolved'))));
  const begun = test.alerts.filter(({ from = 0 }) => from === at);
  if (begun.length > 0) await seen.posting(begun, () => world.post(begun.map((alert) => entry(alert, 'firing'))));
  const again = test.alerts.filter(
    ({ from = 0, until }) => at > from && (at - from) % REPEAT_MS === 0 && at < (until ?? Number.POSITIVE_INFINITY),
  );
  if (again.length > 0) await seen.posting(again, () => world.post(again.map((alert) => entry(alert, 'firing'))), true);
};

const BY = 'test';
const ACT_REASON = 'as the test says';

/** What a person does; what cannot be done fails the test with the reason. */
const perform = async ({ world, loaded }: Walk, act: TestAct): Promise<void> => {
  const { store } = world;
  const { desk } = world.engine;
  const scopeOf = (name: string): 'component' | 'rule' => (loaded.config.components.has(name) ? 'component' : 'rule');
  const waiting = async (runbook: string): Promise<string> => {
    const run = (await store.activeRuns()).find(
      ({ kind, strategy, state }) => state === 'awaiting_approval' && `${kind}/${strategy}` === runbook,
    );
    if (run === undefined) throw new TestStopped(`no run of ${runbook} waits for an answer`);
    return run.id;
  };
  const done = await (async () => {
    if (act.approve !== undefined)
      return desk.approve({ runId: await waiting(act.approve), step: null, by: BY, comment: ACT_REASON });
    if (act.deny !== undefined)
      return desk.deny({ runId: await waiting(act.deny), step: null, by: BY, comment: ACT_REASON });
    if (act.halt !== undefined) return desk.halt({ by: BY, reason: ACT_REASON, hard: false });
    if (act.resume !== undefined) return desk.resume({ by: BY, reason: ACT_REASON });
    if (act.enable !== undefined) return desk.enable({ scope: scopeOf(act.enable), name: act.enable, by: BY });
    const name = act.disable ?? '';
    return desk.disable({ scope: scopeOf(name), name, forMs: null, by: BY, reason: ACT_REASON });
  })();
  if (!done.ok) throw new TestStopped(done.problem);
  await world.settle();
};

/** A test that cannot go on; its message says why. */
export class TestStopped extends Error {
  override readonly name = 'TestStopped';
}

type Kept = { readonly request: DecisionRequest; readonly decided: Extract<Decided, { readonly type: 'decided' }> };
type Witness = {
  readonly decisions: Kept[];
  readonly episodesOf: Map<TestAlert, Set<string>>;
  around(store: Store): Store;
  /** `repeat`: Alertmanager says again what it said; nothing is decided by it that a test would ask for. */
  posting(alerts: readonly TestAlert[], post: () => Promise<void>, repeat?: boolean): Promise<void>;
};

const createWitness = (): Witness => {
  let posted: readonly TestAlert[] = [];
  let repeat = false;
  const decisions: Kept[] = [];
  const episodesOf = new Map<TestAlert, Set<string>>();
  return {
    decisions,
    episodesOf,
    around: (store) => ({
      ...store,
      async receive(deliveries) {
        const received = await store.receive(deliveries);
        for (const [index, { episodeId }] of received.flat().entries()) {
          const alert = posted[index];
          if (alert === undefined || episodeId === null) continue;
          episodesOf.set(alert, (episodesOf.get(alert) ?? new Set()).add(episodeId));
        }
        return received;
      },
      async decide(requests, now, admit, taker) {
        const answers = await store.decide(requests, now, admit, taker);
        for (const [index, decided] of answers.entries()) {
          const request = requests[index];
          if (request === undefined || decided.type !== 'decided') continue;
          if (!(repeat && decided.reason === 'duplicate')) decisions.push({ request, decided });
        }
        return answers;
      },
    }),
    async posting(alerts, post, again = false) {
      [posted, repeat] = [alerts, again];
      await post();
      [posted, repeat] = [[], false];
    },
  };
};

const isPart = (part: Labels, whole: Labels): boolean =>
  Object.entries(part).every(([name, value]) => whole[name] === value);

const observe = async ({ world, test, start, seen, rules, loaded }: Walk, look: DecisionCase): Promise<Observed> => {
  const [first] = test.alerts;
  const about = test.alerts.filter((alert) => isPart(look.labels ?? first?.labels ?? {}, alert.labels));
  const episodes = new Set(about.flatMap((alert) => [...(seen.episodesOf.get(alert) ?? [])]));
  const kept = seen.decisions.findLast(({ request: { episodeId } }) => episodeId !== null && episodes.has(episodeId));
  const past = await pastOf(world, look, kept?.request.episodeId ?? null, episodes);
  if (kept === undefined) return { ...NOTHING, ...past };
  const { request, decided } = kept;
  // Where rules in shadow mode alone would have done something, nobody won: the last asked is named.
  const wish = request.reason === null || request.reason === 'shadow' ? request.wishes.at(-1) : undefined;
  const shadowed = request.rule === null && decided.reason === 'shadow' ? (wish?.plan.rule ?? null) : null;
  const rule = request.rule ?? shadowed;
  const refusal = decided.verdicts.find(({ passed }) => !passed);
  const declared = rules.rules.find(({ name }) => name === rule);
  const record = { ...request.record, verdicts: [decided.verdicts as unknown as Json] };
  return {
    ...past,
    reason: decided.reason,
    rule,
    component: request.component,
    target: request.target,
    runbook: wish?.plan.runbook.name ?? null,
    strategy: wish?.plan.runbook.strategy ?? null,
    with: wish?.plan.inputs ?? {},
    mode: wish?.plan.mode ?? null,
    rung: wish === undefined ? null : wish.plan.rung + 1,
    until: endOf(refusal, start),
    would: decided.reason === 'shadow' ? (refusal?.guard ?? 'admitted') : null,
    severity: wish?.plan.runbook.severity ?? declared?.severity ?? (declared?.event === 'escalate' ? 'SEV3' : null),
    attempts:
      look.exp_attempts === undefined
        ? 0
        : await attemptsOf(
            world,
            loaded,
            request.component,
            wish?.ledger ?? (loaded.config.recovery.mode === 'shadow' ? 'shadow' : 'live'),
          ),
    why: explain({
      ...request,
      record,
      strategy: wish?.plan.runbook.strategy ?? null,
      rule,
      reason: decided.reason,
      runId: decided.runId,
    }).why,
    asked: askedOf(request.record['trace']),
    candidates: textsOf(request.record['candidates']),
  };
};

type Past = Pick<Observed, 'degraded' | 'runs' | 'outcome' | 'exhausted'>;

/** What the record says at this moment; only what the case asks for is looked up. */
const pastOf = async (
  { store }: TestWorld,
  look: DecisionCase,
  episodeId: string | null,
  episodes: ReadonlySet<string>,
): Promise<Past> => {
  const asks = (...keys: ReadonlyArray<keyof DecisionCase>): boolean => keys.some((key) => look[key] !== undefined);
  const degraded = asks('exp_degraded') ? await store.degraded() : [];
  const { items } = asks('exp_runs', 'exp_outcome') ? await store.list('runs', NEWEST) : { items: [] };
  const runs = items.filter((run) => run.episodeId !== null && episodes.has(run.episodeId));
  const episode = episodeId !== null && asks('exp_exhausted') ? await store.episode(episodeId) : null;
  return {
    degraded: [...new Set(degraded.map(({ mode }) => mode))].toSorted(),
    runs: runs.length,
    outcome: runs[0]?.outcome ?? null,
    exhausted: episode?.exhausted === true,
  };
};
const NEWEST = { limit: 500, cursor: null, filters: {}, since: null };

/** To the second, since a run takes some time. */
const endOf = (refusal: Verdict | undefined, start: number): number | null => {
  const at = refusal?.endsAt ?? null;
  return at === null ? null : Math.round((at - start) / 1_000) * 1_000;
};

const NOTHING: Omit<Observed, keyof Past> = {
  reason: null,
  rule: null,
  component: null,
  target: null,
  runbook: null,
  strategy: null,
  with: {},
  mode: null,
  rung: null,
  until: null,
  would: null,
  severity: null,
  attempts: 0,
  why: 'nothing was decided about this alert by then',
  asked: [],
  candidates: [],
};

const attemptsOf = async (
  world: TestWorld,
  loaded: Loaded,
  component: string | null,
  ledger: Ledger,
): Promise<number> => {
  const policy = component === null ? undefined : loaded.config.components.get(component)?.policy;
  const per = policy?.attempts[0]?.per ?? 3_600_000;
  return (await world.store.attempts({ component, ledger, since: world.clock.now() - per })).length;
};

const textsOf = (value: Json | undefined): readonly string[] =>
  Array.isArray(value) ? value.filter((one) => typeof one === 'string') : [];
const askedOf = (trace: Json | undefined): Observed['asked'] =>
  (Array.isArray(trace) ? (trace as readonly unknown[]) : [])
    .filter(isObject)
    .map((one) => ({ rule: String(one['rule']), matched: one['matched'] === true }));

/** How each run comes out, one after the other; the last one said repeats. */
const outcomesOf = (given: NonNullable<RuleTest['run_outcomes']>): ((runbook: string) => Ending) => {
  const used = new Map<string, number>();
  return (runbook) => {
    const key = Object.hasOwn(given, runbook) ? runbook : 'default';
    const said = given[key] ?? 'resolved';
    const turn = used.get(runbook) ?? 0;
    used.set(runbook, turn + 1);
    const outcome = typeof said === 'string' ? said : (said[turn] ?? said.at(-1));
    return { how: outcome === 'resolved' ? 'helped' : 'failed', endsAt: null };
  };
};

/** The present, as the test's own timeline has it. */
const sourcesOf = (test: RuleTest, start: number, clock: LeapingClock): Sources => ({
  async alert(labels) {
    const at = clock.now() - start;
    const firing = test.alerts.filter(
      ({ labels: own, from = 0, until = Number.POSITIVE_INFINITY }) =>
        at >= from && at < until && isPart(own, labels) && isPart(labels, own),
    );
    const silenced = firing.some(
      ({ silenced: by }) => by !== undefined && at >= (by.from ?? 0) && at < (by.until ?? Number.POSITIVE_INFINITY),
    );
    if (silenced) return { state: 'silenced', detail: 'the test has a silence for it' };
    return { state: firing.length > 0 ? 'firing' : 'absent', detail: 'as the test says' };
  },
  query: async (query) => answerQuery(test.facts ?? {}, query, clock.now() - start),
});
