// What a run does next: a pure function of its plan, its state and the time. It never performs anything.
import type { Json } from '../base/json.ts';
import { formatDuration } from '../base/duration.ts';
import type { ActionStep, ApprovalStep, Step } from '../runbook/runbook.ts';
import { isApproval } from '../runbook/runbook.ts';
import type { Outcome, OutcomeCause, Phase } from './events.ts';
import type { Plan } from './plan.ts';
import type { RunState, StepState } from './state.ts';
import { mutated, stepState, workedMs } from './state.ts';
import { stepKey, stepsOf } from './steps.ts';

export type Command =
  | { readonly do: 'start' }
  | { readonly do: 'step'; readonly key: string; readonly step: ActionStep; readonly try: number }
  | { readonly do: 'skip'; readonly key: string; readonly why: string }
  /** Its condition could not be evaluated: it fails for good, and nothing has begun. */
  | { readonly do: 'fail'; readonly key: string; readonly error: string }
  /** A crash left it open and a read-only check can tell what became of it. */
  | { readonly do: 'probe'; readonly key: string; readonly step: ActionStep; readonly probe: ActionStep }
  /** A crash left it open and nobody can tell what became of it. */
  | { readonly do: 'unknown'; readonly key: string; readonly error: string }
  | { readonly do: 'ask'; readonly key: string; readonly step: ApprovalStep }
  | { readonly do: 'wait'; readonly until: number }
  | { readonly do: 'verify' }
  | { readonly do: 'undo'; readonly rollback: boolean }
  /** Find out whether anything automatic is left, before the end. */
  | { readonly do: 'judge'; readonly outcome: Outcome; readonly cause: OutcomeCause }
  | { readonly do: 'conclude'; readonly outcome: Outcome; readonly cause: OutcomeCause; readonly detail: string }
  | { readonly do: 'finish_aftermath' };

/** What conditions see: every declared step, from the start as `pending`. */
export type ConditionContext = Readonly<Record<string, Json>>;
export type EvaluateCondition = (
  text: string,
  context: ConditionContext,
  failed: boolean,
) => { ok: true; value: boolean } | { ok: false; error: string };

/** More takeovers than this and the run is put before a human. */
const MOST_RECOVERIES = 3;

export const next = (plan: Plan, state: RunState, now: number, evaluate: EvaluateCondition): Command => {
  if (state.name === 'done' || state.name === 'new' || state.name === 'awaiting_approval') {
    return {
      do: 'conclude',
      outcome: state.outcome ?? 'withdrawn',
      cause: state.cause ?? 'cancelled',
      detail: state.detail,
    };
  }
  const walk: Walk = { plan, state, now, evaluate };
  if (state.recoveries > MOST_RECOVERIES)
    return end(walk, 'stuck', 'indeterminate', `${state.recoveries} workers died on it`);
  if (state.outcome !== null) return aftermath(walk, 'on_failure') ?? { do: 'finish_aftermath' };
  if (state.undoing !== null) return afterFailure(walk);
  if (state.verification?.passed === true)
    return aftermath(walk, 'on_success') ?? { do: 'conclude', outcome: 'resolved', cause: 'verified', detail: '' };
  if (state.verification !== null && state.verification.passed === null) return { do: 'verify' };
  if (state.verification?.passed === false) return failing(walk);
  return forward(walk);
};

type Walk = {
  readonly plan: Plan;
  readonly state: RunState;
  readonly now: number;
  readonly evaluate: EvaluateCondition;
};

const forward = (walk: Walk): Command => {
  const { plan, state, now } = walk;
  const stopped = state.stop !== null || state.refusal !== null;
  if (stopped && !mutated(state)) return withdraw(walk);
  if (state.name === 'queued') return { do: 'start' };
  const late = workedMs(state, now) > plan.runbook.timeout;
  const open = walkSteps(walk, ['before', 'steps'], stopped || late);
  if (open.command !== null) return open.command;
  if (open.unknown !== null) return end(walk, 'stuck', 'indeterminate', open.unknown);
  if ((open.failed !== null || late) && !stopped) return failing(walk);
  return { do: 'verify' };
};

const withdraw = (walk: Walk): Command => {
  const { state } = walk;
  if (state.refusal !== null)
    return end(walk, 'withdrawn', state.refusal.cause, `${state.refusal.cause} by ${state.refusal.by}`);
  const why = state.stop?.why ?? '';
  // What a guard stopped is decided anew; what a human cancelled is theirs.
  const cause: OutcomeCause = why === 'resolved' ? why : state.stop?.by === 'amends' ? 'stale' : 'cancelled';
  return { do: 'conclude', outcome: 'withdrawn', cause, detail: `${why} (${state.stop?.by ?? 'amends'})` };
};

/** The first thing that went wrong: undo or rollback first, then what `on_failure` says. */
const failing = (walk: Walk): Command => ({
  do: 'undo',
  rollback: walk.plan.runbook.rollback !== null && mutated(walk.state),
});

const afterFailure = (walk: Walk): Command => {
  const { plan, state } = walk;
  const phase: Phase = state.undoing?.rollback === true ? 'rollback' : 'undo';
  const wanted = stepsOf(plan.runbook, phase).filter((step) => phase === 'rollback' || succeeded(state, step.id));
  for (const step of wanted) {
    const key = stepKey(phase, step.id);
    const was = stepState(state, key);
    if (
      was.status === 'undo_failed' ||
      was.status === 'unknown' ||
      (phase === 'rollback' && was.status === 'failed' && was.retryAt === null)
    ) {
      return aftermath(walk, 'on_failure') ?? end(walk, 'stuck', 'undo_failed', `${key}: ${was.error ?? ''}`);
    }
    const command = advance(walk, step, key, was);
    if (command !== null) return command;
  }
  const { cause, detail } = whyUnresolved(walk);
  return aftermath(walk, 'on_failure') ?? end(walk, 'unresolved', cause, detail);
};

const succeeded = (state: RunState, id: string): boolean =>
  (['before', 'steps'] as const).some((phase) => stepState(state, stepKey(phase, id)).status === 'succeeded');

const whyUnresolved = (walk: Walk): { readonly cause: OutcomeCause; readonly detail: string } => {
  const { plan, state, now } = walk;
  if (state.stop !== null || state.refusal !== null) {
    return { cause: 'stopped', detail: state.stop?.why ?? state.refusal?.cause ?? 'stopped' };
  }
  if (state.verification?.passed === false) {
    const failed = state.verification.checks
      .filter((check) => !check.passed)
      .map((check) => `${check.check}: ${check.detail}`);
    return { cause: 'not_verified', detail: failed.join('; ') };
  }
  const open = walkSteps(walk, ['before', 'steps'], true);
  const late = workedMs(state, now) > plan.runbook.timeout;
  return {
    cause: 'step_failed',
    detail: open.failed ?? (late ? `not done within ${formatDuration(plan.runbook.timeout)}` : 'a step failed'),
  };
};

/** Anything that ends badly is judged first: is something automatic left? */
const end = (walk: Walk, outcome: Outcome, cause: OutcomeCause, detail: string): Command => {
  const { state, plan } = walk;
  if (state.judged === null && plan.manual === null) return { do: 'judge', outcome, cause };
  const more = state.judged?.exhausted === true && state.undoing !== null ? aftermath(walk, 'on_exhausted') : null;
  return more ?? { do: 'conclude', outcome, cause, detail };
};

/** Steps of an aftermath never change the outcome: each is tried, whatever the others came to. */
const aftermath = (walk: Walk, phase: 'on_success' | 'on_failure' | 'on_exhausted'): Command | null => {
  for (const step of stepsOf(walk.plan.runbook, phase)) {
    const key = stepKey(phase, step.id);
    const command = advance(walk, step, key, stepState(walk.state, key));
    if (command !== null) return command;
  }
  return null;
};

type Stretch = { readonly command: Command | null; readonly failed: string | null; readonly unknown: string | null };

/** Goes through the steps in order until one asks for something; `quiet` starts nothing new. */
const walkSteps = (walk: Walk, phases: readonly Phase[], quiet: boolean): Stretch => {
  let failed: string | null = null;
  for (const phase of phases) {
    for (const step of stepsOf(walk.plan.runbook, phase)) {
      const key = stepKey(phase, step.id);
      const was = stepState(walk.state, key);
      if (was.status === 'unknown') return { command: null, failed, unknown: `${key}: ${was.error ?? ''}` };
      const fresh = was.status === 'pending' || (was.status === 'failed' && was.retryAt !== null);
      if (!(quiet && fresh)) {
        const command =
          was.status === 'pending' ? open(walk, step, key, failed !== null) : advance(walk, step, key, was);
        if (command !== null) return { command, failed, unknown: null };
      }
      if (was.status === 'failed' && was.retryAt === null && !(isApproval(step) ? false : step.continueOnError))
        failed ??= `${key}: ${was.error ?? ''}`;
    }
  }
  return { command: null, failed, unknown: null };
};

/** A step that has not been touched: does its condition let it begin? Null: it stays as it is. */
const open = (walk: Walk, step: Step, key: string, failed: boolean): Command | null => {
  if (step.if === null) return failed ? null : begin(step, key, 1);
  const lifted = /\b(failed|always)\s*\(\s*\)/.test(step.if);
  return failed && !lifted ? null : beginIf(walk, step, key, step.if, failed);
};

const beginIf = (
  { plan, state, evaluate }: Walk,
  step: Step,
  key: string,
  condition: string,
  failed: boolean,
): Command => {
  const verdict = evaluate(condition, conditionContext(plan, state), failed);
  if (!verdict.ok) return { do: 'fail', key, error: `if: ${verdict.error}` };
  return verdict.value ? begin(step, key, 1) : { do: 'skip', key, why: `if: ${condition}` };
};

const begin = (step: Step, key: string, attempt: number): Command =>
  isApproval(step) ? { do: 'ask', key, step } : { do: 'step', key, step, try: attempt };

/** A step outside the forward walk, or one already touched. Null: nothing more to do for it. */
const advance = (walk: Walk, step: Step, key: string, was: StepState): Command | null => {
  switch (was.status) {
    case 'pending':
      // What follows a run is tried whatever came of the others; `failed()` says how the run itself went.
      return step.if === null || isApproval(step)
        ? begin(step, key, 1)
        : beginIf(walk, step, key, step.if, !key.startsWith('on_success/'));
    case 'started':
    case 'undoing':
      return isApproval(step) ? null : recover(step, key, was);
    case 'failed':
      if (isApproval(step) || was.retryAt === null) return null;
      return was.retryAt > walk.now
        ? { do: 'wait', until: was.retryAt }
        : { do: 'step', key, step, try: was.tries + 1 };
    case 'waiting':
    case 'skipped':
    case 'succeeded':
    case 'unknown':
    case 'undone':
    case 'undo_failed':
      return null;
    default:
      return was.status satisfies never;
  }
};

/** Its worker died between intent and result. */
const recover = (step: ActionStep, key: string, was: StepState): Command => {
  const harmless = step.effect === 'read' || step.idempotent;
  if (harmless && was.interruptions <= MOST_RECOVERIES) return { do: 'step', key, step, try: was.tries + 1 };
  if (step.probe !== null) return { do: 'probe', key, step, probe: step.probe };
  return { do: 'unknown', key, error: 'interrupted between intent and result: it may or may not have happened' };
};

export const conditionContext = (plan: Plan, state: RunState): ConditionContext => {
  const steps: Record<string, Json> = Object.create(null) as Record<string, Json>;
  for (const phase of ['before', 'steps', 'on_success', 'on_failure', 'on_exhausted', 'rollback'] as const) {
    for (const step of stepsOf(plan.runbook, phase)) {
      const was = stepState(state, stepKey(phase, step.id));
      const status = was.status === 'started' || was.status === 'waiting' ? 'pending' : was.status;
      steps[step.id] = { outcome: status, outputs: was.outputs, error: was.error ?? '' };
    }
  }
  return {
    inputs: plan.inputs,
    target: { name: plan.target.name, labels: plan.target.labels },
    connect: plan.target.connect,
    component: { name: plan.component.name, kind: plan.component.kind, team: plan.component.team ?? '' },
    alert:
      plan.alert === null
        ? { labels: {}, annotations: {}, starts_at: 0 }
        : { labels: plan.alert.labels, annotations: plan.alert.annotations, starts_at: plan.alert.startsAt },
    run: { rule: plan.rule ?? '', mode: plan.mode, rung: plan.rung },
    steps,
  };
};
