// The only place that knows the time. Everything else is handed a Clock, so that tests can hold it still.

export type Timer = { cancel(): void };

/** `now` is wall time in integer milliseconds UTC; `monotonic` is milliseconds that never go backwards, with an origin of its own. */
export type Clock = {
  now(): number;
  monotonic(): number;
  /** Calls `run` once after `ms`; a timer never keeps the process alive by itself. */
  after(ms: number, run: () => void): Timer;
  /** Resolves after `ms`, or rejects with the signal's reason as soon as it is aborted. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
};

const LONGEST_TIMER_MS = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after(ms, run) {
    const handle = setTimeout(run, Math.min(Math.max(0, ms), LONGEST_TIMER_MS));
    handle.unref();
    return { cancel: () => clearTimeout(handle) };
  },
  sleep(ms, signal) {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) {
        reject(signal.reason as Error);
        return;
      }
      const onAbort = (): void => {
        clearTimeout(handle);
        reject(signal?.reason as Error);
      };
      const handle = setTimeout(
        () => {
          signal?.removeEventListener('abort', onAbort);
          resolve();
        },
        Math.min(Math.max(0, ms), LONGEST_TIMER_MS),
      );
      signal?.addEventListener('abort', onAbort, { once: true });
    });
  },
};

/** RFC 3339 with milliseconds, the form in which every time leaves the process. */
export const rfc3339 = (ms: number): string => new Date(ms).toISOString();

/** The wall clock moved by `by` milliseconds against the monotonic one; above zero it went ahead, as after a suspend. */
export type ClockJump = { readonly by: number };

export type SteadyClock = Clock & {
  /** The last jump that nobody has settled yet. While one ahead is open, `now` goes on by the monotonic clock alone. */
  jump(): ClockJump | null;
  /** What had to be written down about the jump is: from now on the wall clock counts again. */
  settleJump(): void;
  /** `at` was told before, by another process: time goes on from there. */
  resumeFrom(at: number): void;
  /** Milliseconds by which `now` has gone ahead of the monotonic clock since it told `at`, as far as this process knows. */
  gainedSince(at: number): number;
};

/** Slews and leap seconds stay below; a step of more than this is a jump. */
const JUMP_MS = 60_000;

/** A slewed clock gains a little with every look: that much is taken together. */
const SMALL_GAIN_MS = 1_000;
const MOST_GAINS = 1_000;

/** How much faster than the monotonic clock time went, and when; where it is not exact, it says more rather than less. */
const createGains = (): { add(at: number, by: number): void; since(at: number): number } => {
  let kept: Array<{ readonly at: number; readonly by: number }> = [];
  let small = 0;
  return {
    add(at, by) {
      if (by <= 0) return;
      small += by;
      if (small < SMALL_GAIN_MS) return;
      kept.push({ at, by: small });
      small = 0;
      const [first, second, ...rest] = kept;
      if (kept.length > MOST_GAINS && first !== undefined && second !== undefined)
        kept = [{ at: second.at, by: first.by + second.by }, ...rest];
    },
    since: (at) => Math.floor(kept.reduce((sum, gain) => (gain.at > at ? sum + gain.by : sum), small)),
  };
};

/**
 * A clock that never goes back while the process runs: behind a wall clock that was set back it goes on at its own pace,
 * so a window never gets a second more and a cooldown never lasts longer than it says. The monotonic clock stands still in
 * a suspended machine, so a resume shows as a jump ahead; what happened meanwhile is believed only after it was settled.
 */
export const createSteadyClock = (system: Clock, jumpMs = JUMP_MS): SteadyClock => {
  let told = system.now();
  let at = system.monotonic();
  /** Wall minus monotonic as last seen: it changes only when the wall clock is set. */
  let offset = told - at;
  let open: ClockJump | null = null;
  const gains = createGains();
  const read = (): number => {
    const monotonic = system.monotonic();
    const wall = system.now();
    const paced = told + Math.max(0, monotonic - at);
    at = monotonic;
    if (wall - paced > jumpMs) {
      told = paced;
      open = { by: Math.round(wall - paced) };
      return told;
    }
    // One that was taken back before anybody settled it did nothing.
    if (open !== null && open.by > 0) open = null;
    const moved = wall - monotonic - offset;
    if (moved < -jumpMs) open = { by: Math.round(moved) };
    offset = wall - monotonic;
    told = Math.max(wall, paced);
    gains.add(told, told - paced);
    return told;
  };
  return {
    ...system,
    now: () => Math.floor(read()),
    jump() {
      read();
      return open;
    },
    settleJump() {
      read();
      if (open !== null && open.by > 0) {
        const believed = Math.max(told, system.now());
        gains.add(believed, believed - told);
        told = believed;
        offset = system.now() - at;
      }
      open = null;
    },
    gainedSince: (since) => gains.since(since),
    resumeFrom(before) {
      const behind = before - read();
      if (behind <= 0) return;
      told = before;
      if (behind > jumpMs) open = { by: -Math.round(behind) };
    },
  };
};
