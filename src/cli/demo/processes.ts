// What the demo starts it ends: every child process is kept here and ended in the reverse order, whatever happened.
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { createServer } from 'node:net';
import type { Clock } from '../../base/clock.ts';

export type Started = {
  readonly name: string;
  readonly pid: number;
  /** The first line of its standard output. */
  readonly firstLine: Promise<string>;
  /** Resolves when it is gone, with its last words. */
  readonly ended: Promise<string>;
};

export type Processes = {
  /** Undefined when there is no such program on the PATH. */
  start(name: string, file: string, args: readonly string[]): Promise<Started | undefined>;
  /** Ends all of them and waits until they are gone. */
  end(): Promise<void>;
};

const TERM_TO_KILL_MS = 5_000;
const LAST_WORDS = 4_096;

export const createProcesses = (clock: Clock): Processes => {
  const running: Array<{ child: ChildProcess; ended: Promise<string> }> = [];
  return {
    async start(name, file, args) {
      const child = spawn(file, args, { stdio: ['pipe', 'pipe', 'pipe'] });
      const spawned = await new Promise<boolean>((resolve, reject) => {
        child.once('spawn', () => resolve(true));
        child.once('error', (error: NodeJS.ErrnoException) =>
          error.code === 'ENOENT' ? resolve(false) : reject(error),
        );
      });
      if (!spawned || child.pid === undefined) return undefined;
      // A program may end while we still hold its standard input.
      child.stdin.on('error', () => undefined);
      let words = '';
      const listen = (chunk: Buffer): void => {
        words = `${words}${chunk.toString()}`.slice(-LAST_WORDS);
      };
      child.stdout.on('data', listen);
      child.stderr.on('data', listen);
      const ended = new Promise<string>((resolve) => child.once('exit', () => resolve(words)));
      running.push({ child, ended });
      const firstLine = new Promise<string>((resolve, reject) => {
        let text = '';
        child.stdout.on('data', (chunk: Buffer) => {
          if (text.includes('\n')) return;
          text += chunk.toString();
          if (text.includes('\n')) resolve(text.slice(0, text.indexOf('\n')));
        });
        void ended.then((last) => reject(new Error(`${name} ended before it said anything:\n${last}`)));
      });
      firstLine.catch(() => undefined);
      return { name, pid: child.pid, firstLine, ended };
    },
    async end() {
      for (const { child, ended } of running.splice(0).toReversed()) {
        if (child.exitCode !== null || child.signalCode !== null) continue;
        child.kill('SIGTERM');
        const late = clock.after(TERM_TO_KILL_MS, () => child.kill('SIGKILL'));
        await ended;
        late.cancel();
      }
    },
  };
};

/** A port that was free a moment ago, for programs that cannot say which one they were given. */
export const freePort = async (): Promise<number> => {
  const server = createServer();
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  const address = server.address();
  await new Promise((resolve) => {
    server.close(resolve);
  });
  return typeof address === 'object' && address !== null ? address.port : 0;
};

/** Asks until the answer is there, or throws what it waited for. */
export const until = async <T>(
  clock: Clock,
  what: string,
  withinMs: number,
  signal: AbortSignal,
  ask: () => Promise<T | undefined>,
  everyMs = 100,
): Promise<T> => {
  const deadline = clock.monotonic() + withinMs;
  for (;;) {
    signal.throwIfAborted();
    const answer = await ask().catch(() => undefined);
    if (answer !== undefined) return answer;
    if (clock.monotonic() > deadline) throw new Error(`waited ${withinMs / 1_000} s in vain for: ${what}`);
    await clock.sleep(everyMs, signal);
  }
};

/** Whether an address answers with a 2xx. */
export const answers = async (url: string): Promise<true | undefined> => {
  const response = await fetch(url, { signal: AbortSignal.timeout(2_000) });
  await response.arrayBuffer();
  return response.ok ? true : undefined;
};
