// Builds indexes anew while the tables stay in use, one after the other, and leaves none of its own broken ones behind.
import { z } from 'zod';
import { ActionError } from '../../base/failure.ts';
import { defineAction } from '../../port/action.ts';
import { duration } from '../inputs.ts';
import type { Session } from './client.ts';
import { endpointOf, identifier, nameOf, postgresInput, quoted, withSession } from './client.ts';

type Index = { schema: string; name: string; bytes: string; valid: boolean };

// Of the named tables, or of all; not of system tables, nor the leftovers of a REINDEX CONCURRENTLY (`_ccnew`, `_ccold`).
const CHOOSE = `
  SELECT n.nspname AS schema, i.relname AS name, pg_relation_size(i.oid) AS bytes, x.indisvalid AS valid
  FROM pg_index x
    JOIN pg_class i ON i.oid = x.indexrelid
    JOIN pg_class t ON t.oid = x.indrelid
    JOIN pg_namespace n ON n.oid = i.relnamespace
  WHERE n.nspname = $1 AND ($2::text[] IS NULL OR t.relname = ANY ($2::text[])) AND t.relkind IN ('r', 'm')
    AND t.relpersistence <> 't' AND i.relname !~ '_cc(new|old)[0-9]*$' AND ($3::boolean OR NOT x.indisvalid)
  ORDER BY n.nspname, i.relname`;

const LEFT = `
  SELECT n.nspname AS schema, i.relname AS name FROM pg_index x
    JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_namespace n ON n.oid = i.relnamespace
  WHERE n.nspname = $1 AND NOT x.indisvalid AND i.relname ~ '_cc(new|old)[0-9]*$'`;

const nameIn = (index: { readonly schema: string; readonly name: string }): string =>
  `${quoted(index.schema)}.${quoted(index.name)}`;

const leftovers = async ({ query }: Session, schema: string): Promise<readonly string[]> =>
  (await query<{ schema: string; name: string }>(LEFT, [schema])).map(nameIn);

const sizeOf = async ({ query }: Session, chosen: readonly Index[]): Promise<number> => {
  const rows = await query<{ bytes: string | null }>(
    'SELECT sum(pg_relation_size(to_regclass(name)))::text AS bytes FROM unnest($1::text[]) AS name',
    [chosen.map(nameIn)],
  );
  return Number(rows[0]?.bytes ?? 0);
};

export default defineAction({
  summary: 'Builds the indexes of tables anew without keeping anybody from reading or writing them.',
  effect: 'change',
  input: z
    .strictObject({
      ...postgresInput,
      schema: identifier.default('public'),
      tables: z.array(identifier).min(1).max(100).optional(),
      /** All tables of the schema. */
      all: z.boolean().default(false),
      /** Leave valid indexes as they are. */
      only_invalid: z.boolean().default(false),
      /** Of indexes; with more, nothing is done. */
      max: z.int().min(1).max(1_000).default(50),
      /** How long to wait for a lock on a table. */
      lock_timeout: duration.default(5_000),
    })
    .refine((input) => (input.tables === undefined) === input.all, { message: 'name tables, or say `all: true`' }),
  outputs: {
    reindexed: 'names of the indexes that were built anew',
    count: 'how many they are',
    bytes_before: 'their size before, in bytes',
    bytes_after: 'their size after, in bytes',
    left_over: 'invalid leftovers (_ccnew, _ccold) that were dropped',
  },
  undo: 'nothing to undo: no content changes',
  defaultTimeout: 1_800_000,
  async run(input, context) {
    const endpoint = await endpointOf(input, context);
    return withSession(endpoint, context, async (session) => {
      const chosen = await session.query<Index>(CHOOSE, [input.schema, input.tables ?? null, !input.only_invalid]);
      if (chosen.length === 0)
        throw new ActionError(
          'permanent',
          `${nameOf(endpoint)} has no such index in ${input.schema}; nothing was done`,
        );
      if (chosen.length > input.max)
        throw new ActionError(
          'permanent',
          `${chosen.length} indexes are more than max (${input.max}); nothing was done`,
        );
      const before = await sizeOf(session, chosen);
      const known = new Set(await leftovers(session, input.schema));
      await session.query(`SELECT set_config('lock_timeout', $1, false)`, [`${input.lock_timeout}ms`]);
      const done: string[] = [];
      const dropped: string[] = [];
      const clear = async (): Promise<void> => {
        // Only what came about meanwhile; others may be somebody's work under way.
        for (const name of await leftovers(session, input.schema)) {
          if (known.has(name)) continue;
          await session.change(`DROP INDEX CONCURRENTLY IF EXISTS ${name}`);
          dropped.push(name);
        }
      };
      for (const index of chosen) {
        try {
          await session.change(`REINDEX INDEX CONCURRENTLY ${nameIn(index)}`);
        } catch (error) {
          await clear().catch(() => undefined);
          throw error;
        }
        done.push(index.name);
      }
      await clear();
      return {
        outputs: {
          reindexed: done.slice(0, 200),
          count: done.length,
          bytes_before: before,
          bytes_after: await sizeOf(session, chosen),
          left_over: dropped.slice(0, 50),
        },
      };
    });
  },
});
