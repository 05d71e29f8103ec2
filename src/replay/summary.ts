// What a backtest comes to: for each rule what it did, when it was busiest, and what another set of rules does otherwise.
import type { Reason } from '../run/reasons.ts';
import type { BacktestResult, Judged } from './backtest.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 86_400_000;
const BUSIEST = 5;

/** Counts of decisions. `held` is by the reason, `wouldBeHeld` is of shadow decisions. */
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

export const summarise = (result: BacktestResult): Summary => {
  const decisions = new Map<string, number>();
  for (const { reason } of result.decisions) count(decisions, reason);
  const runs = new Map<string, number>();
  for (const run of result.runs) count(runs, JSON.stringify([run.component, run.strategy, run.outcome]));
  const [worst] = busiest(result.decisions, DAY_MS, 1);
  return {
    from: result.from === null ? null : iso(result.from),
    to: result.to === null ? null : iso(result.to),
    deliveries: result.deliveries,
    alerts: result.alerts,
    decisions: sorted(decisions),
    rules: rulesOf(result.decisions),
    runs: [...runs]
      .map(([key, times]) => {
        const [component, strategy, outcome] = JSON.parse(key) as [string, string, string];
        return { component, strategy, outcome, count: times };
      })
      .toSorted((left, right) => right.count - left.count),
    busiestHours: busiest(result.decisions, HOUR_MS, BUSIEST).map(({ at, ...counts }) => ({
      hour: iso(at),
      ...counts,
    })),
    worstDay: worst === undefined ? null : { day: iso(worst.at).slice(0, 10), acts: worst.acts, alerts: worst.alerts },
    assumedRuns: result.assumedRuns,
    refused: result.refused,
  };
};

const iso = (ms: number): string => new Date(ms).toISOString();

const rulesOf = (decisions: readonly Judged[]): readonly RuleSummary[] => {
  const byRule = new Map<string, Judged[]>();
  for (const decision of decisions) {
    const { rule } = decision;
    if (rule === null) continue;
    const its = byRule.get(rule) ?? [];
    its.push(decision);
    byRule.set(rule, its);
  }
  return [...byRule]
    .toSorted(([left], [right]) => (left < right ? -1 : 1))
    .map(([rule, its]) => {
      const held = new Map<string, number>();
      const wouldBeHeld = new Map<string, number>();
      for (const { reason, would } of its) {
        if (!NOT_HELD.has(reason)) count(held, reason);
        if (would !== null && would !== 'admitted') count(wouldBeHeld, would);
      }
      const number = (wanted: (one: Judged) => boolean): number => its.filter(wanted).length;
      return {
        rule,
        acted: number(({ reason }) => reason === 'admitted'),
        asked: number(({ reason }) => reason === 'awaiting_approval'),
        wouldAct: number(({ would }) => would === 'admitted'),
        escalated: number(({ reason }) => reason === 'escalated'),
        capped: number(({ reason, would }) => CAPS.has(reason) || (would !== null && CAPS.has(would))),
        held: sorted(held),
        wouldBeHeld: sorted(wouldBeHeld),
      };
    });
};

const busiest = (
  decisions: readonly Judged[],
  length: number,
  most: number,
): ReadonlyArray<{ readonly at: number; readonly acts: number; readonly alerts: number }> => {
  const spans = new Map<number, { acts: number; alerts: number }>();
  for (const decision of decisions) {
    const at = Math.floor(decision.at / length) * length;
    const span = spans.get(at) ?? { acts: 0, alerts: 0 };
    span.acts += acts(decision) ? 1 : 0;
    span.alerts += decision.origin === 'delivery' ? 1 : 0;
    spans.set(at, span);
  }
  return [...spans]
    .map(([at, counts]) => ({ at, ...counts }))
    .toSorted((left, right) => right.acts - left.acts || right.alerts - left.alerts || left.at - right.at)
    .slice(0, most);
};

export const CHANGES = ['newly_acts', 'no_longer_acts', 'acts_differently', 'other_reason'] as const;
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

type Incident = { readonly first: Judged; readonly acts: readonly string[]; readonly words: readonly string[] };

/** By the place in the journal at which an incident opened: both sides read the same one. */
const incidentsOf = (decisions: readonly Judged[]): ReadonlyMap<number, Incident> => {
  const found = new Map<number, { first: Judged; acts: string[]; words: string[] }>();
  for (const decision of decisions) {
    const { episode, reason } = decision;
    if (episode === null || reason === 'duplicate' || reason === 'resolved') continue;
    const incident = found.get(episode) ?? { first: decision, acts: [], words: [] };
    const text = wordsOf(decision);
    if (acts(decision)) incident.acts.push(text);
    // Looked at again and again while it is held: once is enough.
    if (incident.words.at(-1) !== text) incident.words.push(text);
    found.set(episode, incident);
  }
  return found;
};

const wordsOf = ({ reason, rule, strategy, would }: Judged): string => {
  const what = [rule, strategy].filter((word) => word !== null).join(' > ');
  const verdict = would === null ? reason : `${reason} (would be ${would})`;
  return what === '' ? verdict : `${verdict}: ${what}`;
};

/** Incident by incident, in the order in which they opened. */
export const compare = (before: BacktestResult, after: BacktestResult): readonly Difference[] => {
  const was = incidentsOf(before.decisions);
  const is = incidentsOf(after.decisions);
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
  return (left?.words ?? []).join('\n') === (right?.words ?? []).join('\n') ? null : 'other_reason';
};
