// The real clock, which a test can move ahead: waits inside a step stay real, hours between attempts do not. Above it is
// the steady clock that amends works with, so that a test can set the wall clock alone.
import type { Clock } from '../../src/base/clock.ts';
import type { SteadyClock } from '../../src/base/clock.ts';
import { createSteadyClock, systemClock } from '../../src/base/clock.ts';

export type ShiftedClock = SteadyClock & {
  /** Time passes. */
  advance(ms: number): void;
  /** Somebody sets the wall clock, ahead or back. */
  setWall(by: number): void;
};

export const createShiftedClock = (): ShiftedClock => {
  let shift = 0;
  let wall = 0;
  const machine: Clock = {
    ...systemClock,
    now: () => systemClock.now() + shift + wall,
    monotonic: () => systemClock.monotonic() + shift,
  };
  return {
    ...createSteadyClock(machine),
    advance(ms) {
      shift += ms;
    },
    setWall(by) {
      wall += by;
    },
  };
};
