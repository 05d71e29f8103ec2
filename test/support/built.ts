// A built amends in a process of its own, to be killed and started again: what the crash tests and the torture share.
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Settings } from '../../src/config.ts';

const CHILD = fileURLToPath(new URL('built-child.mjs', import.meta.url));

/** The call of the store at which it kills itself; with `inside` before its commit. */
export type Fault = { readonly call: number; readonly when: 'inside' | 'after' };

export type Built = {
  readonly url: string;
  readonly pid: number;
  /** Resolves when the process has ended. */
  readonly gone: Promise<void>;
  hasEnded(this: void): boolean;
  /** POSTs the body, or GETs without one. */
  call<T = unknown>(path: string, body?: string | object): Promise<{ readonly status: number; readonly body: T }>;
  /** Bytes that it holds after a collection. */
  memory(this: void): Promise<number>;
  /** What it has logged so far, a line each. */
  logged(this: void): readonly string[];
  /** Posts to the webhook; true only for a 202. */
  post(this: void, body: string | Buffer): Promise<boolean>;
  /** kill -9. */
  kill(this: void): Promise<void>;
};

/** amends.yaml, its record and its halt file, all in one folder. */
export const settingsIn = (folder: string): Settings => ({
  configFile: join(folder, 'amends.yaml'),
  configFileGiven: true,
  listen: { host: '127.0.0.1', port: 0 },
  externalUrl: null,
  storagePath: join(folder, 'data'),
  storageUrl: null,
  webConfigFile: null,
  recoveryMode: null,
  haltFile: join(folder, 'halt'),
  acceptEmptyHistory: false,
  logLevel: 'silent',
});

/** Resolves once it is ready; null when it died before. */
export const startBuilt = async (
  folder: string,
  fault: Fault | null = null,
  settings: Partial<Settings> = {},
): Promise<Built | null> => {
  const child = spawn(
    process.execPath,
    [CHILD, JSON.stringify({ ...settingsIn(folder), ...settings }), JSON.stringify(fault)],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
  const gone = new Promise<void>((resolve) => void child.once('exit', () => resolve()));
  const lines = createInterface({ input: child.stdout });
  /** The rest of what it writes is its log. */
  const logged: string[] = [];
  const asked = new Map<string, (line: string) => void>();
  lines.on('line', (line) => {
    const answer = [...asked].find(([start]) => line.startsWith(start));
    if (answer === undefined) logged.push(line);
    else answer[1](line);
  });
  const answered = async (start: string): Promise<string | null> =>
    Promise.race([new Promise<string>((resolve) => void asked.set(start, resolve)), gone.then(() => null)]);
  const line = await answered('{"url":');
  if (line === null) return null;
  const { url } = JSON.parse(line) as { url: string };
  const call: Built['call'] = async <T>(path: string, body?: string | object) => {
    const response = await fetch(`${url}${path}`, {
      ...(body === undefined ? {} : { method: 'POST', body: typeof body === 'string' ? body : JSON.stringify(body) }),
      headers: { 'content-type': 'application/json', connection: 'close' },
    });
    return { status: response.status, body: (await response.json().catch(() => null)) as T };
  };
  return {
    url,
    pid: child.pid as number,
    gone,
    hasEnded: () => child.exitCode !== null || child.signalCode !== null,
    call,
    logged: () => logged,
    async memory() {
      const answer = answered('{"memory":');
      child.kill('SIGUSR2');
      const said = await answer;
      if (said === null) throw new Error('it has ended');
      return (JSON.parse(said) as { memory: number }).memory;
    },
    post: (body) =>
      call('/webhook/alertmanager', body.toString()).then(
        ({ status }) => status === 202,
        () => false,
      ),
    async kill() {
      child.kill('SIGKILL');
      await gone;
    },
  };
};

const EVERY_MS = 25;

/** Asks until there is an answer, at most for `ms` and no longer than `over` says no. */
export const untilFound = async <T>(
  what: string,
  ms: number,
  found: () => Promise<T | false | undefined>,
  over: () => boolean = () => false,
): Promise<T> => {
  const end = performance.now() + ms;
  while (performance.now() < end && !over()) {
    const value = await found().catch(() => undefined);
    if (value !== undefined && value !== false) return value;
    await pause(EVERY_MS);
  }
  throw new Error(`${what} did not come within ${ms} ms`);
};
