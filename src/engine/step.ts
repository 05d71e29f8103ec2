// One step of a run: its templates filled, its action performed, what it asked for turned into writes.
import type { Json, JsonObject } from '../base/json.ts';
import { isObject } from '../base/json.ts';
import { conditionContext } from '../run/next.ts';
import type { Plan } from '../run/plan.ts';
import type { RunState } from '../run/state.ts';
import { stepState } from '../run/state.ts';
import type { Write } from '../run/writes.ts';
import { compileExpect } from '../runbook/expression.ts';
import type { ActionCheck, ActionStep, ApprovalStep, Severity } from '../runbook/runbook.ts';
import { RUNBOOK_ROOTS } from '../runbook/path.ts';
import { compileTemplate, render, styleOf } from '../runbook/template.ts';
import type { Request } from '../port/action.ts';
import type { RunAlone } from '../port/store.ts';
import type { EngineContext } from './context.ts';
import type { Performance } from './perform.ts';
import { perform } from './perform.ts';

const LONGEST_QUESTION = 4_000;

export type Rendered =
  | { readonly ok: true; readonly input: JsonObject; readonly shown: JsonObject }
  | { readonly ok: false; readonly error: string };

const templateContext = (
  plan: Plan,
  runId: string,
  state: RunState,
  undo: JsonObject,
): Readonly<Record<string, Json>> => {
  const context = conditionContext(plan, state);
  return { ...context, run: { ...(context['run'] as JsonObject), id: runId }, undo };
};

const fill = (uses: string, template: JsonObject, context: Readonly<Record<string, Json>>): Rendered => {
  const compiled = compileTemplate(template, [...RUNBOOK_ROOTS, 'undo']);
  const filled = compiled.ok ? render(compiled.value, context, styleOf(uses)) : compiled;
  if (!filled.ok) return { ok: false, error: filled.problems.map((problem) => problem.message).join('; ') };
  if (!isObject(filled.value)) return { ok: false, error: 'its `with` is not a mapping' };
  return { ok: true, input: filled.value, shown: filled.value };
};

/** The step's `with` with every template filled; an undo step sees what its step kept as `undo`. */
export const renderStep = (plan: Plan, runId: string, state: RunState, key: string, step: ActionStep): Rendered => {
  const id = key.slice(key.indexOf('/') + 1);
  const done = ['steps', 'before']
    .map((phase) => stepState(state, `${phase}/${id}`))
    .find((was) => was.status === 'succeeded');
  return fill(
    step.uses,
    step.with,
    templateContext(plan, runId, state, key.startsWith('undo/') ? (done?.undo ?? {}) : {}),
  );
};

/** The run whose step it is. */
export type Performing = { readonly plan: Plan; readonly runId: string; readonly view: Pick<RunAlone, 'run'> };

/** What an approver is asked, with every template filled, in one line. */
export const renderQuestion = (
  plan: Plan,
  runId: string,
  state: RunState,
  { approve: { question } }: ApprovalStep,
): { readonly ok: true; readonly question: string } | { readonly ok: false; readonly error: string } => {
  const rendered = fill('inbox.add', { question }, templateContext(plan, runId, state, {}));
  if (!rendered.ok) return { ok: false, error: `its question cannot be put: ${rendered.error}` };
  const text = rendered.input['question'];
  if (typeof text !== 'string') return { ok: false, error: 'its question is not a text' };
  // oxlint-disable-next-line no-control-regex
  const line = text.replaceAll(/[\u0000-\u001f\u007f]+/g, ' ');
  return { ok: true, question: line.slice(0, LONGEST_QUESTION) };
};

export const performStep = (
  context: EngineContext,
  { plan, runId, view }: Performing,
  key: string,
  step: ActionStep,
  input: JsonObject,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<Performance> =>
  perform(context, {
    uses: step.uses,
    input,
    timeoutMs,
    signal,
    allowedActions: plan.component.allowedActions,
    marker: `${runId}/${key}`,
    episodeId: view.run.episodeId,
    traceparent: plan.traceparent,
    run: { id: runId, component: plan.component.name, kind: plan.component.kind, target: plan.target.name },
  });

/** One look of a verification: the action, then what is expected of its outputs. */
export const lookAt = async (
  context: EngineContext,
  { plan, runId, view, state }: Performing & { readonly state: RunState },
  check: ActionCheck,
  signal: AbortSignal,
): Promise<{ passed: boolean; detail: string; outputs: JsonObject }> => {
  const rendered = fill(check.uses, check.with, templateContext(plan, runId, state, {}));
  if (!rendered.ok) return { passed: false, detail: rendered.error, outputs: {} };
  const performance = await perform(context, {
    uses: check.uses,
    input: rendered.input,
    timeoutMs: check.timeout,
    signal,
    allowedActions: plan.component.allowedActions,
    marker: `${runId}/verify`,
    episodeId: view.run.episodeId,
    traceparent: plan.traceparent,
    run: { id: runId, component: plan.component.name, kind: plan.component.kind, target: plan.target.name },
  });
  context.telemetry.step(check.uses, performance.ok ? 'succeeded' : 'failed', performance.ms);
  if (!performance.ok) return { passed: false, detail: performance.error, outputs: performance.outputs };
  if (check.expect === null) return { passed: true, detail: 'passed', outputs: performance.outputs };
  const expectation = compileExpect(check.expect, null);
  const verdict = expectation.ok ? expectation.value.evaluate({ outputs: performance.outputs }) : expectation;
  if (!verdict.ok)
    return {
      passed: false,
      detail: verdict.problems.map((problem) => problem.message).join('; '),
      outputs: performance.outputs,
    };
  return {
    passed: verdict.value,
    detail: verdict.value
      ? 'passed'
      : `expected ${check.expect}, got ${JSON.stringify(performance.outputs).slice(0, 500)}`,
    outputs: performance.outputs,
  };
};

/** What an action asked for, committed together with its result. */
export const requestWrites = (context: EngineContext, view: RunAlone, requests: readonly Request[]): readonly Write[] =>
  requests.map((request): Write => {
    const place = { component: view.run.component, target: view.run.target, runId: view.run.id };
    switch (request.type) {
      case 'degrade':
        return { type: 'degraded', mode: request.mode, on: request.on, ...place };
      case 'inbox':
        return {
          type: 'inbox.open',
          id: context.ids.next(),
          kind: request.kind,
          dedup: null,
          severity: request.severity as Severity | null,
          ...place,
          episodeId: view.run.episodeId,
          title: request.title,
          body: { text: request.body },
        };
      case 'notify':
        return {
          type: 'notify',
          id: context.ids.next(),
          topic: 'runbook',
          receiver: request.receiver,
          severity: request.severity as Severity | null,
          ...place,
          title: request.title,
          body: request.body,
        };
      default:
        return request satisfies never;
    }
  });
