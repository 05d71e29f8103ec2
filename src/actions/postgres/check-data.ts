// Whether the data of a PostgreSQL database is still there: what a server that answers does not say by itself.
import { z } from 'zod';
import { ActionError } from '../../base/failure.ts';
import { defineAction } from '../../port/action.ts';
import { endpointOf, identifier, nameOf, postgresInput, quoted, withSession } from './client.ts';
import type { Session } from './client.ts';

// https://www.postgresql.org/docs/current/errcodes-appendix.html: no such database, schema or table.
const GONE = /^(?:3D000|3F000|42P01)$/;
// Damaged data, a damaged index, a file of the data folder that is not there.
const DAMAGED = /^(?:XX001|XX002|58P01)$/;

const tableName = z
  .string()
  .regex(/^[A-Za-z_][A-Za-z0-9_$]{0,62}(?:\.[A-Za-z_][A-Za-z0-9_$]{0,62})?$/, {
    message: 'not the plain name of a table, with or without its schema',
  })
  .refine((text) => text.split('.').every((part) => identifier.safeParse(part).success));

const codeOf = (error: unknown): string => {
  const { code } = (error instanceof ActionError ? (error.cause ?? {}) : error) as { code?: unknown };
  return typeof code === 'string' ? code : '';
};

/** What is wrong with one table, or null. */
const lookAtTable = async (
  { query }: Session,
  table: string,
  least: number,
): Promise<{ readonly kind: 'gone' | 'short' | 'damaged'; readonly text: string } | null> => {
  const from = table.split('.').map(quoted).join('.');
  try {
    const [row] = await query<{ rows: number }>(
      `SELECT count(*)::int AS rows FROM (SELECT 1 FROM ${from} LIMIT $1) AS looked`,
      [Math.max(1, least)],
    );
    const rows = row?.rows ?? 0;
    return rows >= least ? null : { kind: 'short', text: `${table} holds ${rows} rows, fewer than ${least}` };
  } catch (error) {
    const code = codeOf(error);
    if (GONE.test(code)) return { kind: 'gone', text: `there is no table ${table}` };
    if (DAMAGED.test(code)) return { kind: 'damaged', text: `${table}: ${(error as Error).message.slice(0, 200)}` };
    throw error;
  }
};

export default defineAction({
  summary:
    'Looks whether the tables of a PostgreSQL database are there, can be read, and hold as many rows as they should.',
  effect: 'read',
  input: z.strictObject({
    ...postgresInput,
    /** Each table, with its schema if it is not on the search path, and the fewest rows that it may hold. */
    tables: z.record(tableName, z.int().min(0).max(10_000_000)).refine((tables) => {
      const { length } = Object.keys(tables);
      return length > 0 && length <= 100;
    }, 'one table at least and a hundred at most'),
  }),
  outputs: {
    data_lost: 'the database or a table is not there, or a table holds too few rows',
    data_damaged: 'a table cannot be read, or the server has found pages whose checksum is wrong',
    tables_missing: 'how many of the tables are not there',
    tables_short: 'how many hold too few rows',
    checksum_failures:
      'pages of this database that failed their checksum, as the server counts them; 0 where it keeps none',
    findings: 'what is wrong, at most 20',
  },
  undo: 'nothing to undo: it only reads',
  defaultTimeout: 30_000,
  async run(input, context) {
    const endpoint = await endpointOf(input, context);
    const looked = await withSession(endpoint, context, async (session) => {
      const found = [];
      for (const [table, least] of Object.entries(input.tables)) {
        const finding = await lookAtTable(session, table, least);
        if (finding !== null) found.push(finding);
      }
      const [row] = await session.query<{ failures: string | null }>(
        'SELECT checksum_failures AS failures FROM pg_stat_database WHERE datname = current_database()',
      );
      return { found, failures: Number(row?.failures ?? 0) };
    }).catch((error: unknown) => {
      if (!GONE.test(codeOf(error))) throw error;
      const text = `there is no database ${endpoint.database}`;
      return { found: Object.keys(input.tables).map(() => ({ kind: 'gone' as const, text })), failures: 0 };
    });
    const count = (kind: string): number => looked.found.filter((finding) => finding.kind === kind).length;
    const texts = [
      ...new Set(looked.found.map(({ text }) => text)),
      ...(looked.failures > 0 ? [`${looked.failures} pages failed their checksum`] : []),
    ];
    const outputs = {
      data_lost: count('gone') + count('short') > 0,
      data_damaged: count('damaged') > 0 || looked.failures > 0,
      tables_missing: count('gone'),
      tables_short: count('short'),
      checksum_failures: looked.failures,
      findings: texts.slice(0, 20),
    };
    if (!outputs.data_lost && !outputs.data_damaged) return { outputs };
    throw new ActionError('permanent', `${nameOf(endpoint)}: ${texts.join('; ').slice(0, 500)}`, { outputs });
  },
});
