// What a backtest comes to: for each rule what it did, when it was busiest, and what another set of rules does otherwise.
import type { Reason } from '../run/reasons.ts';
import type { BacktestResult } from './backtest.ts';
import type { Judged } from './witness.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 86_400_000;
const BUSIEST = 5;

/** Counts of decisions; `escalated` is also of runs after which a human was called. `held` is by the reason, `wouldBeHeld` is of shadow decisions. */
export type RuleSummary = {
  readonly rule: string;
  readonly acted: number;
  readonly asked: number;
  readonly wouldAct: number;
  readonly escalated: number;
  readonly capped: number;
  readonly held: Readonly<Record<string, number>>;
  readonly wouldBeHeld: Readonly<Record<string, number>>;
};

export type Summary = {
  readonly from: string | null;
  readonly to: string | null;
  readonly deliveries: number;
  readonly alerts: number;
  readonly decisions: Readonly<Record<string, number>>;
  readonly rules: readonly RuleSummary[];
  readonly runs: ReadonlyArray<{
    readonly component: string;
    readonly strategy: string;
    readonly outcome: string;
    readonly count: number;
  }>;
  /** By what was done or would have been, most first; times are the beginnings of hours and days, UTC. */
  readonly busiestHours: ReadonlyArray<{ readonly hour: string; readonly acts: number; readonly alerts: number }>;
  readonly worstDay: { readonly day: string; readonly acts: number; readonly alerts: number } | null;
  readonly assumedRuns: number;
  readonly unknown: BacktestResult['unknown'];
  readonly undone: BacktestResult['undone'];
  readonly refused: BacktestResult['refused'];
};

const CAPS: ReadonlySet<string> = new Set(['attempts_used_up', 'budget']);
/** Reasons under which a rule did what it is for. */
const NOT_HELD: ReadonlySet<Reason> = new Set([
  'admitted',
  'awaiting_approval',
  'shadow',
  'escalated',
  'observed',
  'ignored',
]);

const count = (into: Map<string, number>, key: string): void => void into.set(key, (into.get(key) ?? 0) + 1);
const sorted = (counts: ReadonlyMap<string, number>): Record<string, number> =>
  Object.fromEntries([...counts].toSorted(([left, a], [right, b]) => b - a || (left < right ? -1 : 1)));

const acts = ({ reason, would }: Judged): boolean =>
  reason === 'admitted' || reason === 'awaiting_approval' || would === 'admitted';

/** Takes decisions one by one: a month of them need not lie in memory. */
export type Tally = { add(judged: Judged): void; summary(result: BacktestResult): Summary };

export const createTally = (): Tally => {
  const decisions = new Map<string, number>();
  const rules = new Map<string, RuleTally>();
  const hours = new Map<number, Span>();
  return {
    add(judged) {
      count(decisions, judged.reason);
      if (judged.rule !== null) {
        const tally = rules.get(judged.rule) ?? emptyRule();
        rules.set(judged.rule, tally);
        addToRule(tally, judged);
      }
      const hour = Math.floor(judged.at / HOUR_MS) * HOUR_MS;
      const span = hours.get(hour) ?? { acts: 0, alerts: 0 };
      hours.set(hour, span);
      span.acts += acts(judged) ? 1 : 0;
      span.alerts += judged.origin === 'delivery' ? 1 : 0;
    },
    summary: (result) => summaryOf(result, decisions, rules, hours),
  };
};

type Span = { acts: number; alerts: number };
type RuleTally = Record<'acted' | 'asked' | 'wouldAct' | 'escalated' | 'capped', number> & {
  readonly held: Map<string, number>;
  readonly wouldBeHeld: Map<string, number>;
};
const emptyRule = (): RuleTally => ({
  acted: 0,
  asked: 0,
  wouldAct: 0,
  escalated: 0,
  capped: 0,
  held: new Map(),
  wouldBeHeld: new Map(),
});

const addToRule = (tally: RuleTally, { reason, would }: Judged): void => {
  if (reason === 'admitted') tally.acted += 1;
  if (reason === 'awaiting_approval') tally.asked += 1;
  if (would === 'admitted') tally.wouldAct += 1;
  if (reason === 'escalated') tally.escalated += 1;
  if (CAPS.has(reason) || (would !== null && CAPS.has(would))) tally.capped += 1;
  if (!NOT_HELD.has(reason)) count(tally.held, reason);
  if (would !== null && would !== 'admitted') count(tally.wouldBeHeld, would);
};

const summaryOf = (
  result: BacktestResult,
  decisions: ReadonlyMap<string, number>,
  rules: ReadonlyMap<string, RuleTally>,
  hours: ReadonlyMap<number, Span>,
): Summary => {
  const runs = new Map<string, number>();
  for (const run of result.runs) count(runs, JSON.stringify([run.component, run.strategy, run.outcome]));
  const days = new Map<number, Span>();
  for (const [hour, { acts: acted, alerts }] of hours) {
    const at = Math.floor(hour / DAY_MS) * DAY_MS;
    const day = days.get(at) ?? { acts: 0, alerts: 0 };
    days.set(at, { acts: day.acts + acted, alerts: day.alerts + alerts });
  }
  const [worst] = busiest(days, 1);
  return {
    from: result.from === null ? null : iso(result.from),
    to: result.to === null ? null : iso(result.to),
    deliveries: result.deliveries,
    alerts: result.alerts,
    decisions: sorted(decisions),
    rules: [...rules]
      .toSorted(([left], [right]) => (left < right ? -1 : 1))
      .map(([rule, { held, wouldBeHeld, ...counts }]) => ({
        rule,
        ...counts,
        escalated: counts.escalated + result.handedOver.filter((name) => name === rule).length,
        held: sorted(held),
        wouldBeHeld: sorted(wouldBeHeld),
      })),
    runs: [...runs]
      .map(([key, times]) => {
        const [component, strategy, outcome] = JSON.parse(key) as [string, string, string];
        return { component, strategy, outcome, count: times };
      })
      .toSorted((left, right) => right.count - left.count),
    busiestHours: busiest(hours, BUSIEST).map(({ at, ...counts }) => ({ hour: iso(at), ...counts })),
    worstDay: worst === undefined ? null : { day: iso(worst.at).slice(0, 10), acts: worst.acts, alerts: worst.alerts },
    assumedRuns: result.assumedRuns,
    unknown: result.unknown,
    undone: result.undone,
    refused: result.refused,
  };
};

const iso = (ms: number): string => new Date(ms).toISOString();

const busiest = (
  spans: ReadonlyMap<number, Span>,
  most: number,
): ReadonlyArray<{ readonly at: number; readonly acts: number; readonly alerts: number }> =>
  [...spans]
    .map(([at, counts]) => ({ at, ...counts }))
    .toSorted((left, right) => right.acts - left.acts || right.alerts - left.alerts || left.at - right.at)
    .slice(0, most);

export const CHANGES = [
  'newly_acts',
  'no_longer_acts',
  'acts_differently',
  'would_act_differently',
  'other_reason',
] as const;
export type Change = (typeof CHANGES)[number];

/** One incident that the two sets of rules treat otherwise. Each side says what it did, in order. */
export type Difference = {
  readonly change: Change;
  readonly at: string;
  readonly alertname: string;
  readonly component: string | null;
  readonly target: string | null;
  readonly before: readonly string[];
  readonly after: readonly string[];
};

/** `would` is what shadow decisions would have done: nothing was done. */
type Incident = { readonly first: Judged; readonly acts: string[]; readonly would: string[]; readonly words: string[] };
export type Incidents = ReadonlyMap<number, Incident>;

/** By the place in the journal at which an incident opened: both sides read the same one. */
export const createIncidents = (): { add(judged: Judged): void; readonly found: Incidents } => {
  const found = new Map<number, Incident>();
  /** Thousands of incidents have the same few words. */
  const texts = new Map<string, string>();
  return {
    found,
    add(judged) {
      const { episode, reason } = judged;
      if (episode === null || reason === 'duplicate' || reason === 'resolved') return;
      const incident = found.get(episode) ?? { first: judged, acts: [], would: [], words: [] };
      const said = wordsOf(judged);
      const text = texts.get(said) ?? said;
      texts.set(text, text);
      if (acts(judged)) (judged.would === null ? incident.acts : incident.would).push(text);
      // Looked at again and again while it is held: once is enough.
      if (incident.words.at(-1) !== text) incident.words.push(text);
      found.set(episode, incident);
    },
  };
};

const wordsOf = ({ reason, rule, strategy, would }: Judged): string => {
  const what = [rule, strategy].filter((word) => word !== null).join(' > ');
  const verdict = would === null ? reason : `${reason} (would be ${would})`;
  return what === '' ? verdict : `${verdict}: ${what}`;
};

/** Incident by incident, in the order in which they opened. */
export const compare = (was: Incidents, is: Incidents): readonly Difference[] => {
  const numbers = [...new Set([...was.keys(), ...is.keys()])].toSorted((left, right) => left - right);
  return numbers.flatMap((number) => {
    const left = was.get(number);
    const right = is.get(number);
    const first = left?.first ?? right?.first;
    const change = changeOf(left, right);
    if (first === undefined || change === null) return [];
    const { at, alertname, component, target } = first;
    return [
      { change, at: iso(at), alertname, component, target, before: left?.words ?? [], after: right?.words ?? [] },
    ];
  });
};

const changeOf = (left: Incident | undefined, right: Incident | undefined): Change | null => {
  const [before, after] = [left?.acts ?? [], right?.acts ?? []];
  if (before.length === 0 && after.length > 0) return 'newly_acts';
  if (before.length > 0 && after.length === 0) return 'no_longer_acts';
  if (before.join('\n') !== after.join('\n')) return 'acts_differently';
  if ((left?.would ?? []).join('\n') !== (right?.would ?? []).join('\n')) return 'would_act_differently';
  return (left?.words ?? []).join('\n') === (right?.words ?? []).join('\n') ? null : 'other_reason';
};
