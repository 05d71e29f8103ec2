// Whether the schema of a SQLite file is the one that the deployed application works with.
import { z } from 'zod';
import { defineAction } from '../../port/action.ts';
import { allowedPath } from '../allowed.ts';
import { absolutePath, busyTime } from '../inputs.ts';
import { offThread } from '../off-thread.ts';
import { expectedOf, expectsOnce, judge, name, oneExpectation, schemaInput, schemaOutputs } from '../schema.ts';
import type * as versions from './schema-version.ts';

const jobs = offThread<typeof versions>('./schema-version.ts', import.meta.url);

export default defineAction({
  summary: 'Reads the version of the schema of a SQLite file and compares it with the one that is expected.',
  effect: 'read',
  input: z
    .strictObject({
      path: absolutePath,
      ...schemaInput,
      /** Where the migrations keep it; without one it is PRAGMA user_version. */
      table: name.optional(),
      column: name.default('version'),
      /** A column of that table that is not 0 after a migration that broke off. */
      dirty_column: name.optional(),
      busy: busyTime.default(2_000),
    })
    .refine(expectsOnce, oneExpectation),
  outputs: schemaOutputs,
  undo: 'nothing to undo: it only reads',
  defaultTimeout: 10_000,
  async run(input, context) {
    const { allow, clock, signal } = context;
    const path = await allowedPath(input.path, allow, 'the database');
    const expected = await expectedOf(input, context);
    const found = await jobs(
      'schemaVersion',
      {
        path,
        table: input.table ?? null,
        column: input.column,
        dirty: input.dirty_column ?? null,
        busyMs: input.busy,
      },
      { key: path, clock, signal },
    );
    return { outputs: judge(found, expected, input.known, path) };
  },
});
