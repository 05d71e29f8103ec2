// Brings back what redis.flush-keys deleted, from the copy that it made: the undo of a flush, that day or the next.
import { z } from 'zod';
import { ActionError } from '../../base/failure.ts';
import type { ActionContext } from '../../port/action.ts';
import { defineAction } from '../../port/action.ts';
import { allowedPath } from '../allowed.ts';
import { absolutePath } from '../inputs.ts';
import { withConnection } from './connection.ts';
import type { Connection } from './connection.ts';
import { readDump } from './dump.ts';
import type { DumpedKey } from './dump.ts';
import { makeSure } from './identity.ts';
import { shownKey } from './lasting.ts';
import { findServer, serverInput } from './server.ts';

const BATCH = 50;
const MOST_SHOWN = 20;

export default defineAction({
  summary: 'Puts the keys of a copy that redis.flush-keys made back into the Redis they came from.',
  effect: 'change',
  input: z.strictObject({
    ...serverInput(240_000),
    /** The copy, below allow.paths. */
    file: absolutePath,
    /** Also where a key of that name is there again; otherwise the newer one stays. */
    replace: z.boolean().default(false),
  }),
  outputs: {
    restored: 'keys that were put back',
    kept: 'keys that are there again and were left as they are',
    in_file: 'keys in the copy',
    kept_examples: 'the first of those that were left; bytes that are not printable as \\x00',
  },
  undo: 'redis.flush-keys deletes them again, after another copy',
  defaultTimeout: 300_000,
  async run(input, context) {
    context.signal.throwIfAborted();
    const server = await findServer(input, context);
    const file = await allowedPath(input.file, context.allow, 'the copy');
    const { header, keys } = await readDump(file);
    if (header.server !== server.name || header.db !== server.db)
      throw new ActionError(
        'permanent',
        `${file} holds keys of ${header.server}, database ${header.db}, and not of ${server.name}, database ${server.db}`,
      );
    if (keys.length === 0) throw new ActionError('permanent', `${file} holds no key, so there is nothing to restore`);
    const done: Done = { restored: 0, kept: [] };
    let begun = false;
    try {
      await withConnection(server, input.timeout, context, async (connection) => {
        await makeSure(connection, input.connect?.expect ?? {});
        begun = true;
        context.began();
        await restoreAll(connection, keys, input.replace, done, context);
      });
    } catch (error) {
      if (!begun) throw error;
      throw new ActionError(
        'indeterminate',
        `redis ${server.name}: it failed after ${done.restored} of ${keys.length} keys were put back: ${(error as Error).message}; mend: do it again, those that are back are left as they are`,
        { cause: error, outputs: { restored: done.restored, kept: done.kept.length, in_file: keys.length } },
      );
    }
    return {
      outputs: {
        restored: done.restored,
        kept: done.kept.length,
        in_file: keys.length,
        kept_examples: done.kept.slice(0, MOST_SHOWN).map(shownKey),
      },
    };
  },
});

type Done = { restored: number; readonly kept: Buffer[] };

const restoreAll = async (
  connection: Connection,
  keys: readonly DumpedKey[],
  replace: boolean,
  done: Done,
  context: ActionContext,
): Promise<void> => {
  for (let from = 0; from < keys.length; from += BATCH) {
    context.signal.throwIfAborted();
    const put = await Promise.allSettled(
      keys.slice(from, from + BATCH).map(async ({ key, value }) => {
        try {
          await connection.call('RESTORE', key, 0, value, ...(replace ? ['REPLACE'] : []));
          done.restored += 1;
        } catch (error) {
          if (!/BUSYKEY/.test((error as Error).message)) throw error;
          done.kept.push(key);
        }
      }),
    );
    const failed = put.find((one) => one.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
  }
};
