// Ends sessions that hold locks and do nothing: chosen by how long they have been idle in a transaction, looked at again
// in the very statement that ends them, never more than declared.
import { z } from 'zod';
import { ActionError } from '../../base/failure.ts';
import type { JsonObject } from '../../base/json.ts';
import { defineAction } from '../../port/action.ts';
import { duration } from '../inputs.ts';
import type { Session } from './client.ts';
import { endpointOf, identifier, nameOf, postgresInput, withSession, withoutLiterals } from './client.ts';

const GONE_MS = 5_000;
const LOOK_EVERY_MS = 50;

type Row = {
  pid: number;
  user: string;
  application: string;
  client: string | null;
  idle_seconds: number;
  blocks: string;
  query: string | null;
  backend_start: string;
  state_change: string;
};

// Never: ourselves, replication and the server's own processes (their backend_type differs), superusers, and who dumps
// or restores.
const IDLE = `
  a.datname = current_database() AND a.backend_type = 'client backend' AND a.pid <> pg_backend_pid()
  AND a.state IN ('idle in transaction', 'idle in transaction (aborted)')
  AND clock_timestamp() - a.state_change > make_interval(secs => $1)
  AND coalesce(a.application_name, '') !~* '^(amends|pg_dump|pg_dumpall|pg_restore|pg_basebackup|walreceiver)'
  AND NOT EXISTS (SELECT FROM pg_roles r WHERE r.oid = a.usesysid AND (r.rolsuper OR r.rolreplication))
  AND a.usename <> ALL ($2::text[])`;

const CHOOSE = `
  WITH blocked AS (
    SELECT unnest(pg_blocking_pids(w.pid)) AS by FROM pg_stat_activity w WHERE w.wait_event_type = 'Lock')
  SELECT a.pid, a.usename AS user, coalesce(a.application_name, '') AS application, host(a.client_addr) AS client,
    extract(epoch FROM clock_timestamp() - a.state_change)::float8 AS idle_seconds,
    (SELECT count(*) FROM blocked WHERE by = a.pid) AS blocks, a.query,
    a.backend_start::text AS backend_start, a.state_change::text AS state_change
  FROM pg_stat_activity a WHERE ${IDLE} ORDER BY a.state_change`;

const END = `
  SELECT pg_terminate_backend(a.pid) AS ended FROM pg_stat_activity a
  WHERE ${IDLE} AND a.pid = $3 AND a.backend_start = $4::timestamptz AND a.state_change = $5::timestamptz`;

const stillThere = async ({ query }: Session, row: Row): Promise<boolean> =>
  (
    await query('SELECT pid FROM pg_stat_activity WHERE pid = $1 AND backend_start = $2::timestamptz', [
      row.pid,
      row.backend_start,
    ])
  ).length > 0;

const shown = (row: Row): JsonObject => ({
  pid: row.pid,
  user: row.user,
  application: row.application.slice(0, 64),
  client: row.client ?? '',
  idle_seconds: Math.round(row.idle_seconds),
  blocks: Number(row.blocks),
  query: withoutLiterals(row.query ?? ''),
});

export default defineAction({
  summary:
    'Ends sessions that have been idle in a transaction for too long, so that those who wait for their locks go on.',
  effect: 'change',
  input: z.strictObject({
    ...postgresInput,
    idle_over: duration.refine((ms) => ms >= 1_000, { message: 'at least 1s' }),
    /** Only those that others wait for. */
    blocking: z.boolean().default(true),
    /** More than these are a sign of something else: then none is ended. */
    max: z.int().min(1).max(100).default(5),
    except_users: z.array(identifier).max(50).default([]),
  }),
  outputs: {
    terminated: 'how many sessions were ended',
    sessions: 'who they were: pid, user, application, client, idle_seconds, blocks, query (its last, without literals)',
    gone_on: 'how many of them had done something by then and were left alone',
  },
  undo: 'it cannot be undone: their transactions are rolled back; applications connect anew',
  defaultTimeout: 30_000,
  async run(input, context) {
    const { clock, signal } = context;
    const endpoint = await endpointOf(input, context);
    const values = [input.idle_over / 1_000, input.except_users];
    return withSession(endpoint, context, async (session) => {
      const idle = await session.query<Row>(CHOOSE, values);
      const chosen = input.blocking ? idle.filter((row) => Number(row.blocks) > 0) : idle;
      const nothing = { terminated: 0, gone_on: 0 };
      if (chosen.length === 0) {
        const others =
          idle.length === 0 ? 'none is idle for so long' : `${idle.length} are idle, but nobody waits for them`;
        throw new ActionError(
          'permanent',
          `no session of ${nameOf(endpoint)} is to be ended: ${others}; mend: sessions of other roles are seen only by a member of pg_monitor`,
          { outputs: { ...nothing, sessions: idle.slice(0, 20).map(shown) } },
        );
      }
      if (chosen.length > input.max) {
        throw new ActionError(
          'permanent',
          `${chosen.length} sessions of ${nameOf(endpoint)} are idle in a transaction, more than max (${input.max}); none was ended`,
          { outputs: { ...nothing, sessions: chosen.slice(0, 20).map(shown) } },
        );
      }
      const ended: Row[] = [];
      for (const row of chosen) {
        signal.throwIfAborted();
        context.began();
        const [answer] = await session.query<{ ended: boolean }>(END, [
          ...values,
          row.pid,
          row.backend_start,
          row.state_change,
        ]);
        if (answer === undefined) continue;
        if (!answer.ended)
          throw new ActionError('permanent', `session ${row.pid} could not be ended`, {
            outputs: { terminated: ended.length },
          });
        ended.push(row);
      }
      const until = clock.monotonic() + GONE_MS;
      for (const row of ended) {
        while (await stillThere(session, row)) {
          if (clock.monotonic() > until)
            throw new ActionError(
              'permanent',
              `session ${row.pid} was told to end, but is still there after ${GONE_MS} ms`,
            );
          await clock.sleep(LOOK_EVERY_MS, signal);
        }
      }
      return {
        outputs: { terminated: ended.length, sessions: ended.map(shown), gone_on: chosen.length - ended.length },
      };
    });
  },
});
