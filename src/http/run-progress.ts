// A run as people follow it: its events folded to where each step stands, with what a step that has not begun would be called
// with, so that whoever says yes reads what will be done and not how it is written.
import type { Json, JsonObject } from '../base/json.ts';
import { formatDuration } from '../base/duration.ts';
import { renderStep } from '../engine/step.ts';
import type { Controls, RunRow } from '../port/record.ts';
import type { Phase, StoredEvent } from '../run/events.ts';
import { haltedSince } from '../run/halted.ts';
import type { Plan } from '../run/plan.ts';
import { fold, stepState } from '../run/state.ts';
import { stepKey, stepsOf } from '../run/steps.ts';
import type { RunState, StepStatus } from '../run/state.ts';
import { isApproval } from '../runbook/runbook.ts';
import type { Check, Effect, Step } from '../runbook/runbook.ts';

export type StepProgress = {
  readonly key: string;
  readonly phase: Phase;
  readonly id: string;
  /** Null: it asks a human. */
  readonly uses: string | null;
  readonly question: string | null;
  readonly effect: Effect;
  readonly if: string | null;
  readonly status: StepStatus;
  readonly tries: number;
  readonly startedAt: number | null;
  readonly endedAt: number | null;
  readonly retryAt: number | null;
  /** What it was called with; of one that has not begun, what it would be called with as far as that is known. */
  readonly input: JsonObject;
  /** Templates in `input` wait for what earlier steps find out. */
  readonly open: boolean;
  readonly outputs: Json;
  readonly error: string | null;
  /** `retryable`, `permanent` or `indeterminate`. */
  readonly failure: string | null;
};

export type RunProgress = Pick<
  RunRow,
  | 'id'
  | 'decisionId'
  | 'episodeId'
  | 'component'
  | 'kind'
  | 'target'
  | 'strategy'
  | 'rule'
  | 'state'
  | 'outcome'
  | 'cause'
  | 'createdAt'
  | 'notBefore'
  | 'startedAt'
  | 'verifiedAt'
  | 'endedAt'
  | 'settleUntil'
  | 'alertStartedAt'
  | 'recoveries'
> & {
  readonly detail: string;
  readonly runbook: {
    readonly name: string;
    readonly summary: string;
    readonly severity: string;
    readonly effect: Effect;
    readonly timeout: string;
  };
  readonly mode: string;
  readonly rung: number;
  readonly rungs: number;
  readonly manual: Plan['manual'];
  readonly alert: Pick<NonNullable<Plan['alert']>, 'labels' | 'annotations' | 'startsAt'> | null;
  readonly inputs: JsonObject;
  readonly steps: readonly StepProgress[];
  /** `expiresAt` as it is by now: a halt stops the time of a question too. */
  readonly asked: RunState['asked'];
  readonly checks: readonly string[];
  readonly verification: RunState['verification'];
  readonly undoing: RunState['undoing'];
  readonly judged: RunState['judged'];
  readonly stop: RunState['stop'];
  readonly resolvedDuringRun: boolean;
};

const PHASES: readonly Phase[] = ['before', 'steps', 'rollback', 'undo', 'on_success', 'on_failure', 'on_exhausted'];
const LONGEST = 4_096;

const bounded = (value: Json): Json => {
  const text = JSON.stringify(value);
  return text.length <= LONGEST ? value : { cut: text.slice(0, LONGEST), bytes: Buffer.byteLength(text) };
};

type Found = { readonly run: RunRow; readonly plan: Plan; readonly events: readonly StoredEvent[] };

export const progressOf = (
  { run, plan, events }: Found,
  { halt, now }: Pick<Controls, 'halt' | 'now'>,
): RunProgress => {
  const state = fold(plan, events);
  const called = new Map<string, JsonObject>();
  for (const { event } of events) if (event.type === 'step_started') called.set(event.step, event.input);
  const { runbook } = plan;
  const { asked } = state;
  return {
    id: run.id,
    decisionId: run.decisionId,
    episodeId: run.episodeId,
    component: run.component,
    kind: run.kind,
    target: run.target,
    strategy: run.strategy,
    rule: run.rule,
    state: run.state,
    outcome: run.outcome,
    cause: run.cause,
    createdAt: run.createdAt,
    notBefore: run.notBefore,
    startedAt: run.startedAt,
    verifiedAt: run.verifiedAt,
    endedAt: run.endedAt,
    settleUntil: run.settleUntil,
    alertStartedAt: run.alertStartedAt,
    recoveries: run.recoveries,
    detail: state.detail,
    runbook: {
      name: runbook.name,
      summary: runbook.summary,
      severity: runbook.severity,
      effect: runbook.effect,
      timeout: formatDuration(runbook.timeout),
    },
    mode: plan.mode,
    rung: plan.rung,
    rungs: plan.rungs,
    manual: plan.manual,
    alert:
      plan.alert === null
        ? null
        : { labels: plan.alert.labels, annotations: plan.alert.annotations, startsAt: plan.alert.startsAt },
    inputs: plan.inputs,
    steps: PHASES.flatMap((phase) =>
      stepsOf(runbook, phase).map((step) => stepProgress({ run, plan, state, called }, phase, step)),
    ),
    asked: asked === null ? null : { ...asked, expiresAt: asked.expiresAt + haltedSince(halt, asked.at, now) },
    checks: runbook.verify.map(checkText),
    verification: state.verification,
    undoing: state.undoing,
    judged: state.judged,
    stop: state.stop,
    resolvedDuringRun: state.resolvedDuringRun,
  };
};

type Following = {
  readonly run: RunRow;
  readonly plan: Plan;
  readonly state: RunState;
  readonly called: ReadonlyMap<string, JsonObject>;
};

const stepProgress = ({ run, plan, state, called }: Following, phase: Phase, step: Step): StepProgress => {
  const key = stepKey(phase, step.id);
  const was = stepState(state, key);
  const common = {
    key,
    phase,
    id: step.id,
    if: step.if,
    status: was.status,
    tries: was.tries,
    startedAt: was.startedAt,
    endedAt: was.endedAt,
    retryAt: was.retryAt,
    outputs: bounded(was.outputs),
    error: was.error,
    failure: was.kind,
  };
  if (isApproval(step)) {
    const question = state.asked?.step === key ? state.asked.question : step.approve.question;
    return { ...common, uses: null, question, effect: 'read', input: {}, open: false };
  }
  const begun = called.get(key);
  const rendered = begun === undefined ? renderStep(plan, run.id, state, key, step) : null;
  const input = begun ?? (rendered?.ok === true ? rendered.shown : step.with);
  return {
    ...common,
    uses: step.uses,
    question: null,
    effect: step.effect,
    input: bounded(input) as JsonObject,
    open: rendered?.ok === false,
  };
};

const checkText = (check: Check): string => {
  if (check.type === 'query') {
    const { operator, value } = check.comparison;
    return `${check.query} is ${operator} ${value} within ${formatDuration(check.within)}`;
  }
  const times = check.of > 1 ? `, ${check.need} of ${check.of} times` : '';
  const hold = check.hold > 0 ? `, and holds for ${formatDuration(check.hold)}` : '';
  return `${check.uses} succeeds${times}${hold}`;
};
