// Admission: the one pure decision about whether a wish to act becomes a run. It is called inside the transaction that
// writes what it answers, so caps are exact whatever crashes and however many ask at once.
import { formatDuration } from '../base/duration.ts';
import { digest } from '../base/json.ts';
import { beginningOf } from './audited.ts';
import type { RunEvent } from './events.ts';
import type { GuardInput, Verdict } from './guards.ts';
import { firstRefusal, inWindow, restOf, verdictsOf } from './guards.ts';
import type { Attempt, History, Ledger } from './history.ts';
import type { Plan } from './plan.ts';
import { pingPong } from './ping-pong.ts';
import { NOT_ASKED } from './present.ts';
import type { Present } from './present.ts';
import type { Reason } from './reasons.ts';
import type { NewRun, Write } from './writes.ts';

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
  /** For a second entry and page beside the question, where there is more to say. */
  readonly alsoInboxId?: string;
  readonly alsoNotifyId?: string;
  readonly override: ReadonlySet<'cooldown'>;
  readonly haltFile: string | null;
  readonly present: Present;
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

/** Refused by one of these, nobody outside needs to be asked: in a storm of thousands that would be thousands of questions. */
const SETTLED_WITHOUT_ASKING: ReadonlySet<string> = new Set([
  'halted',
  'disabled',
  'maintenance',
  'clock',
  'stale',
  'settling',
  'storm',
]);

/** Null: it depends on what is true right now, and that was not asked yet. Nothing is written then. */
export const admit = (
  input: Omit<AdmissionInput, 'present'> & { readonly present: Present | null },
): Admission | null => {
  if (input.present !== null) return admitKnowing({ ...input, present: input.present });
  const settled = admitKnowing({ ...input, present: NOT_ASKED });
  const refusal = settled.verdicts.find((verdict) => !verdict.passed && SETTLED_WITHOUT_ASKING.has(verdict.guard));
  return refusal === undefined ? null : settled;
};

const admitKnowing = (input: AdmissionInput): Admission => {
  const { plan, history } = input;
  const forced = forcedToAsk(plan, history);
  const asking = plan.mode === 'approve' || forced !== null;
  const guardInput: GuardInput = {
    plan,
    history,
    moment: 'admission',
    asking,
    approved: false,
    present: input.present,
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
      retryAt: retryAfter(refusal, history),
      writes: shadow ? [] : pageBlind(input, refusal),
    };
  }
  if (shadow) return admitShadow(input, verdicts);
  return admitLive(input, verdicts, asking, forced);
};

/** Why a human has to decide although the mode would not ask, or null. */
export const forcedToAsk = (plan: Plan, history: History): string | null => {
  if ((history.approvalOnlyUntil ?? 0) > history.now) return 'the history was lost: nobody knows what was tried';
  if ((history.clockSuspectUntil ?? 0) > history.now) return 'the wall clock jumped';
  if (!plan.confirmable && plan.manual === null) return 'no Alertmanager can be asked about its source';
  const circle = pingPong(plan, history.attempts, history.now);
  if (circle !== null) return pingPongText(circle);
  const window = plan.policy.attempts[0]?.per ?? 0;
  const elsewhere = history.attempts.find(
    (attempt) => attempt.domain !== null && attempt.domain !== plan.domain && inWindow(attempt.at, window, history.now),
  );
  return plan.domain === null || elsewhere === undefined
    ? null
    : `${elsewhere.domain ?? ''} was worked on in the same window: ${plan.domain} is a second failure domain`;
};

const pingPongText = (circle: readonly { readonly rule: string; readonly strategy: string }[]): string =>
  `ping-pong: ${circle.map(({ rule, strategy }) => `${rule} (${strategy})`).join(' and ')} take turns on this target`;

/** Refusals that a human has to hear of, each once while its entry is open. */
export const pageBlind = (
  { plan, episodeId, inboxId, notifyId }: Pick<AdmissionInput, 'plan' | 'episodeId' | 'inboxId' | 'notifyId'>,
  refusal: Verdict,
): readonly Write[] => {
  const kind = refusal.inputs['storm'];
  const storms = refusal.guard === 'storm' && kind !== 'gathering';
  const blind =
    (refusal.guard === 'unconfirmed' && refusal.inputs['state'] === 'unreachable') ||
    (refusal.guard === 'unhealthy' && refusal.inputs['state'] === 'unknown');
  if (!storms && !blind) return [];
  const whole = kind === 'components';
  const title = storms
    ? `Storm${whole ? '' : ` on ${plan.component.name}`}: nothing is recovered automatically`
    : `Cannot see whether ${plan.component.name} may be recovered: nothing is done`;
  return [
    {
      type: 'inbox.open',
      id: inboxId,
      kind: 'escalation',
      dedup: storms ? `storm:${whole ? '*' : plan.component.name}` : `blind:${refusal.guard}:${plan.component.name}`,
      severity: 'SEV2',
      component: whole ? null : plan.component.name,
      target: null,
      runId: null,
      episodeId: storms ? null : episodeId,
      title,
      body: { why: refusal.detail, guard: refusal.guard, inputs: refusal.inputs },
      page: { id: notifyId, topic: storms ? 'storm' : 'blind', body: refusal.detail },
    },
  ];
};

/** A control without an end wakes what it held when it is lifted; the rest is asked again soon. */
const retryAfter = (refusal: Verdict, { now, halt }: History): number | null => {
  if (refusal.endsAt !== null) return refusal.endsAt;
  // A halt file that is not on record yet may be gone before anybody wakes what it held.
  return (refusal.guard === 'halted' && halt.on) || refusal.guard === 'disabled' ? null : now + ASK_AGAIN_MS;
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
  const end = restOf(plan, { attempts: [...history.attempts, attempt] });
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
  domain: plan.domain,
});

const admitLive = (
  input: AdmissionInput,
  verdicts: readonly Verdict[],
  asking: boolean,
  forced: string | null,
): Admission => {
  const { plan, history, runId, episodeId } = input;
  const now = history.now;
  const events: RunEvent[] = [{ type: 'admitted', approval: asking, notBefore: now }];
  const because = forced === null ? '' : ` (asked because ${forced})`;
  const question = `Run ${plan.runbook.name} on ${plan.component.name} ${plan.target.name}? ${plan.runbook.summary}${because}`;
  const expiresAt = now + plan.policy.approval.expires;
  if (asking)
    events.push({ type: 'approval_requested', step: null, question, expiresAt, planDigest: planDigest(plan) });
  const run: NewRun = {
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
  };
  const writes: Write[] = [
    { type: 'attempt.add', attempt: reservation(input) },
    { type: 'run.create', events, run },
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
        ...(forced === null ? {} : { asked_because: forced }),
        reason: plan.manual?.reason,
        run: beginningOf(run, { approval: asking, notBefore: now }, now),
      },
    },
  ];
  if (episodeId !== null)
    writes.push({ type: 'episode.update', id: episodeId, patch: { hadRun: true, nextEvaluationAt: null, backoff: 0 } });
  if (asking) writes.push(...approvalWrites(input, question, expiresAt), ...pingPongWrites(input));
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

/** Asking about this one run is not enough: the rules themselves have to be looked at. Once while the entry is open. */
const pingPongWrites = ({ plan, history, runId, episodeId, ...ids }: AdmissionInput): readonly Write[] => {
  const circle = pingPong(plan, history.attempts, history.now);
  const { alsoInboxId, alsoNotifyId } = ids;
  if (circle === null || alsoInboxId === undefined || alsoNotifyId === undefined) return [];
  const { component, target } = plan;
  const rules = circle.map(({ rule }) => rule);
  return [
    {
      type: 'inbox.open',
      id: alsoInboxId,
      kind: 'escalation',
      dedup: `ping-pong:${component.kind}:${target.name}`,
      severity: 'SEV2',
      component: component.name,
      target: target.name,
      runId,
      episodeId,
      title: `Ping-pong on ${component.name} ${target.name}: ${rules.join(' and ')} undo each other's work`,
      body: { why: pingPongText(circle), rules },
      page: {
        id: alsoNotifyId,
        topic: 'ping_pong',
        body: `${pingPongText(circle)}; amends disable --rule ${rules[0] ?? ''}`,
      },
    },
  ];
};

export type Judgement = { readonly exhausted: boolean; readonly why: string; readonly nextAt: number | null };

/**
 * As a run ends without helping: is anything automatic left for its episode? `ended` is the attempt as it will be
 * written; `rungLeft` is what the ladder says with it counted. When something is left, `nextAt` is when to decide again.
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
  const breaker = [...history.breaker.filter((attempt) => attempt.id !== ended.id), ended];
  const later: History = { ...history, breaker, attempts, active: [], stuck: null, settling: null };
  const verdicts = verdictsOf({
    plan,
    history: later,
    moment: 'admission',
    asking: false,
    approved: true,
    present: NOT_ASKED,
    self: ended.runId,
    releasedAt: null,
    override: new Set(),
    haltFile,
  });
  const final = verdicts.find(
    (verdict) => !verdict.passed && (verdict.guard === 'attempts_used_up' || verdict.guard === 'breaker_open'),
  );
  if (final !== undefined) return { exhausted: true, why: `${final.guard}: ${final.detail}`, nextAt: null };
  // At once: the cooldown holds an automatic rung, while one that asks is asked without waiting for it.
  return { exhausted: false, why: '', nextAt: history.now };
};
