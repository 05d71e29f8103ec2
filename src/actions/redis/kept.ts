// Connections that are kept open beside the probes: a Redis at its maxclients lets nobody new in, and only who is in
// already can make room. One for a server, renewed by each probe, let go of when no probe renews it any more.
import type { Timer } from '../../base/clock.ts';
import type { ActionContext } from '../../port/action.ts';
import { bounded, nameConnection, openConnection } from './connection.ts';
import type { Connection } from './connection.ts';
import type { Server } from './server.ts';

/** Much longer than probes are apart, and not for ever. */
const KEPT_MS = 15 * 60_000;
const MOST_KEPT = 1_000;
const STILL_THERE_MS = 1_000;

type Kept = { readonly connection: Connection; expiry: Timer };
const kept = new Map<string, Kept>();

const keyOf = ({ name, db, tls, username }: Server): string => JSON.stringify([name, db, tls, username]);

const drop = (key: string): void => {
  const found = kept.get(key);
  if (found === undefined) return;
  kept.delete(key);
  found.expiry.cancel();
  found.connection.close();
};

const renew = (key: string, connection: Connection, context: ActionContext): void => {
  kept.get(key)?.expiry.cancel();
  kept.set(key, { connection, expiry: context.clock.after(KEPT_MS, () => drop(key)) });
};

/** The kept connection, if there is one and it answers at this moment. It stays open; nobody else closes it. */
export const keptConnection = async (server: Server, context: ActionContext): Promise<Connection | null> => {
  const key = keyOf(server);
  const found = kept.get(key);
  if (found === undefined) return null;
  try {
    if (!found.connection.alive()) throw new Error('it was closed');
    await bounded(found.connection.call('PING'), STILL_THERE_MS, context, 'it does not answer');
    return found.connection;
  } catch {
    context.signal.throwIfAborted();
    drop(key);
    return null;
  }
};

/** Sees to it that one is kept. Best effort: whoever probes has its answer already. */
export const keepOne = async (server: Server, ms: number, context: ActionContext): Promise<boolean> => {
  const key = keyOf(server);
  let connection = await keptConnection(server, context);
  if (connection === null) {
    if (kept.size >= MOST_KEPT) return false;
    try {
      connection = await openConnection(server, ms, context);
    } catch {
      context.signal.throwIfAborted();
      return false;
    }
    await bounded(nameConnection(connection), ms, context, 'it did not answer').catch(() => undefined);
  }
  renew(key, connection, context);
  return true;
};

/** Closes all of them: amends stops. */
export const releaseKept = (): void => {
  for (const key of kept.keys()) drop(key);
};
