// What a database is busy with, for the record and for the human, without the data that stands in the statements.
import { z } from 'zod';
import { defineAction } from '../../port/action.ts';
import { duration } from '../inputs.ts';
import { endpointOf, postgresInput, withSession, withoutLiterals } from './client.ts';

type Row = {
  pid: number;
  user: string | null;
  application: string | null;
  seconds: number;
  state: string | null;
  waits_for: string | null;
  blocked_by: number[];
  query: string | null;
};

const LOOK = `
  SELECT pid, usename AS user, application_name AS application,
    extract(epoch FROM clock_timestamp() - query_start)::float8 AS seconds, state,
    CASE WHEN wait_event_type IS NULL THEN NULL ELSE wait_event_type || ': ' || wait_event END AS waits_for,
    pg_blocking_pids(pid) AS blocked_by, query
  FROM pg_stat_activity
  WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()
    AND state = 'active' AND clock_timestamp() - query_start > make_interval(secs => $1)
  ORDER BY query_start LIMIT 1000`;

export default defineAction({
  summary: 'Lists the statements that have been running for long, with what they wait for and who blocks them.',
  effect: 'read',
  onlyTells: true,
  input: z.strictObject({
    ...postgresInput,
    over: duration.default(1_000),
    limit: z.int().min(1).max(50).default(20),
  }),
  outputs: {
    count: 'how many there are, at most 1000',
    longest_seconds: 'how long the oldest has been running, 0 without one',
    blocked: 'how many of them wait for a lock that another session holds',
    queries: 'the oldest: pid, user, application, seconds, waits_for, blocked_by, query (without its literals)',
  },
  undo: 'nothing to undo: it only reads',
  defaultTimeout: 10_000,
  async run(input, context) {
    const endpoint = await endpointOf(input, context);
    const rows = await withSession(endpoint, context, ({ query }) => query<Row>(LOOK, [input.over / 1_000]));
    return {
      outputs: {
        count: rows.length,
        longest_seconds: Math.round((rows[0]?.seconds ?? 0) * 10) / 10,
        blocked: rows.filter((row) => row.blocked_by.length > 0).length,
        queries: rows.slice(0, input.limit).map((row) => ({
          pid: row.pid,
          user: row.user ?? '',
          application: (row.application ?? '').slice(0, 64),
          seconds: Math.round(row.seconds * 10) / 10,
          waits_for: row.waits_for ?? '',
          blocked_by: row.blocked_by.slice(0, 20),
          query: withoutLiterals(row.query ?? ''),
        })),
      },
    };
  },
});
