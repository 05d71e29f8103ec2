// The real clock, which a test can move ahead: waits inside a step stay real, hours between attempts do not.
import type { Clock } from '../../src/base/clock.ts';
import { systemClock } from '../../src/base/clock.ts';

export type ShiftedClock = Clock & { advance(ms: number): void };

export const createShiftedClock = (): ShiftedClock => {
  let shift = 0;
  return {
    ...systemClock,
    now: () => systemClock.now() + shift,
    monotonic: () => systemClock.monotonic() + shift,
    advance(ms) {
      shift += ms;
    },
  };
};
