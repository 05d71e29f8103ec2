// What every database strategy does first, so that nothing it does later can lose what is there.
import { z } from 'zod';
import { defineAction } from '../../port/action.ts';
import { allowedPath } from '../allowed.ts';
import { absolutePath, busyTime } from '../inputs.ts';
import { offThread } from '../off-thread.ts';
import type * as backingUp from './backing-up.ts';

const jobs = offThread<typeof backingUp>('./backing-up.ts', import.meta.url);

export default defineAction({
  summary: 'Backs a live SQLite database up, checks the copy, and keeps the newest ones.',
  effect: 'change',
  saves: true,
  input: z.strictObject({
    path: absolutePath,
    backups: absolutePath,
    keep: z.int().min(1).max(1_000).default(10),
    raw_ok: z.boolean().default(false),
    busy: busyTime.default(5_000),
  }),
  outputs: {
    path: 'the new backup',
    bytes: 'its size in bytes',
    checked: 'it passed its check and can be restored; false: a raw copy of a damaged database, kept as evidence',
    reason: 'why only a raw copy could be made, or empty',
    removed: 'older backups that were deleted, newest first',
  },
  undo: 'not needed: the database itself is left as it is',
  defaultTimeout: 300_000,
  async run(input, context) {
    const { allow, clock, signal } = context;
    const path = await allowedPath(input.path, allow, 'the database');
    const backups = await allowedPath(input.backups, allow, 'the folder of backups');
    signal.throwIfAborted();
    context.began();
    const report = await jobs(
      'makeBackup',
      { path, backups, at: clock.now(), keep: input.keep, rawOk: input.raw_ok, busyMs: input.busy },
      { key: path, clock, signal },
    );
    return {
      outputs: {
        path: report.path,
        bytes: report.bytes,
        checked: report.checked,
        reason: report.reason,
        removed: report.removed.slice(0, 50),
      },
    };
  },
});
