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
