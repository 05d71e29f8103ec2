// Makes room on a Redis whose clients left their connections open: through a connection that was kept, since a server at
// its maxclients lets nobody new in, or else by trying until a slot is free for a moment.
import { z } from 'zod';
import { ActionError } from '../../base/failure.ts';
import type { JsonObject } from '../../base/json.ts';
import type { ActionContext } from '../../port/action.ts';
import { defineAction } from '../../port/action.ts';
import { duration } from '../inputs.ts';
import { bounded, isFull, openConnection } from './connection.ts';
import type { Connection } from './connection.ts';
import { keptConnection } from './kept.ts';
import { numberOf, parseClients, textOfReply } from './replies.ts';
import type { ClientLine } from './replies.ts';
import { findServer, serverInput } from './server.ts';
import type { Server } from './server.ts';

const TRY_EVERY_MS = 25;
const MOST_SHOWN = 20;

export default defineAction({
  summary: 'Closes connections of clients that have been idle for long, never more than a share of all.',
  effect: 'change',
  input: z.strictObject({
    ...serverInput(5_000),
    idle_over: duration.refine((ms) => ms >= 1_000, { message: 'at least 1s: Redis counts idle time in seconds' }),
    /** Of all that are connected; the ones that are idle for longest go first. */
    max_share: z.number().positive().max(1).default(0.5),
  }),
  outputs: {
    killed: 'connections that were closed',
    stale: 'connections that are idle for longer and might be closed',
    clients: 'all that were connected before',
    max_clients: 'maxclients, 0 when it does not say',
    spared: 'idle ones that are never closed: replicas, masters, monitors, subscribers, blocked ones, and our own',
    through: 'kept: over the connection that a probe keeps; new: over one of its own',
    tries: 'how often a new connection was tried',
    examples: 'some of those that were closed: address, name, user, idle_seconds, command',
  },
  undo: 'not needed: a client whose connection is closed connects anew when it has something to ask',
  defaultTimeout: 15_000,
  async run(input, context) {
    context.signal.throwIfAborted();
    const server = await findServer(input, context);
    const start = context.clock.monotonic();
    const left = (): number => Math.max(1, input.timeout - (context.clock.monotonic() - start));
    const { connection, through, tries } = await getIn(server, left, context);
    let begun = false;
    try {
      return {
        outputs: await bounded(
          kill(connection, input.idle_over, input.max_share, () => {
            begun = true;
            context.began();
          }).then((outputs) => ({ ...outputs, through, tries })),
          left(),
          context,
          `redis ${server.name} did not answer within ${input.timeout} ms`,
        ),
      };
    } catch (error) {
      if (!begun) throw error;
      throw new ActionError(
        'indeterminate',
        `redis ${server.name}: some connections may have been closed when it failed: ${(error as Error).message}`,
        { cause: error },
      );
    } finally {
      if (through === 'new') connection.close();
    }
  },
});

type Way = { readonly connection: Connection; readonly through: 'kept' | 'new'; readonly tries: number };

/** The kept connection, or a new one as soon as there is room for it. */
const getIn = async (server: Server, left: () => number, context: ActionContext): Promise<Way> => {
  const kept = await keptConnection(server, context);
  if (kept !== null) return { connection: kept, through: 'kept', tries: 0 };
  for (let tries = 1; ; tries += 1) {
    let connection: Connection | null = null;
    try {
      connection = await openConnection(server, left(), context);
      await bounded(connection.call('PING'), left(), context, `redis ${server.name} did not answer a PING in time`);
      return { connection, through: 'new', tries };
    } catch (error) {
      connection?.close();
      if (!isFull(error)) throw error;
      if (left() <= TRY_EVERY_MS)
        throw new ActionError(
          'retryable',
          `${(error as Error).message}; ${tries} tries found no free slot; mend: probe it with redis.ping, which keeps a connection for this`,
          { cause: error },
        );
      await context.clock.sleep(TRY_EVERY_MS, context.signal);
    }
  }
};

/** S replica, M master, O monitor, P subscriber, b blocked, A to be closed. */
const NEVER = /[SMOPbA]/;

const isSpared = (client: ClientLine, ourId: number): boolean =>
  client.id === ourId ||
  NEVER.test(client.flags) ||
  client.subscriptions > 0 ||
  client.inMulti ||
  client.name === 'amends';

const kill = async (
  connection: Connection,
  idleOverMs: number,
  maxShare: number,
  begin: () => void,
): Promise<JsonObject> => {
  const ourId = Number(await connection.call('CLIENT', 'ID'));
  const clients = parseClients(textOfReply(await connection.call('CLIENT', 'LIST')));
  const maxClients = await askMaxClients(connection);
  const idle = clients.filter((client) => client.idleSeconds * 1_000 > idleOverMs);
  const stale = idle
    .filter((client) => !isSpared(client, ourId))
    .toSorted((left, right) => right.idleSeconds - left.idleSeconds);
  const chosen = stale.slice(0, Math.floor(clients.length * maxShare));
  const figures = {
    killed: 0,
    stale: stale.length,
    clients: clients.length,
    max_clients: maxClients,
    spared: idle.length - stale.length,
    examples: chosen.slice(0, MOST_SHOWN).map(shown),
  };
  if (chosen.length === 0) {
    const why =
      stale.length === 0
        ? `none of the ${clients.length} clients that may be closed is idle for more than ${idleOverMs} ms`
        : `${maxShare} of ${clients.length} clients is less than one`;
    throw new ActionError('permanent', `redis ${connection.server.name}: no connection was closed: ${why}`, {
      outputs: figures,
    });
  }
  begin();
  const killed = await Promise.all(
    chosen.map(async ({ id }) => Number(await connection.call('CLIENT', 'KILL', 'ID', id, 'SKIPME', 'yes'))),
  );
  return { ...figures, killed: killed.reduce((sum, one) => sum + one, 0) };
};

const shown = (client: ClientLine): JsonObject => ({
  address: client.address.slice(0, 100),
  name: client.name.slice(0, 100),
  user: client.user.slice(0, 100),
  idle_seconds: client.idleSeconds,
  command: client.command.slice(0, 100),
});

/** INFO has it since Redis 7; a managed server may keep it to itself. */
const askMaxClients = async (connection: Connection): Promise<number> => {
  const text = textOfReply(await connection.call('INFO', 'clients'));
  return numberOf(
    Object.fromEntries(text.split('\r\n').map((line) => line.split(':', 2) as [string, string])),
    'maxclients',
  );
};
