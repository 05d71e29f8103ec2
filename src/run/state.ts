// A run is the fold of its events. One function turns events into a state, refuses every pair that must not be, and
// serves recovery too: what a crash left behind is read the same way as what went well.
import type { FailureKind } from '../base/failure.ts';
import { IllegalTransition } from '../base/failure.ts';
import type { JsonObject } from '../base/json.ts';
import { isApproval } from '../runbook/runbook.ts';
import type { Outcome, OutcomeCause, RunEvent, StoredEvent } from './events.ts';
import type { Plan } from './plan.ts';
import { stepByKey } from './steps.ts';

export type StepStatus =
  | 'pending'
  | 'skipped'
  | 'started'
  | 'waiting'
  | 'succeeded'
  | 'failed'
  | 'unknown'
  | 'undoing'
  | 'undone'
  | 'undo_failed';

export type StepState = {
  readonly status: StepStatus;
  readonly tries: number;
  readonly outputs: JsonObject;
  readonly error: string | null;
  readonly kind: FailureKind | null;
  /** When the next try is due; null when there is none. */
  readonly retryAt: number | null;
  readonly startedAt: number | null;
  readonly endedAt: number | null;
  /** What the action kept for its undo. */
  readonly undo: JsonObject;
  /** A mutating effect may have begun in one of the tries. */
  readonly began: boolean;
  /** Under way when its worker died. */
  readonly interrupted: boolean;
  /** Interrupted tries so far: one of them is forgiven. */
  readonly interruptions: number;
};

export type RunStateName = 'new' | 'awaiting_approval' | 'queued' | 'running' | 'verifying' | 'undoing' | 'done';

export type RunState = {
  readonly name: RunStateName;
  /** By `<phase>/<id>`. */
  readonly steps: ReadonlyMap<string, StepState>;
  readonly asked: {
    readonly step: string | null;
    readonly question: string;
    readonly at: number;
    readonly expiresAt: number;
    readonly planDigest: string;
  } | null;
  readonly refusal: { readonly cause: 'denied' | 'expired'; readonly by: string } | null;
  readonly stop: { readonly by: string; readonly why: string } | null;
  readonly verification: {
    readonly deadline: number;
    readonly passed: boolean | null;
    readonly checks: ReadonlyArray<{ readonly check: string; readonly passed: boolean; readonly detail: string }>;
  } | null;
  readonly undoing: { readonly rollback: boolean } | null;
  readonly judged: { readonly exhausted: boolean; readonly why: string } | null;
  readonly resolvedDuringRun: boolean;
  readonly outcome: Outcome | null;
  readonly cause: OutcomeCause | null;
  readonly detail: string;
  readonly notBefore: number;
  /** When the last approval was given, else when it was admitted: staleness counts from here. */
  readonly releasedAt: number;
  /** A human has said yes to it. */
  readonly approved: boolean;
  /** Approved in the middle, and nothing was changed since: the next step that changes something is asked like a start. */
  readonly approvedAnew: boolean;
  readonly startedAt: number | null;
  readonly firstStepAt: number | null;
  readonly verifiedAt: number | null;
  readonly endedAt: number | null;
  readonly settleUntil: number | null;
  /** Time spent working, without waiting for people or a dead worker; `since` is null while it stands still. */
  readonly worked: { readonly ms: number; readonly since: number | null };
  readonly lastAt: number;
  readonly recoveries: number;
};

const FRESH_STEP: StepState = {
  status: 'pending',
  tries: 0,
  outputs: {},
  error: null,
  kind: null,
  retryAt: null,
  startedAt: null,
  endedAt: null,
  undo: {},
  began: false,
  interrupted: false,
  interruptions: 0,
};

const INITIAL: RunState = {
  name: 'new',
  steps: new Map(),
  asked: null,
  refusal: null,
  stop: null,
  verification: null,
  undoing: null,
  judged: null,
  resolvedDuringRun: false,
  outcome: null,
  cause: null,
  detail: '',
  notBefore: 0,
  releasedAt: 0,
  approved: false,
  approvedAnew: false,
  startedAt: null,
  firstStepAt: null,
  verifiedAt: null,
  endedAt: null,
  settleUntil: null,
  worked: { ms: 0, since: null },
  lastAt: 0,
  recoveries: 0,
};

export const stepState = (state: RunState, key: string): StepState => state.steps.get(key) ?? FRESH_STEP;

/** A step that changes the world may have begun: the attempt stays used. */
export const mutated = (state: RunState): boolean => [...state.steps.values()].some((step) => step.began);

/** Milliseconds of work so far at `now`. */
export const workedMs = (state: RunState, now: number): number =>
  state.worked.ms + (state.worked.since === null ? 0 : Math.max(0, now - state.worked.since));

const WORKING: readonly RunStateName[] = ['running', 'verifying', 'undoing'];

/** In which states an event may come. */
const ALLOWED: { readonly [Type in RunEvent['type']]: readonly RunStateName[] } = {
  admitted: ['new'],
  approval_requested: ['awaiting_approval', 'running'],
  approved: ['awaiting_approval'],
  denied: ['awaiting_approval'],
  expired: ['awaiting_approval'],
  claimed: ['queued', ...WORKING],
  started: ['queued'],
  step_skipped: WORKING,
  step_started: WORKING,
  step_succeeded: WORKING,
  step_failed: WORKING,
  step_unknown: WORKING,
  stop_requested: ['awaiting_approval', 'queued', ...WORKING],
  resolved_during_run: ['awaiting_approval', 'queued', ...WORKING],
  verify_started: ['running', 'verifying'],
  verify_ended: ['verifying'],
  undo_started: ['running', 'verifying'],
  parked: ['queued', ...WORKING],
  judged: ['awaiting_approval', 'queued', ...WORKING],
  done: ['awaiting_approval', 'queued', ...WORKING],
  ineffective: ['done'],
  aftermath_ended: ['undoing'],
};

/** Which step states a step event may follow. */
const STEP_ALLOWED: Readonly<Record<string, readonly StepStatus[]>> = {
  step_skipped: ['pending'],
  step_started: ['pending', 'failed', 'waiting', 'started', 'undoing'],
  step_succeeded: ['started', 'undoing'],
  step_failed: ['started', 'undoing', 'pending'],
  step_unknown: ['started', 'undoing'],
};

/** The state after one more event. Throws IllegalTransition for a pair that must not be. */
export const apply = (plan: Plan, state: RunState, stored: StoredEvent): RunState => {
  const { event, at } = stored;
  if (!ALLOWED[event.type].includes(state.name)) throw new IllegalTransition(`${event.type} in state ${state.name}`);
  const next = transition(plan, { ...state, lastAt: at }, event, at);
  return clockOf(next, state, event, at);
};

export const fold = (plan: Plan, events: readonly StoredEvent[]): RunState =>
  events.reduce((state, event) => apply(plan, state, event), INITIAL);

/** Work is counted from a claim to the moment the run is put down; a dead worker's last sign of life ends its share. */
const clockOf = (next: RunState, before: RunState, event: RunEvent, at: number): RunState => {
  if (event.type === 'claimed') {
    const share = before.worked.since === null ? 0 : Math.max(0, before.lastAt - before.worked.since);
    return { ...next, worked: { ms: before.worked.ms + share, since: at } };
  }
  const putDown =
    event.type === 'parked' || event.type === 'done' || (event.type === 'approval_requested' && event.step !== null);
  return putDown ? { ...next, worked: { ms: workedMs(before, at), since: null } } : next;
};

const transition = (plan: Plan, state: RunState, event: RunEvent, at: number): RunState => {
  switch (event.type) {
    case 'admitted':
      return {
        ...state,
        name: event.approval ? 'awaiting_approval' : 'queued',
        notBefore: event.notBefore,
        releasedAt: at,
      };
    case 'approval_requested':
      return {
        ...withStep(state, event.step, (step) => ({ ...step, status: 'waiting', startedAt: at })),
        name: 'awaiting_approval',
        asked: {
          step: event.step,
          question: event.question,
          at,
          expiresAt: event.expiresAt,
          planDigest: event.planDigest,
        },
      };
    case 'approved':
      return {
        ...withStep(state, event.step, (step) => ({
          ...step,
          status: 'succeeded',
          endedAt: at,
          outputs: { by: event.by },
        })),
        name: state.startedAt === null ? 'queued' : 'running',
        approved: true,
        approvedAnew: event.step !== null,
        asked: null,
        notBefore: event.notBefore,
        releasedAt: at,
      };
    case 'denied':
    case 'expired':
      return {
        ...withStep(state, event.step, (step) => ({ ...step, status: 'failed', endedAt: at, error: event.type })),
        name: state.startedAt === null ? state.name : 'running',
        asked: null,
        refusal: { cause: event.type, by: event.type === 'denied' ? event.by : 'amends' },
      };
    case 'claimed':
      return event.recovery ? { ...state, steps: interrupted(state), recoveries: state.recoveries + 1 } : state;
    case 'started':
      return { ...state, name: 'running', startedAt: at };
    case 'stop_requested':
      return { ...state, stop: state.stop ?? { by: event.by, why: event.why } };
    case 'resolved_during_run':
      return { ...state, resolvedDuringRun: true };
    case 'verify_started':
      return { ...state, name: 'verifying', verification: { deadline: event.deadline, passed: null, checks: [] } };
    case 'verify_ended':
      return {
        ...state,
        verifiedAt: event.passed ? at : state.verifiedAt,
        verification: { deadline: state.verification?.deadline ?? at, passed: event.passed, checks: event.checks },
      };
    case 'undo_started':
      return { ...state, name: 'undoing', undoing: { rollback: event.rollback } };
    case 'parked':
      return { ...state, notBefore: event.notBefore };
    case 'judged':
      return { ...state, judged: { exhausted: event.exhausted, why: event.why } };
    case 'done':
      return {
        ...state,
        name: 'done',
        outcome: event.outcome,
        cause: event.cause,
        detail: event.detail,
        endedAt: at,
        settleUntil: event.settleUntil,
        asked: null,
      };
    case 'ineffective': {
      if (state.outcome !== 'resolved') throw new IllegalTransition('ineffective on a run that was not resolved');
      const more = plan.runbook.onFailure.steps.length > 0;
      return {
        ...state,
        name: more ? 'undoing' : 'done',
        outcome: 'unresolved',
        cause: 'ineffective',
        detail: event.why,
        settleUntil: null,
      };
    }
    case 'aftermath_ended':
      return { ...state, name: 'done' };
    case 'step_skipped':
    case 'step_started':
    case 'step_succeeded':
    case 'step_failed':
    case 'step_unknown':
      return stepTransition(plan, state, event, at);
    default:
      return event satisfies never;
  }
};

type StepEvent = Extract<
  RunEvent,
  { type: 'step_skipped' | 'step_started' | 'step_succeeded' | 'step_failed' | 'step_unknown' }
>;

const stepTransition = (plan: Plan, state: RunState, event: StepEvent, at: number): RunState => {
  const step = stepByKey(plan.runbook, event.step);
  if (step === undefined)
    throw new IllegalTransition(`${event.type} for ${event.step}, which the runbook does not have`);
  const before = stepState(state, event.step);
  if (!(STEP_ALLOWED[event.type] ?? []).includes(before.status)) {
    throw new IllegalTransition(`${event.type} for ${event.step}, which is ${before.status}`);
  }
  const mutating = !isApproval(step) && step.effect !== 'read';
  const undoes = event.step.startsWith('undo/');
  const after = ((): StepState => {
    switch (event.type) {
      case 'step_skipped':
        return { ...before, status: 'skipped', endedAt: at, error: event.why };
      case 'step_started':
        return {
          ...before,
          status: undoes ? 'undoing' : 'started',
          tries: event.try,
          startedAt: before.startedAt ?? at,
          retryAt: null,
          interrupted: false,
          began: before.began || mutating,
        };
      case 'step_succeeded':
        return {
          ...before,
          status: undoes ? 'undone' : 'succeeded',
          outputs: event.outputs,
          endedAt: at,
          error: null,
          kind: null,
          undo: event.undo ?? {},
        };
      case 'step_failed':
        return {
          ...before,
          status: undoes && event.retryAt === null ? 'undo_failed' : 'failed',
          outputs: event.outputs,
          endedAt: at,
          error: event.error,
          kind: event.kind,
          retryAt: event.retryAt,
          began: mutating && (event.began || (before.began && before.tries > 1)),
        };
      case 'step_unknown':
        return { ...before, status: 'unknown', endedAt: at, error: event.error, kind: 'indeterminate' };
      default:
        return event satisfies never;
    }
  })();
  const firstStepAt = event.type === 'step_started' ? (state.firstStepAt ?? at) : state.firstStepAt;
  const approvedAnew = state.approvedAnew && !(event.type === 'step_started' && mutating);
  return { ...withStep(state, event.step, () => after), firstStepAt, approvedAnew };
};

const withStep = (state: RunState, key: string | null, change: (step: StepState) => StepState): RunState => {
  if (key === null) return state;
  const steps = new Map(state.steps);
  steps.set(key, change(stepState(state, key)));
  return { ...state, steps };
};

const interrupted = (state: RunState): ReadonlyMap<string, StepState> => {
  const steps = new Map(state.steps);
  for (const [key, step] of steps) {
    if (step.status === 'started' || step.status === 'undoing') {
      steps.set(key, { ...step, interrupted: true, interruptions: step.interruptions + 1 });
    }
  }
  return steps;
};
