// The breaker of a (component, strategy): what failed several times in a row is not tried on, but for a trial now and then.
import type { Breaker } from '../rule/limits.ts';
import { isFailure } from './cooldown.ts';
import type { Attempt } from './history.ts';

export type BreakerState = {
  readonly open: boolean;
  readonly failures: number;
  /** When the next trial is let through; null when closed. */ readonly trialAt: number | null;
};

/** `attempts`: ended ones since a human last closed it, oldest first. A success closes it; trials come at growing distances. */
export const breakerState = (attempts: readonly Attempt[], { failures: most, trials }: Breaker): BreakerState => {
  let failures = 0;
  let lastAt = 0;
  for (const attempt of attempts.toReversed()) {
    if (!isFailure(attempt)) break;
    failures += 1;
    lastAt = Math.max(lastAt, attempt.endedAt ?? attempt.at);
  }
  if (failures < most) return { open: false, failures, trialAt: null };
  const trial = trials[Math.min(failures - most, trials.length - 1)] ?? Number.POSITIVE_INFINITY;
  return { open: true, failures, trialAt: lastAt + trial };
};
