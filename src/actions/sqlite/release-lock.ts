// Lets go of a lock that a hung process holds. Files of the database are never deleted: SQLite itself recovers.
import { z } from 'zod';
import type { JsonObject } from '../../base/json.ts';
import { ActionError } from '../../base/failure.ts';
import { defineAction } from '../../port/action.ts';
import { allowedPath } from '../allowed.ts';
import { endProcesses } from '../ending.ts';
import { absolutePath, busyTime, duration, processNames } from '../inputs.ts';
import { offThread } from '../off-thread.ts';
import type * as checkpointing from './checkpointing.ts';
import { holderKey } from './locking.ts';
import type * as locking from './locking.ts';
import { objection } from './objecting.ts';
import { nameHolders, shownHolder } from './shown-holder.ts';
import { lockAge, stuckFor } from './sightings.ts';

/** The look that is left where a probe has done the waiting: SQLite tries six times within it, at 0, 1, 3, 8, 18 and 20 ms. */
const LOOK_MS = 20;

const jobs = offThread<typeof locking>('./locking.ts', import.meta.url);
const checkpoints = offThread<typeof checkpointing>('./checkpointing.ts', import.meta.url);

export default defineAction({
  summary: 'Asks the processes that hold a SQLite lock to end, and makes sure that the database can be written again.',
  effect: 'change',
  input: z.strictObject({
    path: absolutePath,
    only: processNames,
    grace: duration.default(5_000),
    kill: z.boolean().default(false),
    busy: busyTime.default(1_000),
    max: z.int().min(1).max(50).default(5),
  }),
  outputs: {
    lock_released: 'the write lock was to be had at the end',
    processes_stopped: 'how many processes ended',
    processes_killed: 'how many of them, with what they had started, needed KILL',
    stopped: 'who they were: pid, name, user, command_line, executable, start_time, age_seconds, access, blocking',
    lock_age_seconds: 'for how many seconds amends had seen the lock held; never more than the truth',
    checkpointed_frames: 'frames of the WAL that are in the database after it, 0 without a WAL',
  },
  undo: 'it cannot be undone: the processes have ended; a supervisor starts them again',
  defaultTimeout: 30_000,
  async run(input, context) {
    const { allow, clock, signal, log } = context;
    const path = await allowedPath(input.path, allow, 'the database');
    const options = { key: path, clock, signal };
    const nothing = { processes_stopped: 0, processes_killed: 0, stopped: [] as readonly JsonObject[] };

    const before = await jobs('findLocking', { path }, options);
    const age = lockAge(path, before.holders, clock);
    signal.throwIfAborted();
    context.began();
    // A probe that lately waited as long in vain, for the same processes, has shown what this wait is to show, unless one of
    // them has been at work since.
    const suspects = before.holders.filter((holder) => holder.blocking).map(holderKey);
    const written = await jobs('lastWritten', { path }, options);
    const busyMs = stuckFor(path, suspects, written, clock) >= input.busy ? Math.min(LOOK_MS, input.busy) : input.busy;
    const held = await jobs('tryWriteLock', { path, busyMs, exclusive: true }, options);
    if (held === null) {
      const { frames } = await checkpoints('checkpoint', { path, mode: 'PASSIVE', busyMs: input.busy }, options);
      return { outputs: { lock_released: true, ...nothing, lock_age_seconds: age, checkpointed_frames: frames } };
    }

    // Only who held it before that wait and holds it still: another may have come by in the ordinary way.
    const known = new Set(suspects);
    const now = await jobs('findLocking', { path }, options);
    const blocking = now.holders.filter((holder) => holder.blocking && known.has(holderKey(holder)));
    const failed = { lock_released: false, ...nothing, lock_age_seconds: age, checkpointed_frames: 0 };
    if (blocking.length === 0 && now.holders.some((holder) => holder.blocking)) {
      throw new ActionError(
        'retryable',
        `${path} is busy, but its holders come and go: ${nameHolders(now.holders.filter((holder) => holder.blocking))}`,
        { outputs: failed },
      );
    }
    const reason = objection(blocking, input.only, input.max, path);
    if (reason !== null) throw new ActionError('permanent', reason, { outputs: failed });

    log.info({ path, holders: nameHolders(blocking) }, 'asking the holders of a SQLite lock to end');
    const result = await endProcesses(blocking, { graceMs: input.grace, kill: input.kill, clock, signal });
    const done = {
      processes_stopped: result.ended.length,
      processes_killed: result.killed.length,
      stopped: blocking.filter((holder) => result.ended.includes(holder.pid)).map(shownHolder),
      lock_age_seconds: age,
    };
    if (result.left.length > 0) {
      const mend = input.kill ? 'it may be waiting for a disk (state D)' : 'say `kill: true`, or end it by hand';
      throw new ActionError(
        'permanent',
        `${result.left.join(', ')} did not end within ${input.grace} ms; mend: ${mend}`,
        { outputs: { ...done, lock_released: false, checkpointed_frames: 0 } },
      );
    }
    const still = await jobs('tryWriteLock', { path, busyMs: Math.max(input.busy, 1_000), exclusive: true }, options);
    if (still !== null) {
      throw new ActionError('permanent', `the processes ended, but ${path} is still locked: ${still}`, {
        outputs: { ...done, lock_released: false, checkpointed_frames: 0 },
      });
    }
    const { frames } = await checkpoints('checkpoint', { path, mode: 'PASSIVE', busyMs: input.busy }, options);
    return { outputs: { lock_released: true, ...done, checkpointed_frames: frames } };
  },
});
