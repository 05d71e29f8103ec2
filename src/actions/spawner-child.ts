// The helper process that starts commands, so that neither a fork of the large main process nor a flood of output ever
// holds up the thread that answers. It lives only as long as its channel to the main process.
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { accessSync, closeSync, constants, existsSync, openSync, readSync, statSync } from 'node:fs';
import { systemClock } from '../base/clock.ts';
import type { Timer } from '../base/clock.ts';
import type { CommandRequest, CommandResult } from '../port/action.ts';
import { pidsWithEnvironment } from './kernel.ts';
import { createOutputWindow } from './output-window.ts';

export const MARKER = 'AMENDS_MARKER';

/** The argument that tells a start as the helper from a mere import. */
export const SERVE = 'serve-commands';

export type ToChild =
  | { readonly type: 'run'; readonly id: number; readonly request: CommandRequest; readonly marker: string }
  | { readonly type: 'abort'; readonly id: number }
  | { readonly type: 'sweep'; readonly id: number; readonly marker: string };
export type FromChild =
  | { readonly type: 'result'; readonly id: number; readonly result: CommandResult }
  | { readonly type: 'swept'; readonly id: number; readonly count: number };

/** How long output is still read after the command itself has ended: a daemon it left behind may hold the pipe for ever. */
const DRAIN_MS = 100;
/** An abort has to be done within a second. */
const ABORT_GRACE_MS = 500;
/** The deadline outside Node comes later than ours: it is for the case that this process no longer runs. */
const BACKSTOP_MS = 1_000;
const SWEEP_LIMIT_MS = 4_000;

const firstExisting = (...paths: readonly string[]): string | null => paths.find((path) => existsSync(path)) ?? null;
const SETPRIV = firstExisting('/usr/bin/setpriv', '/bin/setpriv');
const TIMEOUT = firstExisting('/usr/bin/timeout', '/bin/timeout');

/** The command under a death signal (once for `timeout`, once for the command, since a fork does not inherit it) and a deadline. */
const guarded = (request: CommandRequest): { readonly file: string; readonly args: readonly string[] } => {
  const own = [request.file, ...request.args];
  const dies = SETPRIV === null ? [] : [SETPRIV, '--pdeathsig', 'KILL', '--'];
  const seconds = (ms: number): string => (ms / 1_000).toFixed(3);
  const ends =
    TIMEOUT === null
      ? []
      : [TIMEOUT, `--kill-after=${seconds(request.graceMs + BACKSTOP_MS)}`, seconds(request.timeoutMs + BACKSTOP_MS)];
  const [file, ...args] = [...(ends.length === 0 ? [] : [...dies, ...ends]), ...dies, ...own];
  return { file: file ?? request.file, args };
};

const signalTo = (pid: number, name: NodeJS.Signals): void => {
  try {
    process.kill(pid, name);
  } catch {
    // Gone already, which is what was wanted.
  }
};

/** Ends all that carries the marker: again and again, since a process may fork between the look and the signal. */
const sweep = async (marker: string): Promise<number> => {
  const ended = new Set<number>();
  const until = systemClock.monotonic() + SWEEP_LIMIT_MS;
  for (;;) {
    const found = pidsWithEnvironment(MARKER, marker);
    if (found.length === 0 || systemClock.monotonic() > until) return ended.size;
    for (const pid of found) {
      signalTo(pid, 'SIGKILL');
      ended.add(pid);
    }
    await systemClock.sleep(10);
  }
};

const SHORTEST_PROGRAM = 64;

/** The guards start a file of any other kind through a shell, which nobody has asked for. */
const isProgram = (file: string): boolean => {
  const descriptor = openSync(file, 'r');
  try {
    const start = Buffer.alloc(SHORTEST_PROGRAM);
    const read = readSync(descriptor, start, 0, SHORTEST_PROGRAM, 0);
    return (
      start.toString('latin1', 0, 2) === '#!' ||
      (read === SHORTEST_PROGRAM && start.toString('latin1', 0, 4) === '\x7fELF')
    );
  } finally {
    closeSync(descriptor);
  }
};

const refusal = (request: CommandRequest): string | null => {
  try {
    if (!statSync(request.file).isFile()) return `${request.file} is not a file`;
    accessSync(request.file, constants.X_OK);
    return isProgram(request.file)
      ? null
      : `${request.file} is neither a program nor a script that names its interpreter (#!)`;
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'EUNKNOWN';
    return code === 'ENOENT'
      ? `${request.file} does not exist (ENOENT)`
      : `${request.file} cannot be executed (${code})`;
  }
};

const neverStarted = (error: string): CommandResult => ({
  started: false,
  exitCode: null,
  signal: null,
  timedOut: false,
  stdout: { text: '', dropped: 0 },
  stderr: { text: '', dropped: 0 },
  error,
});

/** What the guards say when the command itself could not be started. */
const guardError = (exitCode: number | null, stderr: string): string | null => {
  if (exitCode === null || exitCode < 125 || exitCode > 127) return null;
  return (
    /^(?:\S*setpriv: failed to execute|\S*timeout: (?:failed to run|fork system call failed))[^\n]*/.exec(
      stderr,
    )?.[0] ?? null
  );
};

type Job = { readonly marker: string; end(reason: 'timeout' | 'abort'): void };
const jobs = new Map<number, Job>();

const start = (id: number, request: CommandRequest, marker: string, answer: (result: CommandResult) => void): void => {
  const problem = refusal(request);
  if (problem !== null) {
    answer(neverStarted(problem));
    return;
  }
  const command = guarded(request);
  let child: ChildProcess;
  try {
    child = spawn(command.file, command.args, {
      cwd: request.cwd,
      env: { ...request.env, [MARKER]: marker },
      shell: false,
      detached: true,
      stdio: [request.stdin === null ? 'ignore' : 'pipe', 'pipe', 'pipe'],
    });
  } catch (error) {
    answer(neverStarted((error as Error).message));
    return;
  }
  const stdout = createOutputWindow();
  const stderr = createOutputWindow();
  const closed = new Promise<void>((resolve) => child.once('close', () => resolve()));
  const timers: Timer[] = [];
  let timedOut = false;
  let ending: Promise<unknown> | null = null;
  let answered = false;
  let exit: { readonly code: number | null; readonly signal: string | null } | null = null;

  const finish = (error: string | null, started = true): void => {
    if (answered) return;
    answered = true;
    for (const timer of timers) timer.cancel();
    jobs.delete(id);
    // A daemon that was left behind may hold the other ends: ours are given back now.
    child.stdout?.destroy();
    child.stderr?.destroy();
    child.stdin?.destroy();
    if (!started) {
      answer(neverStarted(error ?? 'it could not be started'));
      return;
    }
    answer({
      started: true,
      exitCode: exit?.code ?? null,
      signal: exit?.signal ?? null,
      timedOut,
      stdout: stdout.read(),
      stderr: stderr.read(),
      error,
    });
  };

  const killAll = (): void => {
    if (child.pid !== undefined) signalTo(-child.pid, 'SIGKILL');
    // What it wrote last is still on its way through the pipe.
    ending = sweep(marker)
      .then(() => Promise.race([closed, systemClock.sleep(DRAIN_MS)]))
      .then(() => finish(null));
  };
  const end: Job['end'] = (reason) => {
    if (ending !== null || answered) return;
    timedOut = reason === 'timeout';
    // Held until KILL has been seen to: an exit of the command itself does not mean that all it started is gone.
    ending = Promise.resolve();
    // `timeout` would hand TERM on to the command, and to some commands a second TERM means "drop everything".
    const family = pidsWithEnvironment(MARKER, marker).filter((pid) => TIMEOUT === null || pid !== child.pid);
    for (const pid of family) signalTo(pid, 'SIGTERM');
    // A stopped process acts on TERM only once it goes on.
    for (const pid of family) signalTo(pid, 'SIGCONT');
    const deadline =
      systemClock.monotonic() + Math.min(request.graceMs, reason === 'abort' ? ABORT_GRACE_MS : request.graceMs);
    const look = (): void => {
      if (systemClock.monotonic() >= deadline || pidsWithEnvironment(MARKER, marker).length === 0) killAll();
      else timers.push(systemClock.after(20, look));
    };
    look();
  };
  jobs.set(id, { marker, end });
  timers.push(systemClock.after(request.timeoutMs, () => end('timeout')));

  child.stdout?.on('data', (chunk: Buffer) => stdout.add(chunk));
  child.stderr?.on('data', (chunk: Buffer) => stderr.add(chunk));
  for (const stream of [child.stdin, child.stdout, child.stderr]) stream?.on('error', () => undefined);
  child.stdin?.end(request.stdin ?? '');
  child.on('error', (error) => finish(error.message, child.pid !== undefined));
  const concludeExit = (): void => {
    if (ending !== null) return;
    const text = stderr.read().text;
    const unstarted = guardError(exit?.code ?? null, text);
    finish(unstarted, unstarted === null);
  };
  child.on('exit', (code, signal) => {
    exit = { code, signal };
    timers.push(systemClock.after(DRAIN_MS, concludeExit));
  });
  child.on('close', concludeExit);
};

const send = (message: FromChild): void => {
  if (process.connected) process.send?.(message, undefined, undefined, () => undefined);
};

/** Without pauses: with the channel gone nothing would keep this process alive through one. */
const endEverything = (): void => {
  const until = systemClock.monotonic() + SWEEP_LIMIT_MS;
  for (const { marker } of jobs.values()) {
    for (
      let found = pidsWithEnvironment(MARKER, marker);
      found.length > 0;
      found = pidsWithEnvironment(MARKER, marker)
    ) {
      for (const pid of found) signalTo(pid, 'SIGKILL');
      if (systemClock.monotonic() > until) return;
    }
  }
};

const serve = (): void => {
  process.on('message', (message: ToChild) => {
    if (message.type === 'run')
      start(message.id, message.request, message.marker, (result) => send({ type: 'result', id: message.id, result }));
    else if (message.type === 'abort') jobs.get(message.id)?.end('abort');
    else void sweep(message.marker).then((count) => send({ type: 'swept', id: message.id, count }));
  });
  process.on('disconnect', () => {
    endEverything();
    process.exit(0);
  });
};

if (process.send !== undefined && process.argv[2] === SERVE) serve();
