// One alert evaluated: what its labels selected, which rule won, and what that asks of admission.
import type { Alert } from '../alert/alert.ts';
import type { Selection } from '../alert/component.ts';
import { createSelector } from '../alert/select.ts';
import type { JsonObject } from '../base/json.ts';
import type { ConfiguredComponent } from '../config.ts';
import { factAsker, factReader } from '../port/fact.ts';
import type { DecisionRequest, HistoryQuery, Snapshot, Wish } from '../port/store.ts';
import type { Choice } from '../rule/decide.ts';
import { decide } from '../rule/decide.ts';
import type { Rule } from '../rule/rule.ts';
import type { Ledger } from '../run/history.ts';
import { longestWindow } from '../run/guards.ts';
import { nextRung } from '../run/ladder.ts';
import { NOT_ASKED } from '../run/present.ts';
import type { Origin, Reason } from '../run/reasons.ts';
import type { Write } from '../run/writes.ts';
import type { Severity } from '../runbook/runbook.ts';
import type { EngineContext, Loaded } from './context.ts';
import { remember } from './intake.ts';
import { effectiveMode, makePlan } from './planner.ts';
import { askPresent } from './present.ts';
import { attemptsByTimePassed, gainedInAll } from './time-passed.ts';
import { pageUndecidable } from './undecidable.ts';

export type Subject = {
  readonly alert: Alert;
  readonly source: string;
  readonly groupSize: number;
  /** Alerts of its group that Alertmanager left out. */
  readonly truncated: number;
  readonly origin: Origin;
  readonly caller: string | null;
  readonly alertId: string | null;
  readonly deliveryId: string | null;
  readonly episodeId: string | null;
  readonly traceparent?: string | null;
};

/** A request for the store, with what orders it within its delivery. */
export type Evaluated = {
  readonly request: DecisionRequest;
  readonly priority: number;
  readonly rule: string;
  readonly shadows: readonly string[];
};

const SNAPSHOT_MS = 24 * 3_600_000;
const DAY_MS = 24 * 3_600_000;

const selectorOf = remember((loaded: Loaded) => createSelector(loaded.config.components));
const noHistory: Snapshot = { version: 0, attempts: [], firingTargets: 0, degraded: [] };

/** `ask`: what is true right now is asked too, because the admission said that it depends on it. */
export const evaluateAlert = async (context: EngineContext, subject: Subject, ask = false): Promise<Evaluated> => {
  const evaluated = traced(await evaluateRules(context, subject), subject.traceparent ?? null);
  if (!ask) return evaluated;
  const { request } = evaluated;
  const wishes = await Promise.all(
    request.wishes.map(async (wish) =>
      wish.present === null ? { ...wish, present: await askPresent(context, wish.plan, subject.truncated) } : wish,
    ),
  );
  return {
    ...evaluated,
    request: {
      ...request,
      wishes,
      record: { ...request.record, present: presentOf(wishes) },
    },
  };
};

/** What comes of it goes on in the trace. */
export const traced = (evaluated: Evaluated, traceparent: string | null): Evaluated => {
  if (traceparent === null) return evaluated;
  const { request } = evaluated;
  const wishes = request.wishes.map((wish) => ({ ...wish, plan: { ...wish.plan, traceparent } }));
  return { ...evaluated, request: { ...request, wishes, record: { ...request.record, traceparent } } };
};

/** What was true then, and what was asked for it: all that it takes to decide again without asking. */
export const presentOf = (wishes: readonly Wish[]): readonly JsonObject[] =>
  wishes.map(({ plan, present }) => ({
    ...(present as unknown as JsonObject),
    ...(plan.policy.minHealthy === null ? {} : { query: plan.policy.minHealthy.query }),
  }));

const evaluateRules = async (context: EngineContext, subject: Subject): Promise<Evaluated> => {
  const loaded = context.loaded();
  const now = context.clock.now();
  const selection = selectorOf(loaded)(subject.alert.labels);
  const component = selection.component?.name ?? null;
  // Most alerts are nobody's: those cost no look at the past.
  const anyone = loaded.catalog.rules.candidates.of(subject.alert.labels, component).length > 0;
  const snapshot = anyone && component !== null ? await snapshotOf(context, component, now) : noHistory;
  const policy =
    component === null
      ? loaded.config.recovery
      : (loaded.config.components.get(component)?.policy ?? loaded.config.recovery);
  const shadow = loaded.config.recovery.mode === 'shadow' || policy.mode === 'shadow';
  const input = {
    alert: subject.alert,
    now,
    groupSize: subject.groupSize,
    component,
    target: selection.found ? selection.target.name : null,
    ledger: shadow ? 'shadow' : 'live',
    episodeId: subject.episodeId,
    snapshot,
  } as const;
  const choice = await decide(loaded.catalog.rules, {
    labels: subject.alert.labels,
    component,
    read: factReader(context.facts, input),
    ask: factAsker(context.facts, input, context.sources),
  });
  return settle({ context, subject, loaded, selection, snapshot, choice, now, shadow });
};

const snapshotOf = async (context: EngineContext, component: string, now: number): Promise<Snapshot> => {
  const since = now - SNAPSHOT_MS - gainedInAll(context);
  const snapshot = await context.store.snapshot({ component, since });
  return { ...snapshot, attempts: attemptsByTimePassed(context, snapshot.attempts, now) };
};

type Settling = {
  readonly context: EngineContext;
  readonly subject: Subject;
  readonly loaded: Loaded;
  readonly selection: Selection;
  readonly snapshot: Snapshot;
  readonly choice: Choice;
  readonly now: number;
  /** From above: nothing that is decided here is anybody's business outside. */
  readonly shadow: boolean;
};

const settle = (from: Settling): Evaluated => {
  const { choice } = from;
  const shadowWishes = choice.shadows.flatMap((rule) => {
    const wish = wishOf(from, rule, `shadow:${rule.name}`);
    return 'problem' in wish ? [] : [wish];
  });
  // A rule above that could not be decided might have said something else: then nothing is done.
  const winner = choice.undecided.length > 0 ? null : choice.winner;
  const settled = winner === null ? withoutWinner(from) : withWinner(from, winner);
  const wishes = settled.wish === null ? shadowWishes : [...shadowWishes, settled.wish];
  // Wishes of shadow rules alone decide nothing about the alert itself.
  const request = requestOf(from, winner, settled.reason, wishes, settled.note, settled.writes);
  return {
    request,
    priority: winner?.priority ?? Number.NEGATIVE_INFINITY,
    rule: winner?.name ?? '',
    shadows: choice.shadows.map((rule) => rule.name),
  };
};

type Settled = {
  readonly reason: Reason | null;
  readonly wish: Wish | null;
  readonly note: string;
  readonly writes: readonly Write[];
};

const withoutWinner = ({ context, subject, selection, choice, shadow }: Settling): Settled => {
  if (choice.errors.length > 0)
    return {
      reason: 'undecidable',
      wish: null,
      note: choice.errors.map(({ rule, error }) => `${rule}: ${error}`).join('; '),
      writes: shadow ? [] : pageUndecidable(context, subject, selection.component?.name ?? null, choice.undecided),
    };
  return { reason: choice.shadows.length > 0 ? 'shadow' : 'no_match', wish: null, note: '', writes: [] };
};

const withWinner = (from: Settling, rule: Rule): Settled => {
  switch (rule.event) {
    case 'observe':
      return { reason: 'observed', wish: null, note: '', writes: [] };
    case 'ignore':
      return { reason: 'ignored', wish: null, note: '', writes: [] };
    case 'escalate':
      return { reason: 'escalated', wish: null, note: '', writes: escalation(from, rule) };
    case 'remediate': {
      const wish = wishOf(from, rule, 'live');
      if ('problem' in wish) return { reason: wish.reason, wish: null, note: wish.problem, writes: [] };
      return { reason: null, wish, note: '', writes: [] };
    }
    default:
      return rule.event satisfies never;
  }
};

const escalation = ({ context, subject, selection, loaded }: Settling, rule: Rule): readonly Write[] => {
  const place = {
    component: selection.component?.name ?? null,
    target: selection.found ? selection.target.name : null,
    runId: null,
  };
  const severity = (rule.severity ?? 'SEV3') as Severity;
  const { labels, annotations } = subject.alert;
  const title = `${labels['alertname'] ?? 'An alert'} needs a human: ${annotations['summary'] ?? rule.description}`;
  if (loaded.config.recovery.mode === 'shadow') return [];
  return [
    {
      type: 'inbox.open',
      id: context.ids.next(),
      kind: 'escalation',
      dedup: subject.episodeId === null ? null : `escalated:${subject.episodeId}`,
      severity,
      ...place,
      episodeId: subject.episodeId,
      title,
      body: { rule: rule.name, labels, annotations },
    },
    {
      type: 'notify',
      id: context.ids.next(),
      topic: 'escalation',
      receiver: null,
      severity,
      ...place,
      title,
      body: annotations['description'] ?? rule.description,
    },
  ];
};

type NoWish = { readonly problem: string; readonly reason: Reason };

/** What a rule would have done, on the ledger it is counted on. */
const wishOf = (from: Settling, rule: Rule, asked: Ledger): Wish | NoWish => {
  const { selection, subject, loaded, snapshot } = from;
  if (!selection.found) return { problem: selection.problem, reason: 'invalid' };
  const component = loaded.config.components.get(selection.component.name) as ConfiguredComponent;
  const wanted: Ledger = asked;
  const episodeOn = (ledger: Ledger): typeof snapshot.attempts =>
    subject.episodeId === null
      ? []
      : snapshot.attempts.filter((attempt) => attempt.ledger === ledger && attempt.episodeId === subject.episodeId);
  // The rung decides the mode, the mode the ledger, the ledger the rung: from above, shadow is the same for every rung.
  const above = effectiveMode(loaded, component, { ...rule, ladder: [] }, 0);
  const ledger: Ledger = wanted === 'live' && above === 'shadow' ? 'shadow' : wanted;
  const rung = nextRung(rule.ladder.length, episodeOn(ledger));
  if (rung === null) return { problem: 'no rung of the ladder is left in this episode', reason: 'duplicate' };
  const mode = effectiveMode(loaded, component, rule, rung, snapshot.demotions?.get(rule.name)?.mode);
  const step = rule.ladder[rung];
  const plan = makePlan({
    loaded,
    component,
    target: selection.target,
    alert: subject.alert,
    source: subject.source,
    runbook: step?.runbook ?? '',
    given: step?.with ?? {},
    rule,
    rung,
    mode: ledger === 'live' ? mode : wouldBe(mode, rule, rung),
    manual: null,
  });
  if (!plan.ok) return { problem: plan.problems.map((problem) => problem.message).join('; '), reason: 'invalid' };
  const counted = ledger === 'live' && mode === 'shadow' ? 'shadow' : ledger;
  // What would only have been done in shadow is nobody's business outside.
  return {
    plan: plan.value,
    ledger: counted,
    present: counted === 'live' && needsAsking(loaded, component) ? null : NOT_ASKED,
  };
};

const needsAsking = ({ config }: Loaded, { policy }: ConfiguredComponent): boolean =>
  config.alertmanagers.length > 0 || policy.minHealthy !== null;

/** In shadow the plan says what live would have done: ask, or act. */
const wouldBe = (mode: Plan['mode'], rule: Rule, rung: number): Plan['mode'] => {
  if (mode !== 'shadow') return mode;
  return rule.ladder[rung]?.mode === 'approve' ? 'approve' : 'auto';
};
type Plan = Wish['plan'];

export const historyQueryOf = (
  context: Pick<EngineContext, 'jumps'>,
  wish: Wish,
  episodeId: string | null,
): HistoryQuery => ({
  component: wish.plan.component.name,
  kind: wish.plan.component.kind,
  strategy: wish.plan.runbook.strategy,
  stormWindow: wish.plan.policy.storm.window,
  componentsWindow: wish.plan.policy.storm.componentsWindow,
  target: wish.plan.target.name,
  rule: wish.plan.rule,
  episodeId,
  ledger: wish.ledger,
  window:
    gainedInAll(context) +
    Math.max(
      DAY_MS,
      longestWindow(
        wish.plan.policy.attempts,
        wish.plan.policy.budget,
        wish.plan.limits.attempts,
        wish.plan.policy.fleet?.attempts ?? [],
      ),
    ),
});

const requestOf = (
  from: Settling,
  rule: Rule | null,
  reason: Reason | null,
  wishes: readonly Wish[],
  note: string,
  writes: readonly Write[],
): DecisionRequest => {
  const { context, subject, loaded, selection, snapshot, choice, now } = from;
  const winning = reason === null ? wishes.at(-1) : undefined;
  const episode: Write[] =
    subject.episodeId === null
      ? []
      : [{ type: 'episode.update', id: subject.episodeId, patch: { catalogDigest: loaded.catalog.digest } }];
  const record: JsonObject = {
    labels: subject.alert.labels,
    annotations: subject.alert.annotations,
    starts_at: subject.alert.startsAt,
    source: subject.source,
    group_size: subject.groupSize,
    selection: {
      component: selection.component?.name ?? null,
      target: selection.found ? selection.target.name : selection.targetName,
      problem: selection.found ? null : selection.problem,
    },
    candidates: choice.candidates,
    shadows: choice.shadows.map((shadow) => shadow.name),
    ...(rule !== null && snapshot.demotions?.has(rule.name) === true
      ? { demoted: { ...snapshot.demotions.get(rule.name) } }
      : {}),
    errors: choice.errors.map((error) => ({ ...error })),
    facts: choice.facts,
    trace: choice.trace,
    note,
    plans: wishes.map((wish) => ({
      ledger: wish.ledger,
      runbook: wish.plan.runbook.name,
      rung: wish.plan.rung,
      mode: wish.plan.mode,
      inputs: wish.plan.inputs,
      digests: { ...wish.plan.digests },
    })),
    digests: {
      catalog: loaded.catalog.digest,
      config: loaded.config.digest,
      rule: rule?.digest ?? null,
      revision: loaded.revision ?? null,
    },
  };
  return {
    id: context.ids.next(),
    at: now,
    origin: subject.origin,
    caller: subject.caller,
    alertId: subject.alertId,
    deliveryId: subject.deliveryId,
    episodeId: subject.episodeId,
    component: selection.component?.name ?? null,
    kind: selection.component?.kind ?? null,
    target: selection.found ? selection.target.name : null,
    rule: rule?.name ?? null,
    strategy: winning?.plan.runbook.strategy ?? null,
    reason,
    wishes,
    historyQueries: wishes.map((wish) => historyQueryOf(context, wish, subject.episodeId)),
    version: snapshot === noHistory ? null : snapshot.version,
    record,
    writes: [...episode, ...writes],
  };
};
