// Runs commands through a helper process: a fork of this process would hold up the thread that answers, and a death
// signal set from a worker thread would fire when that thread ends.
import { fork } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Clock, Timer } from '../base/clock.ts';
import { ActionError } from '../base/failure.ts';
import type { Log } from '../base/log.ts';
import type { CommandResult, Spawner } from '../port/action.ts';
import { compiled } from './compiled.ts';
import { SERVE } from './spawner-child.ts';
import type { FromChild, ToChild } from './spawner-child.ts';

const IDLE_MS = 30_000;
/** From the end of its channel to the end of the helper; it ends all children first. */
const STOP_MS = 5_000;

export type SpawnerOptions = { readonly log: Log; readonly clock: Clock; readonly idleMs?: number };

type Waiting = {
  /** Null for what only ends processes: it is not taken up again. */ readonly marker: string | null;
  settle(message: FromChild): void;
  lost(): void;
};

export const createSpawner = ({ log, clock, idleMs = IDLE_MS }: SpawnerOptions): Spawner => {
  let helper: ChildProcess | null = null;
  let idle: Timer | null = null;
  let nextId = 1;
  let stopped = false;
  const waiting = new Map<number, Waiting>();

  /** Only a helper with work to do keeps this process alive. */
  const hold = (on: boolean): void => {
    if (helper === null) return;
    if (on) {
      helper.ref();
      helper.channel?.ref();
    } else {
      helper.unref();
      helper.channel?.unref();
    }
  };

  const onLost = (lost: ChildProcess): void => {
    if (helper === lost) helper = null;
    const left = [...waiting.values()];
    waiting.clear();
    for (const one of left) one.lost();
    if (left.length === 0 || stopped) return;
    log.error(
      { commands: left.length },
      'the helper process that runs commands ended unexpectedly; what it had started is ended',
    );
    for (const marker of new Set(left.map((one) => one.marker)))
      if (marker !== null) void spawner.sweep(marker).catch(() => undefined);
  };

  const start = (): ChildProcess => {
    if (stopped) throw new ActionError('permanent', 'amends is stopping: no command is started any more');
    idle?.cancel();
    if (helper !== null) return helper;
    const file = fileURLToPath(compiled('./spawner-child.ts', import.meta.url));
    // Its own session: a Ctrl-C at the terminal is for this process, which ends the helper in good order.
    const child = fork(file, [SERVE], {
      cwd: '/',
      env: {},
      execArgv: [],
      detached: true,
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    });
    child.on('message', (message) => {
      const known = message as FromChild;
      const one = waiting.get(known.id);
      waiting.delete(known.id);
      one?.settle(known);
      rest();
    });
    child.on('error', (error) => log.error({ error }, 'the helper process that runs commands failed'));
    child.once('exit', () => onLost(child));
    child.once('disconnect', () => {
      if (helper === child) helper = null;
    });
    helper = child;
    return child;
  };

  const rest = (): void => {
    if (waiting.size > 0) return;
    hold(false);
    idle?.cancel();
    idle = clock.after(idleMs, () => {
      if (waiting.size > 0 || helper === null) return;
      const child = helper;
      helper = null;
      child.disconnect();
    });
  };

  const ask = <T>(message: ToChild, read: (answer: FromChild) => T): Promise<T> =>
    new Promise((resolve, reject) => {
      const child = start();
      const lost = (): void =>
        reject(new ActionError('indeterminate', 'the helper process ended while the command ran'));
      waiting.set(message.id, {
        marker: message.type === 'run' ? message.marker : null,
        settle: (answer) => resolve(read(answer)),
        lost,
      });
      hold(true);
      child.send(message, (error) => {
        if (error === null || !waiting.delete(message.id)) return;
        reject(new ActionError('retryable', `the helper process could not be reached: ${error.message}`));
        rest();
      });
    });

  const spawner: Spawner = {
    async run(request, marker, signal) {
      signal.throwIfAborted();
      const id = nextId;
      nextId += 1;
      const onAbort = (): void => {
        if (waiting.has(id)) helper?.send({ type: 'abort', id } satisfies ToChild, () => undefined);
      };
      signal.addEventListener('abort', onAbort, { once: true });
      try {
        return await ask<CommandResult>({ type: 'run', id, request, marker }, (answer) => {
          if (answer.type !== 'result') throw new TypeError(`unexpected answer ${answer.type}`);
          return answer.result;
        });
      } finally {
        signal.removeEventListener('abort', onAbort);
      }
    },
    sweep(marker) {
      const id = nextId;
      nextId += 1;
      return ask({ type: 'sweep', id, marker }, (answer) => (answer.type === 'swept' ? answer.count : 0));
    },
    async stop() {
      stopped = true;
      idle?.cancel();
      const child = helper;
      if (child === null) return;
      helper = null;
      await new Promise<void>((resolve) => {
        const late = clock.after(STOP_MS, () => child.kill('SIGKILL'));
        child.once('exit', () => {
          late.cancel();
          resolve();
        });
        child.ref();
        if (child.connected) child.disconnect();
        else if (child.exitCode !== null || child.signalCode !== null) resolve();
      });
    },
  };
  return spawner;
};
