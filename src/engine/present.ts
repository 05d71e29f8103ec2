// Asks what is true right now, before anything is decided or begun on the word of the past.
import type { Policy } from '../rule/limits.ts';
import type { Plan } from '../run/plan.ts';
import type { Present } from '../run/present.ts';
import { NOT_ASKED } from '../run/present.ts';
import type { EngineContext } from './context.ts';

/** `truncated` is how many alerts of the group Alertmanager left out. */
export const askPresent = async (
  context: Pick<EngineContext, 'sources'>,
  plan: Plan,
  truncated = 0,
): Promise<Present> => {
  const asked =
    plan.alert === null || plan.manual !== null
      ? NOT_ASKED.alert
      : context.sources.alert(plan.alert.labels, plan.alert.source);
  const [alert, health] = await Promise.all([asked, askHealth(context, plan.policy)]);
  return { alert, health, truncated };
};

/** Many alerts at once make one question. */
const HEALTH_AGE_MS = 1_000;

export const askHealth = async (
  { sources }: Pick<EngineContext, 'sources'>,
  { minHealthy }: Pick<Policy, 'minHealthy'>,
): Promise<Present['health']> => {
  if (minHealthy === null) return NOT_ASKED.health;
  const answer = await sources.query(minHealthy.query, { maxAgeMs: HEALTH_AGE_MS });
  if (!answer.ok)
    return { state: 'unknown', value: null, detail: answer.problems.map((problem) => problem.message).join('; ') };
  const [sample] = answer.value;
  const unknown = (detail: string): Present['health'] => ({ state: 'unknown', value: null, detail });
  if (answer.value.length !== 1 || sample === undefined)
    return unknown(`min_healthy: ${answer.value.length} samples, exactly one is needed`);
  if (!Number.isFinite(sample.value)) return unknown(`min_healthy: ${sample.value} is no number to go by`);
  const enough = sample.value >= minHealthy.min;
  return {
    state: enough ? 'enough' : 'too_few',
    value: sample.value,
    detail: `${sample.value} healthy, at least ${minHealthy.min} must be`,
  };
};
