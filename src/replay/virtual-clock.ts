// Clocks that stand still until they are moved. Whoever sleeps or waits for a timer goes on when one of the first kind gets
// there; one of the second kind moves on for whoever sleeps.
import type { Clock, Timer } from '../base/clock.ts';

export type VirtualClock = Clock & {
  /** Goes on to `at`; never back. What was due on the way is called in its order. */
  moveTo(at: number): void;
  /** What was due on the way is called behind it: the wall clock jumped. */
  leapTo(at: number): void;
  /** When the next sleeper or timer is due; null: nobody waits. */
  next(): number | null;
  /** How many sleep. */
  readonly sleeping: number;
};

type Waiting = { readonly at: number; readonly order: number; run(): void };

export const createVirtualClock = (start: number): VirtualClock => {
  let now = start;
  let order = 0;
  let sleeping = 0;
  /** By time; few wait at once. */
  const waiting: Waiting[] = [];

  const add = (ms: number, run: () => void): Timer => {
    order += 1;
    const one: Waiting = { at: now + Math.max(0, ms), order, run };
    const place = waiting.findLastIndex(({ at }) => at <= one.at) + 1;
    waiting.splice(place, 0, one);
    return {
      cancel() {
        const index = waiting.indexOf(one);
        if (index >= 0) waiting.splice(index, 1);
      },
    };
  };
  return {
    now: () => now,
    monotonic: () => now,
    after: add,
    sleep: (ms, signal) =>
      new Promise((resolve, reject) => {
        if (signal?.aborted === true) return reject(signal.reason as Error);
        if (ms <= 0) return resolve();
        sleeping += 1;
        const onAbort = (): void => {
          sleeping -= 1;
          timer.cancel();
          reject(signal?.reason as Error);
        };
        const timer = add(ms, () => {
          sleeping -= 1;
          signal?.removeEventListener('abort', onAbort);
          resolve();
        });
        signal?.addEventListener('abort', onAbort, { once: true });
      }),
    moveTo(at) {
      for (let [first] = waiting; first !== undefined && first.at <= at; [first] = waiting) {
        waiting.shift();
        now = Math.max(now, first.at);
        first.run();
      }
      now = Math.max(now, at);
    },
    leapTo(at) {
      now = Math.max(now, at);
      for (let [first] = waiting; first !== undefined && first.at <= now; [first] = waiting) {
        waiting.shift();
        first.run();
      }
    },
    next: () => waiting[0]?.at ?? null,
    get sleeping() {
      return sleeping;
    },
  };
};

export type LeapingClock = Pick<VirtualClock, keyof Clock | 'moveTo'>;

/** Where nothing else happens while somebody sleeps. No timer is called: what has a deadline looks at it by itself. */
export const createLeapingClock = (start: number): LeapingClock => {
  const clock = createVirtualClock(start);
  return {
    now: () => clock.now(),
    monotonic: () => clock.monotonic(),
    after: () => ({ cancel: () => undefined }),
    sleep: async (ms) => clock.moveTo(clock.now() + Math.max(0, ms)),
    moveTo: (at) => clock.moveTo(at),
  };
};
