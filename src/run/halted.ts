// Time that stood still: while everything is halted, neither staleness nor an approval's time runs on.
import type { Halt } from './history.ts';

/** Milliseconds between `from` and `now` in which a halt held, however many there were. */
export const haltedSince = ({ on, at, past }: Pick<Halt, 'on' | 'at' | 'past'>, from: number, now: number): number => {
  const spans = on ? [...past, [at, now] as const] : past;
  return spans.reduce((sum, [began, ended]) => sum + Math.max(0, Math.min(ended, now) - Math.max(began, from)), 0);
};
