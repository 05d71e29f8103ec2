// Verification: steps that went well are not a recovery, this is. It only reads, so after a crash it simply runs again.
import { formatDuration } from '../base/duration.ts';
import type { JsonObject } from '../base/json.ts';
import type { Result } from '../base/failure.ts';
import type { Labels } from '../alert/alert.ts';
import type { Sample } from '../port/sources.ts';
import type { ActionCheck, Check, QueryCheck } from '../runbook/runbook.ts';
import type { EngineContext } from './context.ts';

export type CheckResult = { readonly check: string; readonly passed: boolean; readonly detail: string };

const QUERY_EVERY_MS = 1_000;

export type VerifyContext = {
  readonly engine: Pick<EngineContext, 'clock' | 'sources'>;
  readonly signal: AbortSignal;
  /** Monotonic milliseconds at which whatever has not passed has failed. */
  readonly deadline: number;
  /** Whether labels of a sample are about the run's target, by the mapping of its component. */
  isTarget(labels: Labels): boolean;
  /** One look: performs the action of the check with its templates filled, and applies `expect`. */
  look(
    check: ActionCheck,
  ): Promise<{ readonly passed: boolean; readonly detail: string; readonly outputs: JsonObject }>;
};

/** All checks, one after the other; the first that fails ends it. Missing data is not a pass. */
export const verify = async (context: VerifyContext, checks: readonly Check[]): Promise<readonly CheckResult[]> => {
  const results: CheckResult[] = [];
  for (const check of checks) {
    const result = check.type === 'action' ? await verifyAction(context, check) : await verifyQuery(context, check);
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

/** The figure may take a scrape or two to follow: asked until it holds or its time is over. */
const verifyQuery = async (context: VerifyContext, check: QueryCheck): Promise<CheckResult> => {
  const { clock, sources } = context.engine;
  const until = Math.min(context.deadline, clock.monotonic() + check.within);
  for (;;) {
    const { passed, detail } = weigh(context, check, await sources.query(check.query));
    if (passed && clock.monotonic() <= context.deadline) return { check: check.query, passed, detail };
    const left = until - clock.monotonic();
    if (left <= 0 || context.signal.aborted)
      return { check: check.query, passed: false, detail: `not in time; last: ${detail}` };
    // Aborted at the deadline, it still has something to say.
    await clock.sleep(Math.min(QUERY_EVERY_MS, left), context.signal).catch(() => undefined);
  }
};

/** No data, several samples, or what is no number is never a pass. */
const weigh = (
  context: VerifyContext,
  { comparison, on }: QueryCheck,
  answer: Result<readonly Sample[]>,
): { readonly passed: boolean; readonly detail: string } => {
  if (!answer.ok) return { passed: false, detail: answer.problems.map(({ message }) => message).join('; ') };
  const samples = on === 'target' ? answer.value.filter(({ labels }) => context.isTarget(labels)) : answer.value;
  const whose = on === 'target' ? ' of the target' : '';
  const [sample] = samples;
  if (sample === undefined || samples.length > 1)
    return { passed: false, detail: `${samples.length} samples${whose}, exactly one is needed` };
  const { operator, value } = comparison;
  const holds =
    operator === 'equal' ? sample.value === value : operator === 'above' ? sample.value > value : sample.value < value;
  return {
    passed: holds && Number.isFinite(sample.value),
    detail: `${sample.value}${whose}, and ${operator === 'equal' ? 'equal to' : operator} ${value} is needed`,
  };
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
