// Whether the newest dump of a PostgreSQL database is young enough and good for a restore, before anybody needs it.
import { z } from 'zod';
import { ActionError } from '../../base/failure.ts';
import { defineAction } from '../../port/action.ts';
import { allowedCommand, allowedPath } from '../allowed.ts';
import { absolutePath, duration } from '../inputs.ts';
import { databaseOf, postgresInput } from './client.ts';
import { checkDump, listDumps } from './tools.ts';

export default defineAction({
  summary:
    'Looks at the newest dump of a PostgreSQL database: its age, its size, and whether it can be read to its end.',
  effect: 'read',
  input: z.strictObject({
    url: postgresInput.url,
    backups: absolutePath,
    max_age: duration.default(90_000_000),
    pg_restore: absolutePath.default('/usr/bin/pg_restore'),
  }),
  outputs: {
    dumps: 'how many dumps of this database there are',
    dump_path: 'the newest of them, or empty',
    dump_age_seconds: 'its age in seconds, -1 when there is none that can be read',
    dump_bytes: 'its size in bytes, 0 when there is none that can be read',
    dump_sound: 'it is there, a plain file, not empty, and can be read to its end',
  },
  undo: 'nothing to undo: it only reads',
  defaultTimeout: 1_800_000,
  async run(input, context) {
    const backups = await allowedPath(input.backups, context.allow, 'the folder of backups');
    allowedCommand(input.pg_restore, context.allow);
    const database = databaseOf(input.url);
    const dumps = await listDumps(backups, database);
    const [newest] = dumps;
    const checked =
      newest === undefined
        ? `there is no dump of ${database} in ${backups}`
        : await checkDump(newest, input.pg_restore, null, context);
    const outputs = {
      dumps: dumps.length,
      dump_path: newest ?? '',
      dump_age_seconds: typeof checked === 'string' ? -1 : Math.round(checked.ageMs / 1_000),
      dump_bytes: typeof checked === 'string' ? 0 : checked.bytes,
      dump_sound: typeof checked !== 'string',
    };
    if (typeof checked === 'string')
      throw new ActionError('permanent', newest === undefined ? checked : `${newest} ${checked}`, { outputs });
    if (checked.ageMs > input.max_age)
      throw new ActionError('permanent', `${newest ?? ''} is ${outputs.dump_age_seconds} s old`, { outputs });
    return { outputs };
  },
});
