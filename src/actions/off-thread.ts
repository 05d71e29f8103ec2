// Runs blocking work in worker threads, since one slow read of a file on the main thread would hold up every answer.
// Threads start when they are first needed and end when they have been idle for a while.
import { Worker } from 'node:worker_threads';
import type { Clock, Timer } from '../base/clock.ts';
import { ActionError } from '../base/failure.ts';
import { compiled } from './compiled.ts';
import type { Answer, Call } from './off-thread-worker.ts';

const IDLE_MS = 15_000;
const MOST_THREADS = 4;

export type CallOptions = {
  /**
   * Calls with the same key run one after the other: POSIX locks belong to the process, so closing a file in one thread
   * would drop the lock that another thread holds on it.
   */
  readonly key: string;
  readonly clock: Clock;
  readonly signal: AbortSignal;
};

type InputOf<Job> = Job extends (input: infer Input) => unknown ? Input : never;
type ValueOf<Job> = Job extends (input: never) => infer Value ? Awaited<Value> : never;

type Thread = { readonly worker: Worker; idle: Timer | null };
const free: Thread[] = [];
const queue: Array<() => void> = [];
const lastOfKey = new Map<string, Promise<unknown>>();
let busy = 0;

/**
 * Not the signal's own reason: that may say "another try may help" of the step's time, while only the engine knows
 * whether an effect had begun.
 */
const calledOff = (signal: AbortSignal): Error =>
  new Error(`called off: ${(signal.reason as Error).message}`, { cause: signal.reason });

/** Resolves with `wait`, or rejects as soon as the signal is aborted. */
const orAborted = async <T>(wait: Promise<T>, signal: AbortSignal): Promise<T> => {
  if (signal.aborted) throw calledOff(signal);
  let onAbort = (): void => undefined;
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => reject(calledOff(signal));
    signal.addEventListener('abort', onAbort, { once: true });
  });
  try {
    return await Promise.race([wait, aborted]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
};

const startThread = (): Thread => {
  const worker = new Worker(compiled('./off-thread-worker.ts', import.meta.url), { execArgv: [], env: {} });
  const thread: Thread = { worker, idle: null };
  const forget = (): void => {
    const at = free.indexOf(thread);
    if (at >= 0) free.splice(at, 1);
  };
  worker.on('error', forget);
  worker.on('exit', forget);
  return thread;
};

const acquire = async (signal: AbortSignal): Promise<Thread> => {
  if (busy >= MOST_THREADS) {
    let turn = (): void => undefined;
    const wait = new Promise<void>((resolve) => (turn = resolve));
    queue.push(turn);
    try {
      await orAborted(wait, signal);
    } catch (error) {
      const at = queue.indexOf(turn);
      if (at >= 0) queue.splice(at, 1);
      else queue.shift()?.();
      throw error;
    }
  }
  busy += 1;
  const known = free.pop();
  if (known === undefined) return startThread();
  known.idle?.cancel();
  known.worker.ref();
  return known;
};

const release = (thread: Thread | null, clock: Clock): void => {
  busy -= 1;
  if (thread !== null) {
    thread.worker.unref();
    thread.idle = clock.after(IDLE_MS, () => {
      const at = free.indexOf(thread);
      if (at < 0) return;
      free.splice(at, 1);
      void thread.worker.terminate();
    });
    free.push(thread);
  }
  queue.shift()?.();
};

/** `ended` resolves once the thread no longer touches anything: after an abort that is when its native call returns. */
const perform = (
  thread: Thread,
  call: Call,
  signal: AbortSignal,
): { readonly value: Promise<unknown>; readonly ended: Promise<boolean> } => {
  let end = (_alive: boolean): void => undefined;
  const ended = new Promise<boolean>((resolve) => (end = resolve));
  const value = new Promise<unknown>((resolve, reject) => {
    const { worker } = thread;
    const off = (): void => {
      signal.removeEventListener('abort', onAbort);
      worker.off('message', onMessage).off('error', onError).off('exit', onExit);
    };
    const onMessage = (answer: Answer): void => {
      off();
      end(true);
      if (answer.ok) resolve(answer.value);
      else if (answer.kind === null) reject(new Error(answer.message));
      else
        reject(
          new ActionError(answer.kind, answer.message, answer.outputs === undefined ? {} : { outputs: answer.outputs }),
        );
    };
    const onError = (error: Error): void => {
      off();
      end(false);
      reject(error);
    };
    const onExit = (): void => onError(new Error('the worker thread ended'));
    const onAbort = (): void => {
      off();
      void worker.terminate().finally(() => end(false));
      reject(calledOff(signal));
    };
    worker.on('message', onMessage).on('error', onError).on('exit', onExit);
    if (signal.aborted) onAbort();
    else {
      signal.addEventListener('abort', onAbort, { once: true });
      worker.postMessage(call);
    }
  });
  return { value, ended };
};

/** The exported functions of `module` (relative to `base`, as in an import), each to be called with one structured-cloneable input. */
export const offThread =
  <Module>(module: string, base: string) =>
  async <Name extends keyof Module & string>(
    name: Name,
    input: InputOf<Module[Name]>,
    { key, clock, signal }: CallOptions,
  ): Promise<ValueOf<Module[Name]>> => {
    const before = lastOfKey.get(key) ?? Promise.resolve();
    let done = (): void => undefined;
    const mine = new Promise<void>((resolve) => (done = resolve));
    const chain = before.then(() => mine);
    lastOfKey.set(key, chain);
    void chain.then(() => lastOfKey.get(key) === chain && lastOfKey.delete(key));
    let thread: Thread;
    try {
      await orAborted(before, signal);
      thread = await acquire(signal);
    } catch (error) {
      done();
      throw error;
    }
    const { value, ended } = perform(thread, { module: compiled(module, base).href, name, input }, signal);
    void ended.then((alive) => {
      release(alive ? thread : null, clock);
      done();
    });
    return (await value) as ValueOf<Module[Name]>;
  };
