// The past as admission has to count it: a wall clock that was set ahead makes what was done look older than it is, and
// would refill the caps. What this process saw is counted by the time that passed, what it did not see by the wall clock.
import type { Attempt, History } from '../run/history.ts';
import type { EngineContext } from './context.ts';

type Seeing = Pick<EngineContext, 'jumps'>;

/** How much further back the store has to look, so that nothing is left out that still counts. */
export const gainedInAll = ({ jumps }: Seeing): number => jumps?.gainedSince(0) ?? 0;

/** The time at which something would have been done, were now the time and the monotonic clock the only one. */
const timeOf =
  ({ jumps }: Seeing, now: number) =>
  (at: number): number =>
    Math.max(at, Math.min(now, at + (jumps?.gainedSince(at) ?? 0)));

export const attemptsByTimePassed = (
  context: Seeing,
  attempts: readonly Attempt[],
  now: number,
): readonly Attempt[] => {
  if (gainedInAll(context) === 0) return attempts;
  const when = timeOf(context, now);
  return attempts.map((attempt) => ({
    ...attempt,
    at: when(attempt.at),
    endedAt: attempt.endedAt === null ? null : when(attempt.endedAt),
  }));
};

export const historyByTimePassed = (context: Seeing, history: History): History => {
  if (gainedInAll(context) === 0) return history;
  const { attempts, breaker, episode, budget, now } = history;
  return {
    ...history,
    attempts: attemptsByTimePassed(context, attempts, now),
    breaker: attemptsByTimePassed(context, breaker, now),
    episode: attemptsByTimePassed(context, episode, now),
    budget: budget.map(timeOf(context, now)),
  };
};
