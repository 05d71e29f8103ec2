// What a PostgreSQL says of itself to somebody who connects anew, as an application does.
import { z } from 'zod';
import { ActionError } from '../../base/failure.ts';
import { defineAction } from '../../port/action.ts';
import { duration } from '../inputs.ts';
import { endpointOf, nameOf, postgresInput, withSession } from './client.ts';

type Row = {
  version: string;
  read_only: boolean;
  size_bytes: string;
  connections: string;
  max_connections: number;
  waiting: string;
  idle_in_transaction_seconds: number;
  invalid_indexes: string;
};

// Sessions of others are seen with the role pg_monitor; without it these numbers count only our own role's.
const LOOK = `
  SELECT current_setting('server_version') AS version,
    pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean AS read_only,
    pg_database_size(current_database()) AS size_bytes,
    (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend') AS connections,
    current_setting('max_connections')::int AS max_connections,
    (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock') AS waiting,
    (SELECT coalesce(max(extract(epoch FROM clock_timestamp() - state_change)), 0)::float8 FROM pg_stat_activity
      WHERE datname = current_database() AND state LIKE 'idle in transaction%') AS idle_in_transaction_seconds,
    (SELECT count(*) FROM pg_index WHERE NOT indisvalid) AS invalid_indexes`;

export default defineAction({
  summary: 'Connects to a PostgreSQL anew and reads its state: size, connections, who waits for a lock.',
  effect: 'read',
  input: z.strictObject({
    ...postgresInput,
    /** A standby, or a server that takes no writes, is a failure. */
    writable: z.boolean().default(true),
    max_latency: duration.optional(),
  }),
  outputs: {
    version: 'of the server',
    read_only: 'it is a standby or takes no writes',
    size_bytes: 'of the database',
    connections: 'clients that are connected, this one included',
    max_connections: 'how many it takes',
    waiting: 'sessions that wait for a lock in this database',
    idle_in_transaction_seconds: 'how long the oldest session has been idle in a transaction, 0 without one',
    invalid_indexes: 'indexes that are not valid, as a broken CREATE INDEX CONCURRENTLY leaves them',
    latency_ms: 'from the beginning of the connection to the answer, in milliseconds',
  },
  undo: 'nothing to undo: it only reads',
  defaultTimeout: 10_000,
  async run(input, context) {
    const endpoint = await endpointOf(input, context);
    const start = context.clock.monotonic();
    const [row] = await withSession(endpoint, context, ({ query }) => query<Row>(LOOK));
    if (row === undefined) throw new ActionError('retryable', `${nameOf(endpoint)} did not answer`);
    const outputs = {
      version: row.version,
      read_only: row.read_only,
      size_bytes: Number(row.size_bytes),
      connections: Number(row.connections),
      max_connections: row.max_connections,
      waiting: Number(row.waiting),
      idle_in_transaction_seconds: Math.round(row.idle_in_transaction_seconds),
      invalid_indexes: Number(row.invalid_indexes),
      latency_ms: Math.round(context.clock.monotonic() - start),
    };
    if (input.writable && row.read_only)
      throw new ActionError('permanent', `${nameOf(endpoint)} takes no writes: it is a standby or set to read only`, {
        outputs,
      });
    if (input.max_latency !== undefined && outputs.latency_ms > input.max_latency)
      throw new ActionError(
        'retryable',
        `${nameOf(endpoint)} took ${outputs.latency_ms} ms, more than ${input.max_latency}`,
        { outputs },
      );
    return { outputs };
  },
});
