// What a command sees of the process it runs in. The process edge (src/main.ts) and tests each make one.
import type { Clock } from '../../base/clock.ts';

export type StopSignal = 'SIGINT' | 'SIGTERM';

export type Edge = {
  readonly clock: Clock;
  /** Colours and the width of a terminal; false for pipes, files and NO_COLOR. */
  readonly colors: boolean;
  /** One line of result. */
  readonly out: (line: string) => void;
  /** One line about the result: progress, problems, what to do. */
  readonly err: (line: string) => void;
  /** Calls `stop` at each signal to end; returns how to take it away again. Without a listener a signal ends the process as usual. */
  onStop(stop: (signal: StopSignal) => void): () => void;
  /** Calls `reload` at each SIGHUP. */
  onReload(reload: () => void): () => void;
  /** Ends the process now, whatever is under way. */
  exitNow(code: number): void;
};

/** What scripts can go by. */
export const FINE = 0;
export const FOUND = 1;
export const MISUSE = 2;
/** A bug of ours, as sysexits.h has it: never to be taken for "found something". */
export const EXIT_BUG = 70;
