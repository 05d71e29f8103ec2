// How long a component rests after an attempt.
import type { Policy } from '../rule/limits.ts';
import type { Attempt } from './history.ts';

export const isFailure = (attempt: Pick<Attempt, 'outcome'>): boolean =>
  attempt.outcome === 'unresolved' || attempt.outcome === 'stuck';

/** When the cooldown after the last ended attempt is over, or null when there is none. Milliseconds UTC. */
export const cooldownEnd = (
  attempts: readonly Attempt[],
  cooldown: Policy['cooldown'],
  floorAfterFailure: number | null,
): number | null => {
  const ended = attempts
    .filter((attempt) => attempt.endedAt !== null)
    .toSorted((left, right) => (left.endedAt ?? 0) - (right.endedAt ?? 0));
  const last = ended.at(-1);
  if (last?.endedAt === undefined || last.endedAt === null) return null;
  if (!isFailure(last)) return last.endedAt + cooldown.afterSuccess;
  let failures = 0;
  for (const attempt of ended.toReversed()) {
    if (!isFailure(attempt)) break;
    failures += 1;
  }
  const base = Math.max(cooldown.afterFailure, floorAfterFailure ?? 0);
  return last.endedAt + Math.min(base * cooldown.factor ** (failures - 1), Math.max(cooldown.max, base));
};
