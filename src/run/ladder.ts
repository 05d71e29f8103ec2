// Which rung of a rule's ladder is next in an episode.
import { isFailure } from './cooldown.ts';
import type { Attempt } from './history.ts';

/** The failures of the episode pick the rung and the last one repeats; one that was ineffective is not tried again. Null: none is left. */
export const nextRung = (rungs: number, episode: readonly Attempt[]): number | null => {
  const failures = episode.filter(isFailure);
  const spent = new Set(failures.filter((attempt) => attempt.cause === 'ineffective').map((attempt) => attempt.rung));
  for (let rung = Math.min(failures.length, rungs - 1); rung < rungs; rung += 1) {
    if (rung >= 0 && !spent.has(rung)) return rung;
  }
  return null;
};
