// Gives back the room that deleted rows have left; daily, it keeps locks short and files small.
import { z } from 'zod';
import { ActionError } from '../../base/failure.ts';
import { defineAction } from '../../port/action.ts';
import { allowedPath } from '../allowed.ts';
import { absolutePath, busyTime } from '../inputs.ts';
import { offThread } from '../off-thread.ts';
import type * as mending from './mending.ts';
import { sizeOf } from './opening.ts';

const jobs = offThread<typeof mending>('./mending.ts', import.meta.url);

export default defineAction({
  summary: 'Rewrites a SQLite database without its free pages, after a check that it is sound.',
  effect: 'change',
  input: z.strictObject({ path: absolutePath, busy: busyTime.default(5_000) }),
  outputs: {
    bytes_before: 'size of the database and its WAL before, in bytes',
    bytes_after: 'the same after',
    freed_bytes: 'the difference, never below 0',
    free_pages: 'pages that held nothing before',
  },
  undo: 'nothing to undo: no content changes',
  defaultTimeout: 600_000,
  async run(input, context) {
    const { allow, clock, signal } = context;
    const path = await allowedPath(input.path, allow, 'the database');
    if (sizeOf(path) === null) throw new ActionError('permanent', `${path} does not exist: there is nothing to vacuum`);
    signal.throwIfAborted();
    context.began();
    const { before, after, freePages } = await jobs(
      'vacuum',
      { path, busyMs: input.busy },
      { key: path, clock, signal },
    );
    return {
      outputs: {
        bytes_before: before,
        bytes_after: after,
        freed_bytes: Math.max(0, before - after),
        free_pages: freePages,
      },
    };
  },
});
