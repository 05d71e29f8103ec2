// Admission: the one pure decision about whether a wish to act becomes a run. It is called inside the transaction that
// writes what it answers, so caps are exact whatever crashes and however many ask at once.
import { formatDuration } from '../base/duration.ts';
import { digest } from '../base/json.ts';
import type { RunEvent } from './events.ts';
import { cooldownEnd, isFailure } from './cooldown.ts';
import type { GuardInput, Verdict } from './guards.ts';
import { firstRefusal, verdictsOf } from './guards.ts';
import type { Attempt, History, Ledger } from './history.ts';
import type { Plan } from './plan.ts';
import type { Reason } from './reasons.ts';
import type { Write } from './writes.ts';

export type AdmissionInput = {
  readonly plan: Plan;
  readonly ledger: Ledger;
  readonly history: History;
  readonly decisionId: string;
  readonly episodeId: string | null;
  /** Ids for the run and the attempt, made before the transaction. */
  readonly runId: string;
  readonly attemptId: string;
  readonly inboxId: string;
  readonly notifyId: string;
  readonly override: ReadonlySet<'cooldown'>;
  readonly haltFile: string | null;
};

export type Admission = {
  readonly reason: Reason;
  readonly runId: string | null;
  readonly verdicts: readonly Verdict[];
  readonly retryAt: number | null;
  readonly writes: readonly Write[];
};

/** What nothing else says ends in a while: asked again then. */
const ASK_AGAIN_MS = 10_000;

/** One run, one rendered plan: what an approval is bound to. */
export const planDigest = (plan: Plan): string => digest(plan);

export const admit = (input: AdmissionInput): Admission => {
  const { plan, history } = input;
  // A lost history means that nobody knows what was tried: a human decides.
  const asking = plan.mode === 'approve' || (history.approvalOnlyUntil ?? 0) > history.now;
  const guardInput: GuardInput = {
    plan,
    history,
    moment: 'admission',
    asking,
    self: null,
    releasedAt: null,
    override: input.override,
    haltFile: input.haltFile,
  };
  const verdicts = verdictsOf(guardInput);
  const refusal = firstRefusal(verdicts);
  const shadow = input.ledger !== 'live';
  if (refusal !== null) {
    return {
      reason: shadow ? 'shadow' : refusal.guard,
      runId: null,
      verdicts,
      retryAt: retryAfter(refusal, history.now),
      writes: [],
    };
  }
  if (shadow) return admitShadow(input, verdicts);
  return admitLive(input, verdicts, asking);
};

/** A control without an end wakes what it held when it is lifted; the rest is asked again soon. */
const retryAfter = (refusal: Verdict, now: number): number | null => {
  if (refusal.endsAt !== null) return refusal.endsAt;
  return refusal.guard === 'halted' || refusal.guard === 'disabled' ? null : now + ASK_AGAIN_MS;
};

/** Nobody acts: the attempt is taken as made and as having failed at once. */
const admitShadow = (input: AdmissionInput, verdicts: readonly Verdict[]): Admission => {
  const { history, plan } = input;
  const attempt: Attempt = {
    ...reservation(input),
    runId: null,
    endedAt: history.now,
    outcome: 'unresolved',
    cause: 'not_verified',
  };
  const end = cooldownEnd([...history.attempts, attempt], plan.policy.cooldown, plan.limits.cooldownAfterFailure);
  return { reason: 'shadow', runId: null, verdicts, retryAt: end, writes: [{ type: 'attempt.add', attempt }] };
};

const reservation = ({ attemptId, ledger, runId, episodeId, plan, history }: AdmissionInput): Attempt => ({
  id: attemptId,
  ledger,
  runId,
  episodeId,
  component: plan.component.name,
  kind: plan.component.kind,
  target: plan.target.name,
  strategy: plan.runbook.strategy,
  rule: plan.rule,
  rung: plan.rung,
  at: history.now,
  endedAt: null,
  outcome: null,
  cause: null,
});

const admitLive = (input: AdmissionInput, verdicts: readonly Verdict[], asking: boolean): Admission => {
  const { plan, history, runId, episodeId } = input;
  const now = history.now;
  const events: RunEvent[] = [{ type: 'admitted', approval: asking, notBefore: now }];
  const question = `Run ${plan.runbook.name} on ${plan.component.name} ${plan.target.name}? ${plan.runbook.summary}`;
  const expiresAt = now + plan.policy.approval.expires;
  if (asking)
    events.push({ type: 'approval_requested', step: null, question, expiresAt, planDigest: planDigest(plan) });
  const writes: Write[] = [
    { type: 'attempt.add', attempt: reservation(input) },
    {
      type: 'run.create',
      events,
      run: {
        id: runId,
        decisionId: input.decisionId,
        episodeId,
        component: plan.component.name,
        kind: plan.component.kind,
        target: plan.target.name,
        strategy: plan.runbook.strategy,
        rule: plan.rule,
        plan,
        alertStartedAt: plan.alert?.startsAt ?? null,
      },
    },
    {
      type: 'audit',
      actor: plan.manual?.by ?? 'amends',
      action: asking ? 'run.asked' : 'run.admitted',
      subject: runId,
      detail: {
        component: plan.component.name,
        target: plan.target.name,
        runbook: plan.runbook.name,
        rule: plan.rule,
        rung: plan.rung,
        mode: plan.mode,
        reason: plan.manual?.reason,
      },
    },
  ];
  if (episodeId !== null)
    writes.push({ type: 'episode.update', id: episodeId, patch: { hadRun: true, nextEvaluationAt: null, backoff: 0 } });
  if (asking) writes.push(...approvalWrites(input, question, expiresAt));
  return { reason: asking ? 'awaiting_approval' : 'admitted', runId, verdicts, retryAt: null, writes };
};

const approvalWrites = (
  { plan, runId, episodeId, inboxId, notifyId, history }: AdmissionInput,
  question: string,
  expiresAt: number,
): readonly Write[] => {
  const place = { component: plan.component.name, target: plan.target.name, runId };
  const waits = formatDuration(expiresAt - history.now);
  return [
    {
      type: 'inbox.open',
      id: inboxId,
      kind: 'approval',
      dedup: null,
      severity: plan.runbook.severity,
      ...place,
      episodeId,
      title: question,
      body: {
        runbook: plan.runbook.name,
        rule: plan.rule,
        inputs: plan.inputs,
        effect: plan.runbook.effect,
        expires_at: expiresAt,
        step: null,
      },
    },
    {
      type: 'notify',
      id: notifyId,
      topic: 'approval',
      receiver: null,
      severity: plan.runbook.severity,
      ...place,
      title: `Approval needed: ${question}`,
      body: `amends approve ${runId} (or deny), within ${waits}`,
    },
  ];
};

export type Judgement = { readonly exhausted: boolean; readonly why: string; readonly nextAt: number | null };

/**
 * As a run ends without helping: is anything automatic left for its episode? `ended` is the attempt as it will be
 * written; `rungLeft` is what the ladder says with it counted. When something is left, `nextAt` is the cooldown's end.
 */
export const judge = (
  plan: Plan,
  history: History,
  ended: Attempt,
  rungLeft: boolean,
  haltFile: string | null,
): Judgement => {
  if (ended.cause === 'denied' || ended.cause === 'expired') return { exhausted: true, why: ended.cause, nextAt: null };
  if (!rungLeft) return { exhausted: true, why: 'no rung of the ladder is left', nextAt: null };
  if (ended.outcome === 'stuck') return { exhausted: true, why: 'the run is stuck', nextAt: null };
  const attempts = history.attempts.map((attempt) => (attempt.id === ended.id ? ended : attempt));
  const later: History = { ...history, attempts, active: [], stuck: null, settling: null };
  const verdicts = verdictsOf({
    plan,
    history: later,
    moment: 'admission',
    asking: false,
    self: ended.runId,
    releasedAt: null,
    override: new Set(),
    haltFile,
  });
  const final = verdicts.find(
    (verdict) => !verdict.passed && (verdict.guard === 'attempts_used_up' || verdict.guard === 'breaker_open'),
  );
  if (final !== undefined) return { exhausted: true, why: `${final.guard}: ${final.detail}`, nextAt: null };
  const rest = isFailure(ended) ? cooldownEnd(attempts, plan.policy.cooldown, plan.limits.cooldownAfterFailure) : null;
  return { exhausted: false, why: '', nextAt: rest ?? history.now };
};
