// A step of a run: its intent is committed before its effect, and what became of it after, come what may.
import type { RunEvent } from '../run/events.ts';
import { next } from '../run/next.ts';
import type { Write } from '../run/writes.ts';
import { NOT_ASKED } from '../run/present.ts';
import type { ActionStep } from '../runbook/runbook.ts';
import type { RunAlone } from '../port/store.ts';
import { StoreUnavailable } from '../port/store.ts';
import { askPresent } from './present.ts';
import type { EngineContext } from './context.ts';
import type { Performance } from './perform.ts';
import { performStep, renderStep, requestWrites } from './step.ts';
import type { Drive, Intended } from './drive.ts';
import { append, extend, failure, verdictAt, waitsForBetter, heldBack, remaining } from './drive.ts';

/** A guard's word about the outside is good for this long. */
const ASK_AGAIN_MS = 15_000;
const KEEP_AGAIN_MS = 1_000;

/** The intent is committed before the effect, the result after it. */
export const runStep = async (
  context: EngineContext,
  drive: Drive,
  key: string,
  step: ActionStep,
  attempt: number,
): Promise<boolean> => {
  const rendered = renderStep(drive.plan, drive.runId, drive.state, key, step);
  if (!rendered.ok) {
    await extend(context, drive, () => ({ events: [failure(key, 'permanent', rendered.error, false)], writes: [] }));
    return true;
  }
  let held: string | null = null;
  const forward = step.effect !== 'read' && drive.state.undoing === null && drive.state.outcome === null;
  const waited = context.clock.monotonic() - drive.askedAt > ASK_AGAIN_MS;
  const present = forward && waited ? await askPresent(context, drive.plan) : NOT_ASKED;
  if (forward && waited) drive.askedAt = context.clock.monotonic();
  const recorded = await append(context, drive, (view, state) => {
    // After an approval in the middle every guard is asked again, as at a start.
    const refusal = verdictAt(context, forward && state.approvedAnew ? 'start' : 'step', view, state, present);
    if (refusal?.guard === 'halted' || (forward && refusal !== null && waitsForBetter(refusal))) {
      held = refusal.detail;
      drive.askedAt = Number.NEGATIVE_INFINITY;
      return heldBack(context, view, refusal, []);
    }
    if (forward && refusal !== null && state.stop === null) {
      const why = refusal.guard === 'unconfirmed' ? 'resolved' : `${refusal.guard}: ${refusal.detail}`;
      return { events: [{ type: 'stop_requested', by: 'amends', why }], writes: [] };
    }
    // A stop or a resolution may have been written since the command was made.
    const fresh = next(view.plan, state, view.now, drive.evaluate);
    if (fresh.do !== 'step' || fresh.key !== key) return { events: [], writes: [] };
    return {
      events: [{ type: 'step_started', step: key, try: attempt, input: context.redactor.value(rendered.shown) }],
      writes: [],
    };
  });
  if (held !== null) return false;
  const intended = recorded?.added.some(({ event }) => event.type === 'step_started') === true;
  if (intended) drive.intended = { key, step, try: attempt, input: rendered.input };
  return true;
};

export const performIntended = async (
  context: EngineContext,
  drive: Drive,
  { key, step, input, try: attempt }: Intended,
): Promise<void> => {
  drive.intended = null;
  const performance = await performStep(
    context,
    drive,
    key,
    step,
    input,
    bounds(drive, key, step, context.clock.now()),
    drive.stop.signal,
  );
  drive.stop.signal.throwIfAborted();
  context.telemetry.step(
    step.uses,
    performance.ok ? 'succeeded' : performance.kind === 'indeterminate' ? 'unknown' : 'failed',
    performance.ms,
  );
  await keepResult(
    context,
    drive,
    attempt,
    (now) => resultEvent(key, step, attempt, performance, now),
    (view) => (performance.ok ? requestWrites(context, view, performance.requests) : []),
  );
};

const bounds = (drive: Drive, key: string, step: ActionStep, now: number): number => {
  const forward = key.startsWith('before/') || key.startsWith('steps/');
  return forward ? Math.min(step.timeout, remaining(drive, now)) : step.timeout;
};

/** What happened is written down, come what may: in the emergency journal while the store cannot be written. */
const keepResult = async (
  context: EngineContext,
  drive: Drive,
  attempt: number,
  eventAt: (now: number) => StepResult,
  writesFor: (view: RunAlone) => readonly Write[],
): Promise<void> => {
  let kept = false;
  for (;;) {
    try {
      await extend(context, drive, (view) => ({ events: [eventAt(view.now)], writes: writesFor(view) }));
      if (kept) context.emergency.settled();
      return;
    } catch (error) {
      if (!(error instanceof StoreUnavailable)) throw error;
      if (!kept) context.emergency.keep({ runId: drive.runId, try: attempt, event: eventAt(context.clock.now()) });
      kept = true;
      await context.clock.sleep(KEEP_AGAIN_MS, drive.stop.signal);
    }
  }
};

type StepResult = Extract<RunEvent, { readonly type: 'step_succeeded' | 'step_failed' | 'step_unknown' }>;

const resultEvent = (
  key: string,
  step: ActionStep,
  attempt: number,
  performance: Performance,
  now: number,
): StepResult => {
  if (performance.ok)
    return {
      type: 'step_succeeded',
      step: key,
      outputs: performance.outputs,
      ms: performance.ms,
      undo: performance.undo,
    };
  const harmless = step.effect === 'read' || step.idempotent;
  const { kind, error, outputs, began, ms } = performance;
  if (kind === 'indeterminate' && !harmless && step.probe === null) return { type: 'step_unknown', step: key, error };
  const again = (kind === 'retryable' && (harmless || !began)) || (kind === 'indeterminate' && harmless);
  const retryAt =
    again && attempt < step.retry.attempts ? now + step.retry.delay * step.retry.factor ** (attempt - 1) : null;
  return { type: 'step_failed', step: key, kind, error, outputs, ms, retryAt, began };
};

/** A read-only look tells what became of a step that a crash left open. */
export const settleUnknown = async (
  context: EngineContext,
  drive: Drive,
  key: string,
  probe: ActionStep,
): Promise<boolean> => {
  const rendered = renderStep(drive.plan, drive.runId, drive.state, key, probe);
  const result = rendered.ok
    ? await performStep(context, drive, `${key}/probe`, probe, rendered.input, probe.timeout, drive.stop.signal)
    : null;
  await append(context, drive, () => {
    if (result === null || !result.ok) {
      const failed = result === null || result.kind !== 'permanent' ? 'its probe could not tell' : null;
      return {
        events: [
          failed === null
            ? failure(key, 'permanent', 'interrupted; its probe says that it did not happen', false)
            : { type: 'step_unknown', step: key, error: `interrupted; ${failed}` },
        ],
        writes: [],
      };
    }
    return { events: [{ type: 'step_succeeded', step: key, outputs: result.outputs, ms: result.ms }], writes: [] };
  });
  return true;
};
