// Whether the schema of a PostgreSQL database is the one that the deployed application works with.
import { z } from 'zod';
import { defineAction } from '../../port/action.ts';
import { expectedOf, expectsOnce, judge, name, oneExpectation, schemaInput, schemaOutputs } from '../schema.ts';
import { endpointOf, nameOf, postgresInput, quoted, withSession } from './client.ts';

/** Rows of a table of migrations that are read. */
const MOST_ROWS = 10_000;

export default defineAction({
  summary: 'Reads the version of the schema of a PostgreSQL database and compares it with the one that is expected.',
  effect: 'read',
  input: z
    .strictObject({
      ...postgresInput,
      ...schemaInput,
      schema: name.default('public'),
      /** Where the migrations keep it. */
      table: name.default('schema_migrations'),
      column: name.default('version'),
      /** A boolean column of that table that is true after a migration that broke off. */
      dirty_column: name.optional(),
    })
    .refine(expectsOnce, oneExpectation),
  outputs: schemaOutputs,
  undo: 'nothing to undo: it only reads',
  defaultTimeout: 10_000,
  async run(input, context) {
    const endpoint = await endpointOf(input, context);
    const expected = await expectedOf(input, context);
    const dirty =
      input.dirty_column === undefined ? 'false' : `coalesce(${quoted(input.dirty_column)}::boolean, false)`;
    const rows = await withSession(endpoint, context, ({ query }) =>
      query<{ version: string | null; dirty: boolean }>(
        `SELECT ${quoted(input.column)}::text AS version, ${dirty} AS dirty FROM ${quoted(input.schema)}.${quoted(input.table)} LIMIT ${MOST_ROWS}`,
      ),
    );
    const found = {
      versions: rows.flatMap(({ version }) => (version === null ? [] : [version])),
      dirty: rows.some((row) => row.dirty),
    };
    return { outputs: judge(found, expected, input.known, nameOf(endpoint)) };
  },
});
