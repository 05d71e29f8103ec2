// Real servers for acceptance tests: each in a folder of its own, on a port that the system gave, ready when it says so
// itself, and ended by its process id whatever the test came to.
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { binaryOf } from './requires.ts';
import type { Server } from './requires.ts';

export const root = fileURLToPath(new URL('../../', import.meta.url));

const READY_MS = 15_000;
const GRACE_MS = 5_000;
const KEPT_OUTPUT = 200_000;

export type Running = {
  readonly pid: number;
  /** `http://127.0.0.1:<port>`, or an empty text for a process without one. */
  readonly url: string;
  /** What it wrote to stdout and stderr so far, the last 200,000 characters. */
  output(): string;
  exited(): boolean;
  /** TERM, then KILL after 5 s; resolves once it is gone. */
  stop(): Promise<void>;
};

/** Polls until `check` gives something other than undefined, null or false; fails with what it waited for. */
export async function until<T>(
  what: string,
  check: () => T | Promise<T>,
  withinMs = 30_000,
  everyMs = 100,
): Promise<Exclude<T, undefined | null | false>> {
  const deadline = performance.now() + withinMs;
  let last = '';
  for (;;) {
    try {
      const found = await check();
      if (found !== undefined && found !== null && found !== false)
        return found as Exclude<T, undefined | null | false>;
    } catch (error) {
      last = `; last: ${error instanceof Error ? error.message : String(error)}`;
    }
    if (performance.now() > deadline) throw new Error(`not within ${withinMs} ms: ${what}${last}`);
    await pause(everyMs);
  }
}

/** A port that was free a moment ago; whoever takes it must be ready to lose the race and ask again. */
async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => void server.close(resolve));
  return port;
}

/** JSON from an address; throws on any other answer than 2xx. */
export async function getJson<T>(url: string): Promise<T> {
  const response = await fetch(url, { signal: AbortSignal.timeout(5_000) });
  const body = await response.text();
  if (!response.ok) throw new Error(`${response.status} from ${url}: ${body.slice(0, 500)}`);
  return JSON.parse(body) as T;
}

type Start = {
  readonly name: string;
  readonly file: string;
  readonly args: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd?: string;
};

/** What one test file started; `stopAll` ends it, last first, and removes its folders. */
export type Servers = {
  /** An empty folder that goes away with the servers. */
  folder(): Promise<string>;
  /** Any process, for instance one that holds a lock. */
  process(start: Start): Running;
  amends(options: {
    readonly config: string;
    readonly args?: readonly string[];
    /** One that it had before; else the system gives one. */
    readonly port?: number;
    /** Beside this process' own. */
    readonly env?: NodeJS.ProcessEnv;
    /** What the command begins with, to run it somewhere else: in other namespaces. */
    readonly inside?: readonly string[];
  }): Promise<Running>;
  prometheus(options: {
    readonly config: Readonly<Record<string, unknown>>;
    readonly rules?: Readonly<Record<string, string>>;
    /** Its `--web.config.file`: who may come in. */
    readonly web?: Readonly<Record<string, unknown>>;
    /** What it remembers already: a folder of its blocks. */
    readonly data?: string;
    /** How long it remembers (default: its own, 15d). */
    readonly retention?: string;
  }): Promise<Running>;
  alertmanager(options: {
    readonly config: Readonly<Record<string, unknown>>;
    readonly web?: Readonly<Record<string, unknown>>;
  }): Promise<Running>;
  stopAll(): Promise<void>;
};

export const startedHere = (): Servers => {
  const running: Running[] = [];
  const folders: string[] = [];
  const folder = async (): Promise<string> => {
    const made = await mkdtemp(join(tmpdir(), 'amends-test-'));
    folders.push(made);
    return made;
  };
  const launch = (start: Start, url = ''): Running => {
    const made = watched(start, url);
    running.push(made);
    return made;
  };
  const onPort = async (start: (port: number) => Start, ready: string, given?: number): Promise<Running> => {
    for (let left = 3; ; left -= 1) {
      const port = given ?? (await freePort());
      const made = launch(start(port), `http://127.0.0.1:${port}`);
      if (await becomesReady(made, `${made.url}${ready}`)) return made;
      if (left === 1 || !/address already in use/i.test(made.output()))
        throw new Error(`${start(port).name} did not start:\n${made.output().slice(-4_000)}`);
    }
  };
  const binary = (server: Server): string => binaryOf(server) ?? server;
  return {
    folder,
    process: (start) => launch(start),
    amends({ config, args = [], env = {}, inside = [], port: given }) {
      return onPort(
        (port) => ({
          name: 'amends',
          file: inside[0] ?? process.execPath,
          args: [
            ...(inside.length === 0 ? [] : [...inside.slice(1), process.execPath]),
            join(root, 'bin/amends'),
            'serve',
            `--config.file=${config}`,
            `--web.listen-address=127.0.0.1:${port}`,
            ...args,
          ],
          env: { ...process.env, ...env },
          cwd: root,
        }),
        '/-/ready',
        given,
      );
    },
    async prometheus({ config, rules = {}, web, data, retention = '15d' }) {
      const at = await folder();
      await mkdir(join(at, 'rules'));
      for (const [name, text] of Object.entries(rules)) await writeFile(join(at, 'rules', name), text);
      const file = join(at, 'prometheus.yml');
      // JSON is YAML.
      await writeFile(file, JSON.stringify({ rule_files: [join(at, 'rules', '*.yaml')], ...config }));
      const guarded = await webConfig(at, web);
      return onPort(
        (port) => ({
          name: 'prometheus',
          file: binary('prometheus'),
          args: [
            `--config.file=${file}`,
            `--storage.tsdb.path=${data ?? join(at, 'data')}`,
            `--storage.tsdb.retention.time=${retention}`,
            `--web.listen-address=127.0.0.1:${port}`,
            '--log.level=warn',
            ...guarded,
          ],
          cwd: at,
        }),
        '/-/ready',
      );
    },
    async alertmanager({ config, web }) {
      const at = await folder();
      const file = join(at, 'alertmanager.yml');
      await writeFile(file, JSON.stringify(config));
      const guarded = await webConfig(at, web);
      return onPort(
        (port) => ({
          name: 'alertmanager',
          file: binary('alertmanager'),
          args: [
            `--config.file=${file}`,
            `--storage.path=${join(at, 'data')}`,
            `--web.listen-address=127.0.0.1:${port}`,
            '--cluster.listen-address=',
            ...guarded,
          ],
          cwd: at,
        }),
        '/-/ready',
      );
    },
    async stopAll() {
      for (const each of running.splice(0).toReversed()) await each.stop();
      for (const each of folders.splice(0)) await rm(each, { recursive: true, force: true });
    },
  };
};

async function webConfig(folder: string, web: Readonly<Record<string, unknown>> | undefined): Promise<string[]> {
  if (web === undefined) return [];
  const file = join(folder, 'web.yml');
  await writeFile(file, JSON.stringify(web));
  return [`--web.config.file=${file}`];
}

function watched(start: Start, url: string): Running {
  const child: ChildProcess = spawn(start.file, start.args, {
    cwd: start.cwd,
    env: start.env ?? process.env,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  const keep = (chunk: Buffer): void => {
    output = (output + chunk.toString()).slice(-KEPT_OUTPUT);
  };
  child.stdout?.on('data', keep);
  child.stderr?.on('data', keep);
  child.once('error', (error) => keep(Buffer.from(`${error.message}\n`)));
  const gone = new Promise<void>((resolve) => {
    child.once('exit', () => resolve());
    child.once('error', () => resolve());
  });
  const exited = (): boolean => child.pid === undefined || child.exitCode !== null || child.signalCode !== null;
  return {
    pid: child.pid ?? -1,
    url,
    output: () => output,
    exited,
    async stop() {
      if (exited()) return;
      child.kill('SIGTERM');
      // A frozen process takes no TERM.
      child.kill('SIGCONT');
      const late = new AbortController();
      await Promise.race([
        gone,
        pause(GRACE_MS, undefined, { signal: late.signal }).then(
          () => child.kill('SIGKILL'),
          () => false,
        ),
      ]);
      late.abort();
      await gone;
    },
  };
}

/** False when it exited before it was ready. */
async function becomesReady(running: Running, url: string): Promise<boolean> {
  return until(
    `${url} is ready:\n${running.output().slice(-2_000)}`,
    async () => {
      if (running.exited()) return 'gone';
      const response = await fetch(url, { signal: AbortSignal.timeout(2_000) });
      // Who keeps strangers out answers too.
      return response.ok || response.status === 401 ? 'ready' : false;
    },
    READY_MS,
    50,
  ).then((state) => state === 'ready');
}
