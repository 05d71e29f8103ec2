// How a run ends: the writes that come with its last event, from the record alone.
import type { JsonObject } from '../base/json.ts';
import type { Aftermath, Severity } from '../runbook/runbook.ts';
import { judge } from './admission.ts';
import type { Judgement } from './admission.ts';
import type { Outcome, OutcomeCause, RunEvent, StoredEvent } from './events.ts';
import { inWindow } from './guards.ts';
import type { Attempt, History } from './history.ts';
import { nextRung } from './ladder.ts';
import type { Plan } from './plan.ts';
import type { RunState } from './state.ts';
import { apply, mutated } from './state.ts';
import type { Write } from './writes.ts';

/** What a conclusion is drawn from; `nextId` makes ids for inbox and outbox rows. */
export type Concluding = {
  readonly runId: string;
  readonly episodeId: string | null;
  readonly plan: Plan;
  readonly state: RunState;
  readonly history: History;
  readonly now: number;
  readonly haltFile: string | null;
  nextId(): string;
};

/** What a guard withdrew is decided anew after this long. */
const DECIDE_AGAIN_MS = 30_000;

export type Conclusion = { readonly events: readonly RunEvent[]; readonly writes: readonly Write[] };

/** The attempt of this run as it will stand when it has ended so. */
const endedAttempt = (from: Concluding, outcome: Outcome, cause: OutcomeCause, at: number): Attempt => {
  const { plan, runId, episodeId, history } = from;
  const known =
    history.attempts.find((attempt) => attempt.runId === runId) ??
    history.episode.find((attempt) => attempt.runId === runId);
  const base: Attempt = known ?? {
    id: runId,
    ledger: 'live',
    runId,
    episodeId,
    component: plan.component.name,
    kind: plan.component.kind,
    target: plan.target.name,
    strategy: plan.runbook.strategy,
    rule: plan.rule,
    rung: plan.rung,
    at,
    endedAt: null,
    outcome: null,
    cause: null,
    domain: plan.domain,
  };
  return { ...base, endedAt: at, outcome, cause };
};

/** Is anything automatic left for the episode, if the run ended so? */
export const judgeEnd = (from: Concluding, outcome: Outcome, cause: OutcomeCause, at: number = from.now): Judgement => {
  const ended = endedAttempt(from, outcome, cause, at);
  const others = from.history.episode.filter((attempt) => attempt.runId !== from.runId);
  const rungLeft = nextRung(from.plan.rungs, [...others, ended]) !== null;
  return judge(from.plan, from.history, ended, rungLeft, from.haltFile);
};

/** The last event of a run and everything that is true from then on. */
export const conclude = (from: Concluding, outcome: Outcome, cause: OutcomeCause, detail: string): Conclusion => {
  const { plan, runId, state, now, episodeId } = from;
  const settles = outcome === 'resolved' && episodeId !== null && plan.policy.settle > 0;
  const events: RunEvent[] = [
    { type: 'done', outcome, cause, detail, settleUntil: settles ? now + plan.policy.settle : null },
  ];
  const used = outcome !== 'withdrawn' || mutated(state);
  const writes: Write[] = [
    { type: used ? 'attempt.end' : 'attempt.release', runId, at: now, outcome, cause },
    { type: 'inbox.close_for_run', runId, kind: 'approval', by: 'amends', comment: `the run is ${outcome} (${cause})` },
    {
      type: 'audit',
      actor: 'amends',
      action: `run.${outcome}`,
      subject: runId,
      detail: { cause, detail, component: plan.component.name, target: plan.target.name, runbook: plan.runbook.name },
    },
  ];
  switch (outcome) {
    case 'resolved':
      writes.push(...marks(from, plan.runbook.onSuccess));
      break;
    case 'unresolved':
    case 'stuck':
      writes.push(...failureWrites(from, outcome, cause, detail, now));
      break;
    case 'withdrawn':
      writes.push(...withdrawnWrites(from, cause, detail));
      break;
    default:
      return outcome satisfies never;
  }
  return { events, writes };
};

/** What else is known of the rule when a run of it turns out to have been ineffective. */
export type Standing = {
  /** Its live attempts on any component, at least of the last day. */
  readonly attempts: readonly Attempt[];
  readonly demoted: boolean;
};

/** A verified run whose alert did not go quiet, or came back: a failure after all, from the run's end on. */
export const ineffective = (from: Concluding, why: string, standing: Standing): Conclusion => {
  const at = from.state.endedAt ?? from.now;
  const done: StoredEvent = { seq: 0, at: from.now, event: { type: 'ineffective', why } };
  const state = apply(from.plan, from.state, done);
  return {
    events: [done.event],
    writes: [
      { type: 'attempt.end', runId: from.runId, at, outcome: 'unresolved', cause: 'ineffective' },
      { type: 'audit', actor: 'amends', action: 'run.ineffective', subject: from.runId, detail: { why } },
      ...failureWrites({ ...from, state }, 'unresolved', 'ineffective', why, at),
      ...demotion({ ...from, state }, standing),
    ],
  };
};

const DAY_MS = 86_400_000;

/** The second ineffective run of a rule in a day takes its autonomy away at once: it only looked as if it helped. */
const demotion = (from: Concluding, { attempts, demoted }: Standing): readonly Write[] => {
  const { plan, history, runId, now } = from;
  const { rule } = plan;
  if (rule === null || demoted) return [];
  const others = [...attempts, ...history.attempts].find(
    (attempt) =>
      attempt.rule === rule &&
      attempt.cause === 'ineffective' &&
      attempt.runId !== runId &&
      inWindow(attempt.at, DAY_MS, now),
  );
  if (others === undefined) return [];
  const reason = `ineffective twice in a day: runs ${others.runId ?? ''} and ${runId}`;
  return [
    { type: 'rule.demote', rule, mode: 'approve', until: null, reason },
    { type: 'audit', actor: 'amends', action: 'rule.demote', subject: rule, detail: { mode: 'approve', reason } },
    ...escalate(
      from,
      plan.runbook.severity,
      `The rule ${rule} was demoted: it asks a human from now on`,
      `${reason}; amends promote ${rule} --restore gives it back what its file says`,
      demotedEntry(rule),
      LEVEL_WATCH,
    ),
  ];
};

/** Names the one open inbox entry about a rule's demotion. */
export const demotedEntry = (rule: string): string => `demoted:${rule}`;

const failureWrites = (
  from: Concluding,
  outcome: Outcome,
  cause: OutcomeCause,
  detail: string,
  endedAt: number,
): readonly Write[] => {
  const { plan, episodeId, state } = from;
  const { runbook } = plan;
  const judgement = judgeEnd(from, outcome, cause, endedAt);
  const exhausted = judgement.exhausted || state.judged?.exhausted === true;
  const why = state.judged?.why || judgement.why;
  const writes: Write[] = [...marks(from, runbook.onFailure)];
  if (outcome === 'stuck') {
    writes.push(
      ...escalate(
        from,
        runbook.onExhausted.escalate ?? runbook.severity,
        `Stuck: ${runbook.name} on ${plan.target.name}`,
        detail,
        null,
        LEVEL_HUMAN,
      ),
    );
    if (cause === 'undo_failed') {
      writes.push({
        type: 'disable',
        scope: 'component',
        name: plan.component.name,
        until: null,
        by: 'amends',
        reason: `undo failed in run ${from.runId}`,
      });
    }
  } else if (runbook.onFailure.escalate !== null) {
    writes.push(
      ...escalate(
        from,
        runbook.onFailure.escalate,
        `${runbook.name} did not help ${plan.target.name}`,
        detail,
        `failure:${episodeId ?? from.runId}`,
        LEVEL_WATCH,
      ),
    );
  }
  if (plan.manual !== null || episodeId === null) return writes;
  if (!exhausted) {
    writes.push({ type: 'episode.update', id: episodeId, patch: { nextEvaluationAt: judgement.nextAt, backoff: 0 } });
    return writes;
  }
  writes.push(
    { type: 'episode.update', id: episodeId, patch: { exhausted: true, nextEvaluationAt: null } },
    ...marks(from, runbook.onExhausted),
  );
  if (outcome !== 'stuck') {
    const severity = runbook.onExhausted.escalate ?? runbook.severity;
    writes.push(
      ...escalate(
        from,
        severity,
        `Nothing automatic is left for ${plan.component.name} ${plan.target.name}`,
        `${why}; last: ${detail}`,
        `exhausted:${episodeId}`,
        LEVEL_HUMAN,
      ),
    );
  }
  return writes;
};

const withdrawnWrites = (from: Concluding, cause: OutcomeCause, detail: string): readonly Write[] => {
  const { plan, episodeId, now } = from;
  const writes: Write[] = [];
  // Alertmanager alone says that it is over: then nobody may ever post that.
  const again = cause === 'stale' || (cause === 'resolved' && detail.startsWith('unconfirmed'));
  const final = cause === 'denied' || cause === 'expired' || cause === 'cancelled';
  if (episodeId !== null && plan.manual === null) {
    writes.push({
      type: 'episode.update',
      id: episodeId,
      patch: final
        ? { exhausted: true, nextEvaluationAt: null }
        : { nextEvaluationAt: again ? now + DECIDE_AGAIN_MS : null },
    });
  }
  if (cause === 'expired') {
    writes.push(...marks(from, plan.runbook.onExhausted));
    writes.push(
      ...escalate(
        from,
        plan.runbook.onExhausted.escalate ?? plan.runbook.severity,
        `Nobody answered: ${plan.runbook.name} on ${plan.target.name} was not run`,
        detail,
        `exhausted:${episodeId ?? from.runId}`,
        LEVEL_HUMAN,
      ),
    );
  }
  if (cause === 'stale' && detail.startsWith('stale')) {
    writes.push(
      ...escalate(
        from,
        plan.runbook.severity,
        `Came too late: ${plan.runbook.name} on ${plan.target.name} was not run`,
        detail,
        `stale:${episodeId ?? from.runId}`,
        LEVEL_HUMAN,
      ),
    );
  }
  return writes;
};

const marks = (from: Concluding, aftermath: Aftermath): readonly Write[] => {
  const place = { component: from.plan.component.name, target: from.plan.target.name, runId: from.runId };
  const writes: Write[] = [];
  if (aftermath.degrade !== null) writes.push({ type: 'degraded', mode: aftermath.degrade, on: true, ...place });
  if (aftermath.clear !== null) writes.push({ type: 'degraded', mode: aftermath.clear, on: false, ...place });
  return writes;
};

/** What amends does by itself is the first level; from the second on people know of it: it goes on trying, and they watch... */
const LEVEL_WATCH = 2;
/** ...or nothing goes on before a human has acted. */
const LEVEL_HUMAN = 3;

/** An inbox entry with everything known, and a page. */
const escalate = (
  from: Concluding,
  severity: Severity,
  title: string,
  why: string,
  dedup: string | null,
  level: number,
): readonly Write[] => [
  {
    type: 'inbox.open',
    id: from.nextId(),
    kind: 'escalation',
    dedup,
    severity,
    component: from.plan.component.name,
    target: from.plan.target.name,
    runId: from.runId,
    episodeId: from.episodeId,
    title,
    body: { level, ...evidence(from, why) },
    page: {
      id: from.nextId(),
      topic: 'escalation',
      body: `${why}\nrun: ${from.runId}\n${from.plan.runbook.guide}`.slice(0, 4_096),
    },
  },
];

/** What a human needs in order to go on from here, bounded in size. */
const evidence = (
  { plan, state, history }: Pick<Concluding, 'plan' | 'state' | 'history'>,
  why: string,
): JsonObject => ({
  why,
  runbook: plan.runbook.name,
  rule: plan.rule,
  rung: plan.rung,
  inputs: plan.inputs,
  alert:
    plan.alert === null
      ? null
      : { labels: plan.alert.labels, annotations: plan.alert.annotations, starts_at: plan.alert.startsAt },
  steps: [...state.steps].map(([step, { status, tries, error, outputs }]) => ({
    step,
    status,
    tries,
    error,
    outputs: bounded(outputs),
  })),
  verification: (state.verification?.checks ?? []).map((check) => ({ ...check })),
  attempts: history.episode.map((attempt) => ({
    at: attempt.at,
    strategy: attempt.strategy,
    outcome: attempt.outcome,
    cause: attempt.cause,
    run_id: attempt.runId,
  })),
  guide: plan.runbook.guide.slice(0, 4_096),
});

const LONGEST_OUTPUTS = 4_096;
const bounded = (outputs: JsonObject): JsonObject => {
  const text = JSON.stringify(outputs);
  return text.length <= LONGEST_OUTPUTS ? outputs : { cut: text.slice(0, LONGEST_OUTPUTS) };
};
