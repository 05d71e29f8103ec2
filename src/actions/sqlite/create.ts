// The last resort for a lost database without a backup; it never touches one that is there.
import { z } from 'zod';
import { defineAction } from '../../port/action.ts';
import { allowedPath } from '../allowed.ts';
import { absolutePath } from '../inputs.ts';
import { offThread } from '../off-thread.ts';
import type * as creating from './creating.ts';

const jobs = offThread<typeof creating>('./creating.ts', import.meta.url);

export default defineAction({
  summary: 'Creates a SQLite database from a schema file where there is none; never over an existing one.',
  effect: 'change',
  input: z.strictObject({ path: absolutePath, schema_file: absolutePath }),
  outputs: { created: 'the new database', bytes: 'its size in bytes' },
  undo: 'by hand: the new file may have been written to since',
  defaultTimeout: 30_000,
  async run(input, context) {
    const { allow, clock, signal } = context;
    const path = await allowedPath(input.path, allow, 'the database');
    const schemaFile = await allowedPath(input.schema_file, allow, 'the schema file');
    const options = { key: path, clock, signal };
    await jobs('refuseExisting', { path }, options);
    await jobs('readSchema', { schemaFile }, options);
    signal.throwIfAborted();
    context.began();
    const { bytes } = await jobs('createFresh', { path, schemaFile }, options);
    return { outputs: { created: path, bytes } };
  },
});
