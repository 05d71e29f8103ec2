// A backup that was made for the time of a recovery goes once the database itself is known to be sound.
import { rm } from 'node:fs/promises';
import { z } from 'zod';
import { ActionError } from '../../base/failure.ts';
import { defineAction } from '../../port/action.ts';
import { allowedPath } from '../allowed.ts';
import { absolutePath } from '../inputs.ts';
import { offThread } from '../off-thread.ts';
import { listBackups } from './backups.ts';
import type * as mending from './mending.ts';

const jobs = offThread<typeof mending>('./mending.ts', import.meta.url);

export default defineAction({
  summary: 'Deletes one backup of a SQLite database, after a full check that the database itself is sound.',
  effect: 'change',
  input: z.strictObject({
    path: absolutePath,
    backups: absolutePath,
    /** What the step that made it says; empty: it made none, and there is nothing to do. */
    backup: z.union([absolutePath, z.literal('')]),
  }),
  outputs: { discarded: 'a backup was deleted' },
  undo: 'it cannot be undone; the database is sound, and older backups stay',
  defaultTimeout: 120_000,
  async run(input, context) {
    const { allow, clock, signal } = context;
    const path = await allowedPath(input.path, allow, 'the database');
    const backups = await allowedPath(input.backups, allow, 'the folder of backups');
    signal.throwIfAborted();
    if (input.backup === '') {
      context.began();
      return { outputs: { discarded: false } };
    }
    const backup = await allowedPath(input.backup, allow, 'the backup');
    if (!listBackups(backups, path).some((known) => known.path === backup))
      throw new ActionError('permanent', `${backup} is no backup of ${path} in ${backups}; nothing was deleted`);
    const reason = await jobs('soundness', { path }, { key: path, clock, signal });
    if (reason !== null) throw new ActionError('permanent', `${path} ${reason}, so its backup ${backup} is kept`);
    context.began();
    await rm(backup);
    return { outputs: { discarded: true } };
  },
});
