// The last way to a database that is still locked: a checked backup first, then what SQLite can do by itself, then the
// end of the declared holders. Not one committed row is lost by any of it; no file of the database is ever removed.
import { z } from 'zod';
import type { JsonObject } from '../../base/json.ts';
import { ActionError } from '../../base/failure.ts';
import type { ActionContext } from '../../port/action.ts';
import { defineAction } from '../../port/action.ts';
import { allowedPath } from '../allowed.ts';
import { endProcesses, signalProcess } from '../ending.ts';
import { absolutePath, busyTime, duration, processNames } from '../inputs.ts';
import { offThread } from '../off-thread.ts';
import type * as backingUp from './backing-up.ts';
import { holderKey } from './locking.ts';
import type { Holder } from './locking.ts';
import type * as locking from './locking.ts';
import type * as mending from './mending.ts';
import { objection } from './objecting.ts';
import { nameHolders, shownHolder } from './shown-holder.ts';

const locks = offThread<typeof locking>('./locking.ts', import.meta.url);
const backups = offThread<typeof backingUp>('./backing-up.ts', import.meta.url);
const mends = offThread<typeof mending>('./mending.ts', import.meta.url);

type Options = { readonly key: string; readonly clock: ActionContext['clock']; readonly signal: AbortSignal };

/** A stopped process changes nothing while its files are copied; it goes on after it, whatever came of the copy. */
const backUpFrozen = async (
  path: string,
  folder: string,
  blocking: readonly Holder[],
  options: Options,
): Promise<string> => {
  const stopped = blocking.filter((holder) => signalProcess(holder, 'SIGSTOP'));
  try {
    return (await mends('copyFrozen', { path, backups: folder, at: options.clock.now() }, options)).path;
  } finally {
    for (const holder of stopped) signalProcess(holder, 'SIGCONT');
  }
};

/** The path of a backup that passed its check. Nothing else is done without one. */
const backUp = async (
  path: string,
  folder: string,
  keep: number,
  blocking: readonly Holder[],
  options: Options,
): Promise<string> => {
  try {
    const made = { path, backups: folder, at: options.clock.now(), keep, rawOk: false, busyMs: 250 };
    return (await backups('makeBackup', made, options)).path;
  } catch (error) {
    if (!(error instanceof ActionError) || error.kind !== 'retryable') throw error;
    return backUpFrozen(path, folder, blocking, options);
  }
};

export default defineAction({
  summary:
    'Backs a locked SQLite database up, lets SQLite recover it, and ends the declared processes that still hold it.',
  effect: 'change',
  input: z.strictObject({
    path: absolutePath,
    backups: absolutePath,
    only: processNames,
    keep: z.int().min(1).max(1_000).default(10),
    grace: duration.default(5_000),
    kill: z.boolean().default(true),
    /** Rewrite the database without its free pages once it is free. */
    vacuum: z.boolean().default(true),
    busy: busyTime.default(1_000),
    max: z.int().min(1).max(50).default(5),
  }),
  outputs: {
    force_unlock_successful: 'the database is free, sound, and can be written',
    processes_terminated: 'pids that ended',
    processes_killed: 'how many of them, with what they had started, needed KILL',
    backup_created: 'the backup that was made and checked first; empty when there was no lock any more',
    stopped: 'who they were: pid, name, user, command_line, executable, start_time, age_seconds, access, blocking',
  },
  undo: 'it cannot be undone: the processes have ended; the backup in backup_created holds the state before',
  defaultTimeout: 600_000,
  async run(input, context) {
    const { allow, clock, signal, log } = context;
    const path = await allowedPath(input.path, allow, 'the database');
    const folder = await allowedPath(input.backups, allow, 'the folder of backups');
    const options = { key: path, clock, signal };
    const before = await locks('findLocking', { path }, options);
    signal.throwIfAborted();
    const nothing = {
      processes_terminated: [] as readonly number[],
      processes_killed: 0,
      stopped: [] as readonly JsonObject[],
    };
    context.began();
    if ((await locks('tryWriteLock', { path, busyMs: input.busy, exclusive: true }, options)) === null)
      return { outputs: { force_unlock_successful: true, backup_created: '', ...nothing } };

    // Only who held it before that wait and holds it still.
    const known = new Set(before.holders.filter((holder) => holder.blocking).map(holderKey));
    const now = await locks('findLocking', { path }, options);
    const blocking = now.holders.filter((holder) => holder.blocking && known.has(holderKey(holder)));
    const failed = { force_unlock_successful: false, backup_created: '', ...nothing };
    if (blocking.length === 0 && now.holders.some((holder) => holder.blocking))
      throw new ActionError('retryable', `${path} is busy, but its holders come and go`, { outputs: failed });
    const reason = objection(blocking, input.only, input.max, path);
    if (reason !== null) throw new ActionError('permanent', reason, { outputs: failed });

    const backup = await backUp(path, folder, input.keep, blocking, options);
    const saved = { ...failed, backup_created: backup };
    const free = await mends('recover', { path, busyMs: input.busy, vacuums: input.vacuum }, options);
    if (free === null) return { outputs: { ...saved, force_unlock_successful: true } };

    log.info({ path, holders: nameHolders(blocking), backup }, 'ending the holders of a SQLite lock');
    signal.throwIfAborted();
    const ended = await endProcesses(blocking, { graceMs: input.grace, kill: input.kill, clock, signal });
    const done = {
      ...saved,
      processes_terminated: ended.ended,
      processes_killed: ended.killed.length,
      stopped: blocking.filter((holder) => ended.ended.includes(holder.pid)).map(shownHolder),
    };
    if (ended.left.length > 0)
      throw new ActionError(
        'permanent',
        `${ended.left.join(', ')} did not end; mend: ${input.kill ? 'it may be waiting for a disk (state D)' : 'say `kill: true`, or end it by hand'}`,
        { outputs: done },
      );
    const still = await mends('recover', { path, busyMs: Math.max(input.busy, 1_000), vacuums: input.vacuum }, options);
    if (still === null) return { outputs: { ...done, force_unlock_successful: true } };
    throw new ActionError('permanent', `the processes ended, but ${path} is still locked: ${still}`, { outputs: done });
  },
});
