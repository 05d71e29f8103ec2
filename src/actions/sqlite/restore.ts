// Brings a missing or damaged database back; how it survives a crash stands in restoring.ts.
import { z } from 'zod';
import { defineAction } from '../../port/action.ts';
import { allowedPath } from '../allowed.ts';
import { absolutePath } from '../inputs.ts';
import { offThread } from '../off-thread.ts';
import type * as restoring from './restoring.ts';
import { shownHolder } from './shown-holder.ts';

const jobs = offThread<typeof restoring>('./restoring.ts', import.meta.url);

export default defineAction({
  summary:
    'Restores a SQLite database from the newest backup that itself passes the full check; the old files are kept.',
  // Nothing is lost: the replaced database stands in the folder of backups, with its WAL.
  effect: 'change',
  input: z.strictObject({
    path: absolutePath,
    backups: absolutePath,
    allow_open: z.boolean().default(false),
    even_if_healthy: z.boolean().default(false),
  }),
  outputs: {
    restored: 'a backup was put in place; false: the database was sound already',
    restored_from: 'the backup, or empty',
    replaced_to: 'the folder with the old database and what belonged to it, or empty',
    skipped_backups: 'newer backups that did not pass their check: path, reason',
    open_by:
      'processes that still have the replaced file open and need a restart: pid, name, user, command_line, executable, start_time, age_seconds, access, blocking',
  },
  undo: 'by hand: copy the files in replaced_to back; nothing of them is lost',
  defaultTimeout: 300_000,
  async run(input, context) {
    const { allow, clock, signal } = context;
    const path = await allowedPath(input.path, allow, 'the database');
    const backups = await allowedPath(input.backups, allow, 'the folder of backups');
    const options = { key: path, clock, signal };
    const restore = await jobs(
      'prepareRestore',
      { path, backups, at: clock.now(), allowOpen: input.allow_open, evenIfHealthy: input.even_if_healthy },
      options,
    );
    if (restore === null)
      return { outputs: { restored: false, restored_from: '', replaced_to: '', skipped_backups: [], open_by: [] } };
    signal.throwIfAborted();
    context.began();
    await jobs('performRestore', restore, options);
    return {
      outputs: {
        restored: true,
        restored_from: restore.from,
        replaced_to: restore.aside,
        skipped_backups: restore.skipped.slice(0, 50),
        open_by: restore.holders.slice(0, 50).map(shownHolder),
      },
    };
  },
});
