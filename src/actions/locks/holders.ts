// Who is in the way, before anything is done about it: for conditions, for the record and for the human.
import { z } from 'zod';
import { defineAction } from '../../port/action.ts';
import { allowedPath } from '../allowed.ts';
import { goesBy } from '../ending.ts';
import { absolutePath, processNames } from '../inputs.ts';
import { offThread } from '../off-thread.ts';
import type * as locking from '../sqlite/locking.ts';
import { shownHolder } from '../sqlite/shown-holder.ts';
import { lockAge } from '../sqlite/sightings.ts';

const jobs = offThread<typeof locking>('../sqlite/locking.ts', import.meta.url);

export default defineAction({
  summary: 'Finds the processes that hold a SQLite file locked, from the lock table of the kernel and from open files.',
  effect: 'read',
  onlyTells: true,
  input: z.strictObject({
    path: absolutePath,
    /** Names of the application's own executables, for own_process_locked. */
    own: processNames.optional(),
  }),
  outputs: {
    locked_file: 'the database when a process holds its write lock (or, without a WAL, reads it), else empty',
    lock_error_message: 'what SQLite answers a writer that does not wait, or empty',
    lock_age_seconds: 'for how many seconds amends has seen this lock held; never more than the truth',
    operation_that_failed: 'what the lock keeps others from doing: `write`, or empty',
    locking_processes:
      'those that hold a lock: pid, name, user, command_line, executable, start_time, age_seconds, access (write, read), blocking',
    process_count: 'how many of them there are',
    blocking_count: 'how many of them keep others from writing',
    own_process_locked: 'one of them goes by a name in `own`; without `own`, always false',
    open_by: 'all that have the file open: the same members, access may be `open`',
  },
  undo: 'nothing to undo: it only reads',
  defaultTimeout: 10_000,
  async run(input, { allow, clock, signal }) {
    const path = await allowedPath(input.path, allow, 'the database');
    const { holders, error } = await jobs('lookAtLock', { path }, { key: path, clock, signal });
    const locking = holders.filter((holder) => holder.access !== 'open');
    const blocking = locking.filter((holder) => holder.blocking);
    const { own } = input;
    return {
      outputs: {
        locked_file: blocking.length > 0 ? path : '',
        lock_error_message: error ?? '',
        lock_age_seconds: lockAge(path, holders, clock),
        operation_that_failed: error === null ? '' : 'write',
        locking_processes: locking.slice(0, 50).map(shownHolder),
        process_count: locking.length,
        blocking_count: blocking.length,
        own_process_locked: own !== undefined && blocking.some((holder) => goesBy(holder, own)),
        open_by: holders.slice(0, 50).map(shownHolder),
      },
    };
  },
});
