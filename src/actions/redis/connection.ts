// One connection to one Redis: opened for one piece of work, held to one deadline over all of it, and closed whatever
// that came to. Nothing here connects again by itself, and a server that is frozen or never stops sending is left.
import { isIP } from 'node:net';
import type { Redis } from 'ioredis';
import { ActionError } from '../../base/failure.ts';
import type { ActionContext } from '../../port/action.ts';
import type { Server } from './server.ts';

export type Reply = Buffer | number | null | readonly Reply[];
export type Argument = string | Buffer | number;

export type Connection = {
  readonly server: Server;
  /** One command and its raw reply; several at once go in one pipeline. Throws ActionError, with nothing secret in it. */
  call(command: string, ...args: readonly Argument[]): Promise<Reply>;
  readonly alive: () => boolean;
  close(): void;
};

/** Of a command; a DUMP of half of this is as much as one key may hold. */
const LARGEST_REPLY = 64 * 1024 * 1024;
const CLIENT_NAME = 'amends';

/** Loaded with the first connection, once: amends has to be ready within a second of its start. */
const importClient = async () => (await import('ioredis')).Redis;
let loading: ReturnType<typeof importClient> | null = null;
const loadClient = (): ReturnType<typeof importClient> => (loading ??= importClient());

const REFUSALS: ReadonlyArray<readonly [prefix: RegExp, kind: 'retryable' | 'permanent', why: string]> = [
  [/^LOADING/, 'retryable', 'it is still loading its data'],
  [/^(?:BUSY |TRYAGAIN|CLUSTERDOWN|MASTERDOWN|NOREPLICAS)/, 'retryable', 'it is not ready for this'],
  [/max number of clients reached/i, 'retryable', 'its maxclients is reached, so it lets no new connection in'],
  [/^MISCONF/, 'permanent', 'it takes no writes since it cannot save to disk'],
  [/^READONLY/, 'permanent', 'it is a read-only replica'],
  [/^(?:MOVED|ASK) /, 'permanent', 'it is a node of a cluster and the key is at another one'],
  [/^(?:NOAUTH|WRONGPASS)|invalid password|without any password/i, 'permanent', 'the credentials are wrong or missing'],
  [/^NOPERM/, 'permanent', 'this user may not do it'],
];

/** A reply that is an error means that this command did nothing. */
export const refusalOf = (server: Server, command: string, message: string): ActionError => {
  const known = REFUSALS.find(([pattern]) => pattern.test(message));
  const said = message.slice(0, 200);
  return new ActionError(
    known?.[1] ?? 'permanent',
    `redis ${server.name} refused ${command}: ${known === undefined ? said : `${known[2]} (${said})`}`,
  );
};

/** It lets nobody new in. */
export const isFull = (error: unknown): boolean =>
  error instanceof ActionError && error.message.includes('its maxclients is reached');

const isReplyError = (error: unknown): boolean => (error as Error).name === 'ReplyError';

/** Settles with `work`, or as soon as time is up or the step is called off. */
export const bounded = <T>(work: Promise<T>, ms: number, context: ActionContext, what: string): Promise<T> =>
  new Promise((resolve, reject) => {
    const timer = context.clock.after(ms, () => settle(() => reject(new ActionError('retryable', what))));
    const onAbort = (): void => settle(() => reject(context.signal.reason as Error));
    const settle = (end: () => void): void => {
      timer.cancel();
      context.signal.removeEventListener('abort', onAbort);
      end();
    };
    context.signal.addEventListener('abort', onAbort, { once: true });
    if (context.signal.aborted) onAbort();
    work.then(
      (value) => settle(() => resolve(value)),
      (error: Error) => settle(() => reject(error)),
    );
  });

/** An address is no server name; the certificate is compared with it all the same. */
const tlsOf = ({ host, ca }: Server): { readonly servername?: string; readonly ca?: Buffer } => ({
  ...(isIP(host) === 0 ? { servername: host } : {}),
  ...(ca === null ? {} : { ca }),
});

const optionsFor = (server: Server, ms: number) => ({
  host: server.address,
  port: server.port,
  ...(server.tls ? { tls: tlsOf(server) } : {}),
  lazyConnect: true,
  connectTimeout: ms,
  // We destroy the socket ourselves; this one only keeps a timer.
  disconnectTimeout: 50,
  // No second connection, no waiting queue: whoever asked decides what comes next.
  retryStrategy: () => null,
  maxRetriesPerRequest: 0,
  autoResendUnfulfilledCommands: false,
  autoResubscribe: false,
  enableReadyCheck: false,
  enableOfflineQueue: false,
  disableClientInfo: true,
  protocol: 2 as const,
});

const wrap = (client: Redis, server: Server, broken: () => Error | null): Connection => {
  let received = 0;
  let tooMuch = false;
  client.stream.on('data', (chunk: Buffer) => {
    received += chunk.length;
    if (received <= LARGEST_REPLY) return;
    tooMuch = true;
    client.stream.destroy();
  });
  const close = (): void => {
    client.disconnect(false);
    client.stream.destroy();
  };
  return {
    server,
    async call(command, ...args) {
      try {
        const reply = (await client.callBuffer(command, [...args])) as Reply;
        received = 0;
        return reply;
      } catch (error) {
        received = 0;
        if (isReplyError(error)) throw refusalOf(server, command, (error as Error).message);
        if (tooMuch)
          throw new ActionError(
            'permanent',
            `redis ${server.name}: the reply to ${command} is larger than ${LARGEST_REPLY} bytes`,
            { cause: error },
          );
        throw lost(server, `during ${command}`, broken() ?? error);
      }
    },
    alive: () => client.status === 'ready' && !client.stream.destroyed,
    close,
  };
};

const lost = (server: Server, when: string, error: unknown): ActionError => {
  // A server that is full says so and hangs up, sometimes before it was asked anything.
  const message = (error as Error).message;
  const full = /Last error: (.*max number of clients reached.*)$/i.exec(message)?.[1];
  if (full !== undefined) return refusalOf(server, 'the connection', full);
  const reason = `${message.slice(0, 200)}${codeOf(error)}`;
  return new ActionError('retryable', `redis ${server.name} was lost ${when}: ${reason}`, { cause: error });
};

const codeOf = (error: unknown): string => {
  const { code } = error as NodeJS.ErrnoException;
  return code === undefined || (error as Error).message.includes(code) ? '' : ` (${code})`;
};

const TLS = /CERT|SSL|TLS|SELF_SIGNED|UNABLE_TO_/;

/** A new connection, authenticated and on its database. The caller closes it. */
const connect = async (server: Server, ms: number, onClient: (close: () => void) => void): Promise<Connection> => {
  const Client = await loadClient();
  const client = new Client(optionsFor(server, ms));
  let last: Error | null = null;
  client.on('error', (error: Error) => (last = error));
  onClient(() => {
    client.disconnect(false);
    // Before it is connected there is none.
    (client.stream as typeof client.stream | undefined)?.destroy();
  });
  try {
    await client.connect();
  } catch (error) {
    const why = (last ?? error) as Error;
    throw new ActionError(
      TLS.test((why as NodeJS.ErrnoException).code ?? '') ? 'permanent' : 'retryable',
      `redis ${server.name} cannot be reached: ${why.message.slice(0, 200)}${codeOf(why)}`,
      { cause: why },
    );
  }
  const connection = wrap(client, server, () => last);
  const { username, password, db } = server;
  if (password !== null) await connection.call('AUTH', ...(username === null ? [password] : [username, password]));
  if (db !== 0) await connection.call('SELECT', db);
  return connection;
};

/** Opens a connection that the caller closes, within `ms` in all. */
export const openConnection = async (server: Server, ms: number, context: ActionContext): Promise<Connection> => {
  let close = (): void => undefined;
  try {
    return await bounded(
      connect(server, ms, (end) => (close = end)),
      ms,
      context,
      `redis ${server.name} did not let us in within ${ms} ms`,
    );
  } catch (error) {
    close();
    throw error;
  }
};

/** Does `work` over a new connection, all of it within `ms`, and closes it. */
export const withConnection = async <T>(
  server: Server,
  ms: number,
  context: ActionContext,
  work: (connection: Connection) => Promise<T>,
): Promise<T> => {
  const { clock, signal } = context;
  signal.throwIfAborted();
  const start = clock.monotonic();
  const connection = await openConnection(server, ms, context);
  try {
    const left = Math.max(1, ms - (clock.monotonic() - start));
    return await bounded(work(connection), left, context, `redis ${server.name} did not answer within ${ms} ms`);
  } finally {
    connection.close();
  }
};

/** Shown to people by CLIENT LIST; a server whose access list forbids it does without. */
export const nameConnection = async (connection: Connection): Promise<void> => {
  await connection.call('CLIENT', 'SETNAME', CLIENT_NAME).catch(() => undefined);
};
