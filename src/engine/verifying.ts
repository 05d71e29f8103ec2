// The verification of a run, as its worker sees it: until its deadline, and not after the run was taken away.
import type { Labels } from '../alert/alert.ts';
import { withTarget } from '../alert/select.ts';
import { formatDuration } from '../base/duration.ts';
import type { Plan } from '../run/plan.ts';
import type { EngineContext } from './context.ts';
import { lookAt } from './step.ts';
import { verify } from './verify.ts';
import type { Drive } from './drive.ts';
import { extend, remaining } from './drive.ts';

/** A component that a reload took away has no target that anything could be about. */
const isAbout = (context: EngineContext, { component, target }: Plan, labels: Labels): boolean => {
  const declared = context.loaded().config.components.get(component.name);
  if (declared === undefined) return false;
  const found = withTarget(declared, labels);
  return found.found && found.target.name === target.name;
};

export const runVerify = async (context: EngineContext, drive: Drive): Promise<boolean> => {
  const left = remaining(drive, context.clock.now());
  if (drive.state.verification === null) {
    await extend(context, drive, (view) => ({
      events: [{ type: 'verify_started', deadline: view.now + left }],
      writes: [],
    }));
  }
  const began = context.clock.monotonic();
  const deadline = began + left;
  const limit = new AbortController();
  const timer = context.clock.after(left, () =>
    limit.abort(new Error(`not verified within ${formatDuration(drive.plan.runbook.timeout)}`)),
  );
  const onStop = (): void => limit.abort(drive.stop.signal.reason);
  drive.stop.signal.addEventListener('abort', onStop, { once: true });
  try {
    const checks = await verify(
      {
        engine: context,
        signal: limit.signal,
        deadline,
        isTarget: (labels) => isAbout(context, drive.plan, labels),
        look: (check) => lookAt(context, drive, check, limit.signal),
      },
      drive.plan.runbook.verify,
    ).catch((error: unknown) => [
      { check: 'verify', passed: false, detail: error instanceof Error ? error.message : String(error) },
    ]);
    drive.stop.signal.throwIfAborted();
    const passed = checks.length > 0 && checks.every((check) => check.passed);
    await extend(context, drive, () => ({
      events: [{ type: 'verify_ended', passed, checks: context.redactor.value(checks) }],
      writes: [],
    }));
    context.telemetry.verification({
      component: drive.plan.component.name,
      strategy: drive.plan.runbook.strategy,
      passed,
      ms: context.clock.monotonic() - began,
    });
  } finally {
    timer.cancel();
    drive.stop.signal.removeEventListener('abort', onStop);
  }
  return true;
};
