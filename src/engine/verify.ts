// Verification: steps that went well are not a recovery, this is. It only reads, so after a crash it simply runs again.
import { formatDuration } from '../base/duration.ts';
import type { JsonObject } from '../base/json.ts';
import type { ActionCheck, Check } from '../runbook/runbook.ts';
import type { EngineContext } from './context.ts';

export type CheckResult = { readonly check: string; readonly passed: boolean; readonly detail: string };

export type VerifyContext = {
  readonly engine: EngineContext;
  readonly signal: AbortSignal;
  /** Monotonic milliseconds at which whatever has not passed has failed. */
  readonly deadline: number;
  /** One look: performs the action of the check with its templates filled, and applies `expect`. */
  look(
    check: ActionCheck,
  ): Promise<{ readonly passed: boolean; readonly detail: string; readonly outputs: JsonObject }>;
};

/** All checks, one after the other; the first that fails ends it. Missing data is not a pass. */
export const verify = async (context: VerifyContext, checks: readonly Check[]): Promise<readonly CheckResult[]> => {
  const results: CheckResult[] = [];
  for (const check of checks) {
    const result =
      check.type === 'action'
        ? await verifyAction(context, check)
        : { check: check.query, passed: false, detail: 'no Prometheus is configured to ask' };
    results.push(result);
    if (!result.passed) break;
  }
  return results;
};

const verifyAction = async (context: VerifyContext, check: ActionCheck): Promise<CheckResult> => {
  const { clock } = context.engine;
  const name = check.uses;
  let passes = 0;
  let detail = '';
  for (let tried = 1; tried <= check.of; tried += 1) {
    const left = context.deadline - clock.monotonic();
    if (left <= 0) return { check: name, passed: false, detail: `not within the time limit; last: ${detail}` };
    const look = await context.look(check);
    detail = look.detail;
    passes += look.passed ? 1 : 0;
    if (passes >= check.need) break;
    if (passes + (check.of - tried) < check.need)
      return {
        check: name,
        passed: false,
        detail: `${passes} of ${tried} looks passed, ${check.need} of ${check.of} are needed; last: ${detail}`,
      };
    await clock.sleep(Math.min(check.every, left), context.signal);
  }
  return hold(context, check, `${passes} of ${check.of} looks passed`);
};

/** Having passed, it must go on passing: a system that falls over again after a moment is not recovered. */
const hold = async (context: VerifyContext, check: ActionCheck, detail: string): Promise<CheckResult> => {
  const { clock } = context.engine;
  const until = clock.monotonic() + check.hold;
  while (clock.monotonic() < until) {
    await clock.sleep(Math.max(1, Math.min(check.every, until - clock.monotonic())), context.signal);
    if (clock.monotonic() > context.deadline)
      return { check: check.uses, passed: false, detail: 'the time limit came before it had held' };
    const look = await context.look(check);
    if (!look.passed)
      return {
        check: check.uses,
        passed: false,
        detail: `passed, but did not hold for ${formatDuration(check.hold)}: ${look.detail}`,
      };
  }
  return {
    check: check.uses,
    passed: true,
    detail: check.hold > 0 ? `${detail}, held for ${formatDuration(check.hold)}` : detail,
  };
};
