// Time that stood still: while everything is halted, neither staleness nor an approval's time runs on.
import type { Halt } from './history.ts';

/** Milliseconds of the last halt that lie between `from` and `now`. */
export const haltedSince = (halt: Pick<Halt, 'on' | 'at' | 'until'>, from: number, now: number): number => {
  const end = halt.on ? now : halt.until;
  return end === null ? 0 : Math.max(0, Math.min(end, now) - Math.max(halt.at, from));
};
