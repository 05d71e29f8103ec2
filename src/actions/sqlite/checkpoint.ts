// A WAL that only grows slows every reader down and fills the disk.
import { z } from 'zod';
import { ActionError } from '../../base/failure.ts';
import { defineAction } from '../../port/action.ts';
import { allowedPath } from '../allowed.ts';
import { absolutePath, busyTime } from '../inputs.ts';
import { offThread } from '../off-thread.ts';
import type * as checkpointing from './checkpointing.ts';
import { sizeOf } from './opening.ts';

const jobs = offThread<typeof checkpointing>('./checkpointing.ts', import.meta.url);

export default defineAction({
  summary: 'Writes the WAL of a SQLite database into it and cuts the WAL down to nothing.',
  effect: 'change',
  input: z.strictObject({ path: absolutePath, busy: busyTime.default(5_000) }),
  outputs: {
    busy: 'a reader or a writer kept it from finishing',
    log_frames: 'frames that were in the WAL',
    checkpointed_frames: 'frames of them that are in the database now',
    wal_bytes_before: 'size of the WAL before, in bytes',
    wal_bytes: 'size of the WAL after, in bytes',
  },
  undo: 'nothing to undo: no content changes',
  defaultTimeout: 60_000,
  async run(input, context) {
    const { allow, clock, signal } = context;
    const path = await allowedPath(input.path, allow, 'the database');
    if (sizeOf(path) === null)
      throw new ActionError(
        'permanent',
        `${path} does not exist: there is nothing to write the WAL into; mend: restore a backup`,
      );
    signal.throwIfAborted();
    context.began();
    const result = await jobs(
      'checkpoint',
      { path, mode: 'TRUNCATE', busyMs: input.busy },
      { key: path, clock, signal },
    );
    const outputs = {
      busy: result.busy,
      log_frames: result.logFrames,
      checkpointed_frames: result.frames,
      wal_bytes_before: result.walBefore,
      wal_bytes: result.walAfter,
    };
    if (!result.busy) return { outputs };
    throw new ActionError(
      'retryable',
      `the WAL of ${path} could not be cut down: another process reads or writes; mend: locks.holders says who`,
      { outputs },
    );
  },
});
