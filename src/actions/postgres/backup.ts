// A dump counts as a backup once it has been read back to its end; before that it does not even have its name.
import { mkdir, open, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { ActionError } from '../../base/failure.ts';
import { defineAction } from '../../port/action.ts';
import { allowedCommand, allowedPath } from '../allowed.ts';
import { absolutePath } from '../inputs.ts';
import { endpointOf, nameOf, postgresInput } from './client.ts';
import { checkDump, dumpName, listDumps, runTool } from './tools.ts';

const sync = async (path: string): Promise<void> => {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
};

export default defineAction({
  summary: 'Dumps a PostgreSQL database with pg_dump, reads the dump back, and keeps the newest ones.',
  effect: 'change',
  saves: true,
  input: z.strictObject({
    ...postgresInput,
    backups: absolutePath,
    keep: z.int().min(1).max(1_000).default(10),
    pg_dump: absolutePath.default('/usr/bin/pg_dump'),
    pg_restore: absolutePath.default('/usr/bin/pg_restore'),
  }),
  outputs: {
    path: 'the new backup, in the custom format of pg_dump',
    bytes: 'its size in bytes',
    removed: 'older backups that were deleted, newest first',
  },
  undo: 'not needed: the database itself is left as it is',
  defaultTimeout: 1_800_000,
  async run(input, context) {
    const { allow, clock, signal } = context;
    const backups = await allowedPath(input.backups, allow, 'the folder of backups');
    allowedCommand(input.pg_dump, context.allow);
    allowedCommand(input.pg_restore, context.allow);
    const endpoint = await endpointOf(input, context);
    signal.throwIfAborted();
    context.began();
    await mkdir(backups, { mode: 0o750 }).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST')
        throw new ActionError(
          'permanent',
          `the folder ${backups} is not there and cannot be made; mend: make it, writable for amends`,
          { cause: error },
        );
    });
    const path = join(backups, dumpName(endpoint.database, clock.now()));
    const partial = join(backups, `.${endpoint.database}.partial`);
    try {
      await rm(partial, { force: true });
      await runTool(
        input.pg_dump,
        ['--format=custom', '--no-password', '--lock-wait-timeout=10000', `--file=${partial}`],
        endpoint,
        context,
      );
      const checked = await checkDump(partial, input.pg_restore, null, context);
      if (typeof checked === 'string')
        throw new ActionError('permanent', `the dump of ${nameOf(endpoint)} is no backup: it ${checked}`);
      await sync(partial);
      await rename(partial, path);
      await sync(dirname(path));
      const removed = (await listDumps(backups, endpoint.database)).slice(input.keep);
      for (const old of removed) await rm(old, { force: true });
      return { outputs: { path, bytes: checked.bytes, removed: removed.slice(0, 50) } };
    } finally {
      await rm(partial, { force: true });
    }
  },
});
