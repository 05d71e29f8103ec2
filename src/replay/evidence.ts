// What a rule has to show before it may do more: of a rule that acts, its newest runs; of one that is shadow, what it would
// have done. The figures go into the pull request that changes its mode.
import type { RunRow } from '../port/record.ts';
import type { Mode, Policy } from '../rule/limits.ts';
import type { Rule } from '../rule/rule.ts';
import type { Attempt, Demotion } from '../run/history.ts';

/** `ok` counts for it, `failed` against it, `none` neither. */
export type Shown = {
  readonly id: string;
  readonly at: number;
  readonly component: string;
  readonly target: string;
  readonly strategy: string;
  readonly verdict: 'ok' | 'failed' | 'none';
  /** `resolved (verified)`, `would have acted`, ... */
  readonly what: string;
  /** From the start of the alert to verified, milliseconds. */
  readonly recoveryMs: number | null;
};

export type Evidence = {
  readonly rule: string;
  readonly file: string;
  readonly mode: Mode;
  /** The next mode; null: there is none. */
  readonly next: Mode | null;
  readonly demoted: Demotion | null;
  readonly needed: { readonly successes: number; readonly share: number };
  readonly successes: number;
  readonly failures: number;
  readonly ineffective: number;
  /** 0 to 1; null without anything that counts. */
  readonly share: number | null;
  readonly recoveryMs: { readonly median: number; readonly p95: number } | null;
  readonly enough: boolean;
  /** Why it is not. */
  readonly lacks: readonly string[];
  /** Destroys something: the next mode needs `accept_destructive` too. */
  readonly destructive: boolean;
  /** Newest first, back to the last one that was needed. */
  readonly shown: readonly Shown[];
};

export type EvidenceFrom = {
  readonly rule: Pick<Rule, 'name' | 'file' | 'mode' | 'event'>;
  readonly destructive: boolean;
  readonly promotion: Policy['promotion'];
  readonly demoted: Demotion | null;
  readonly now: number;
  /** Live runs of the rule, newest first. */
  readonly runs: readonly RunRow[];
  /** What it would have done while it was shadow, newest first; and what was done meanwhile, by any rule. */
  readonly shadow: readonly Attempt[];
  readonly live: readonly Attempt[];
};

const NEXT: Readonly<Record<Mode, Mode | null>> = { shadow: 'approve', approve: 'auto', auto: null };

export const evidenceOf = (from: EvidenceFrom): Evidence => {
  const { rule, promotion, demoted } = from;
  const next = rule.event === 'remediate' ? NEXT[rule.mode] : null;
  const all =
    rule.mode === 'shadow'
      ? from.shadow.map((one) => wouldBe(one, from.live))
      : from.runs.map((run) => done(run, from.now));
  const shown = backTo(all, promotion.successes);
  const successes = shown.filter(({ verdict }) => verdict === 'ok').length;
  const failures = shown.filter(({ verdict }) => verdict === 'failed').length;
  const share = successes + failures === 0 ? null : successes / (successes + failures);
  const lacks = lacking({ from, next, successes, share });
  return {
    rule: rule.name,
    file: rule.file,
    mode: rule.mode,
    next,
    demoted,
    needed: promotion,
    successes,
    failures,
    ineffective: shown.filter(({ what }) => what.includes('ineffective')).length,
    share,
    recoveryMs: spread(shown.flatMap(({ recoveryMs }) => recoveryMs ?? [])),
    enough: lacks.length === 0,
    lacks,
    destructive: from.destructive,
    shown,
  };
};

const lacking = ({
  from: { rule, promotion, demoted },
  next,
  successes,
  share,
}: {
  readonly from: EvidenceFrom;
  readonly next: Mode | null;
  readonly successes: number;
  readonly share: number | null;
}): readonly string[] => {
  const { name } = rule;
  if (rule.event !== 'remediate') return [`${name} runs no runbook: its mode says nothing`];
  if (next === null) return [`${name} is auto already`];
  const what =
    rule.mode === 'shadow' ? 'times that it would have acted, without another run in their way' : 'verified successes';
  return [
    ...(demoted === null ? [] : [`${name} is demoted (${demoted.reason}): restore it first`]),
    ...(successes < promotion.successes ? [`${successes} of the ${promotion.successes} ${what} that are needed`] : []),
    ...(share !== null && share < promotion.share
      ? [`${percent(share)} of those that count; ${percent(promotion.share)} are needed`]
      : []),
  ];
};

export const percent = (share: number): string => `${Math.floor(share * 1_000) / 10}%`;

/** No further back than to the last success that is needed: what was wrong long before is mended. */
const backTo = (all: readonly Shown[], successes: number): readonly Shown[] => {
  let found = 0;
  const end = all.findIndex(({ verdict }) => verdict === 'ok' && (found += 1) >= successes);
  return end === -1 ? all : all.slice(0, end + 1);
};

/** A success counts once its settling time is over: until then it may still turn out to have been ineffective. */
const done = (run: RunRow, now: number): Shown => {
  const settling = run.outcome === 'resolved' && run.settleUntil !== null && run.settleUntil > now;
  const { outcome, cause } = run;
  const verdict =
    outcome === null || outcome === 'withdrawn' || settling ? 'none' : outcome === 'resolved' ? 'ok' : 'failed';
  const what = settling ? 'verified, settling' : outcome === null ? run.state : `${outcome} (${cause ?? ''})`;
  const { verifiedAt, alertStartedAt } = run;
  const recoveryMs =
    verdict === 'ok' && verifiedAt !== null && alertStartedAt !== null ? verifiedAt - alertStartedAt : null;
  const { id, component, target, strategy } = run;
  return { id, at: run.createdAt, component, target, strategy, verdict, what, recoveryMs };
};

/** In its way: something else was done in the same incident. */
const wouldBe = (attempt: Attempt, live: readonly Attempt[]): Shown => {
  const { id, at, component, target, strategy, episodeId } = attempt;
  const other = live.find((run) => run.episodeId !== null && run.episodeId === episodeId && run.strategy !== strategy);
  return {
    id,
    at,
    component,
    target,
    strategy,
    verdict: other === undefined ? 'ok' : 'failed',
    what: other === undefined ? 'would have acted' : `in conflict with ${other.strategy} of ${other.rule ?? 'a human'}`,
    recoveryMs: null,
  };
};

const spread = (times: readonly number[]): Evidence['recoveryMs'] => {
  const sorted = times.toSorted((left, right) => left - right);
  const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0;
  return sorted.length === 0 ? null : { median: at(0.5), p95: at(0.95) };
};
