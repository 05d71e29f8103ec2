// A loop that ticks by the clock and at once when woken; tests call `tick` themselves. All loops tick on a common beat, so
// that an idle process wakes once a second and not once for each of them: a wake-up costs as much as a tick.
import type { Clock, Timer } from '../base/clock.ts';
import type { Log } from '../base/log.ts';

export type Loop = {
  start(): void;
  /** Ticks as soon as the tick under way, if any, is over. */
  wake(): void;
  /** Resolves when the tick under way is over; no other follows. */
  stop(): Promise<void>;
};

/** Whole periods of the monotonic clock; what is nearly one is taken as one, since timers are early by a little. */
const untilBeat = (clock: Clock, everyMs: number): number => {
  const left = everyMs - (clock.monotonic() % everyMs);
  return left < everyMs / 10 ? left + everyMs : left;
};

export const createLoop = (options: {
  name: string;
  clock: Clock;
  everyMs: number;
  log: Log;
  tick: () => Promise<void>;
}): Loop => {
  const { name, clock, everyMs, log, tick } = options;
  let running: Promise<void> | null = null;
  let again = false;
  let on = false;
  let timer: Timer | null = null;

  const turn = async (): Promise<void> => {
    do {
      again = false;
      try {
        await tick();
      } catch (error) {
        log.error({ loop: name, error }, 'a loop failed and goes on at its next tick');
      }
    } while (again && on);
  };
  const begin = (): void => {
    if (!on) return;
    if (running !== null) {
      again = true;
      return;
    }
    timer?.cancel();
    running = turn().finally(() => {
      running = null;
      if (!on) return;
      // Woken between the last look at `again` and here.
      if (again) begin();
      else timer = clock.after(untilBeat(clock, everyMs), begin);
    });
  };
  return {
    start() {
      on = true;
      begin();
    },
    wake: begin,
    async stop() {
      on = false;
      timer?.cancel();
      await running;
    },
  };
};
