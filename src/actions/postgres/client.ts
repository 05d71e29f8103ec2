// One connection to a PostgreSQL server for one step: a declared host, a secret from a file, a deadline over all of it,
// and an honest word on what an error says about the effect.
import type { Client } from 'pg';
import { z } from 'zod';
import { ActionError } from '../../base/failure.ts';
import type { ActionContext } from '../../port/action.ts';
import { resolveAllowed } from '../http/address.ts';
import { absolutePath } from '../inputs.ts';

export const identifier = z
  .string()
  .regex(/^[A-Za-z_][A-Za-z0-9_$-]{0,62}$/, { message: 'not a plain name of a database, schema, table or role' });

export const postgresInput = {
  /** `postgres://user@host:port/database`, without a password. */
  url: z.string().min(1).max(1_024),
  password_file: absolutePath.optional(),
  tls: z.enum(['off', 'verify']).default('off'),
};
export type PostgresInput = {
  readonly url: string;
  readonly password_file?: string | undefined;
  readonly tls: 'off' | 'verify';
};

export type Endpoint = {
  readonly host: string;
  readonly address: string;
  readonly port: number;
  readonly user: string;
  readonly database: string;
  readonly password: string | null;
  readonly tls: boolean;
};

const SHAPE =
  /^postgres(?:ql)?:\/\/([^:@/?#\s]{1,63})@([A-Za-z0-9._-]+|\[[0-9A-Fa-f:]+\])(?::(\d{1,5}))?\/([^/?#\s]{1,63})$/;

type Address = { readonly user: string; readonly host: string; readonly port: string; readonly database: string };

/** Throws `permanent` for an address that is not plain. */
const addressOf = (url: string): Address => {
  const [, user, host, port = '5432', database] = SHAPE.exec(url) ?? [];
  if (user === undefined || host === undefined || database === undefined) {
    // Not shown: it may hold a password.
    throw new ActionError(
      'permanent',
      'the address of the database is not of the form postgres://user@host:port/database; mend: no password and no options in it, the password belongs into password_file',
    );
  }
  for (const name of [user, database])
    if (!identifier.safeParse(name).success)
      throw new ActionError('permanent', `${JSON.stringify(name)} is not a plain name of a role or database`);
  return { user, host, port, database };
};

/** The name of the database in an address, without asking anybody. */
export const databaseOf = (url: string): string => addressOf(url).database;

/** Throws `permanent` for an address that is not plain or not declared in allow.hosts. */
export const endpointOf = async (input: PostgresInput, context: ActionContext): Promise<Endpoint> => {
  context.signal.throwIfAborted();
  const { user, host, port, database } = addressOf(input.url);
  const { address } = await resolveAllowed(new URL(`http://${host}:${port}`), context.allow);
  const password =
    input.password_file === undefined ? null : (await context.secret(input.password_file)).replace(/\r?\n$/, '');
  return { host, address, port: Number(port), user, database, password, tls: input.tls === 'verify' };
};

export const nameOf = ({ host, port, database }: Endpoint): string => `${database} on ${host}:${port}`;

const codeOf = (error: unknown): string => {
  const { code } = error as { code?: unknown };
  return typeof code === 'string' ? code : '';
};

// Starting up, shutting down, too many connections, locks, no room to work in, lost connections.
const PASSING = /^(?:57P0[1-5]|53|55P03|40|08|57014)/;
const NEVER_ARRIVED = /^(?:ECONNREFUSED|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|ETIMEDOUT)$/;

/** `changed`: a statement that changes something had been sent. */
export const explained = (error: unknown, endpoint: Endpoint, changed: boolean): Error => {
  if (error instanceof ActionError) return error;
  const code = codeOf(error);
  const text = `${nameOf(endpoint)}: ${(error as Error).message.slice(0, 300)}${code === '' ? '' : ` (${code})`}`;
  // A refused statement of the server's own words has had no effect: it stands alone or in a transaction.
  if (/^[0-9A-Z]{5}$/.test(code) && !code.startsWith('08')) {
    if (/^57P0[1-3]$/.test(code) && changed) return new ActionError('indeterminate', text, { cause: error });
    return new ActionError(PASSING.test(code) ? 'retryable' : 'permanent', text, { cause: error });
  }
  if (NEVER_ARRIVED.test(code) || !changed) return new ActionError('retryable', text, { cause: error });
  return new ActionError('indeterminate', `${text}; it may have taken effect`, { cause: error });
};

export type Session = {
  readonly endpoint: Endpoint;
  readonly query: <Row extends Record<string, unknown>>(
    text: string,
    values?: readonly unknown[],
  ) => Promise<readonly Row[]>;
  /** A statement that changes something; `began()` is said before the first. */
  readonly change: (text: string, values?: readonly unknown[]) => Promise<void>;
};

const destroyed = (client: Client): void => {
  // `end()` waits for the server; a frozen one would hold us for good.
  (client as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy();
};

/** `database`: another one of the same server. */
export const withSession = async <T>(
  endpoint: Endpoint,
  context: ActionContext,
  work: (session: Session) => Promise<T>,
  database = endpoint.database,
): Promise<T> => {
  const { clock, signal, deadline } = context;
  signal.throwIfAborted();
  const { default: pg } = await import('pg');
  const left = Math.max(1, Math.round(deadline - clock.monotonic()));
  const client = new pg.Client({
    host: endpoint.address,
    port: endpoint.port,
    user: endpoint.user,
    database,
    application_name: 'amends',
    ...(endpoint.password === null ? {} : { password: endpoint.password }),
    ssl: endpoint.tls ? { servername: endpoint.host, rejectUnauthorized: true } : false,
    connectionTimeoutMillis: left,
    statement_timeout: left,
  });
  let changed = false;
  let onAbort = (): void => undefined;
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => {
      destroyed(client);
      reject(new Error(`called off: ${(signal.reason as Error).message}`, { cause: signal.reason }));
    };
    signal.addEventListener('abort', onAbort, { once: true });
  });
  aborted.catch(() => undefined);
  const lost = new Promise<never>((_, reject) => client.once('error', reject));
  lost.catch(() => undefined);
  const ask = async <Row extends Record<string, unknown>>(
    text: string,
    values: readonly unknown[] = [],
  ): Promise<readonly Row[]> => {
    const asked = client.query<Row>(text, [...values]);
    asked.catch(() => undefined);
    return (await Promise.race([asked, aborted, lost])).rows;
  };
  try {
    const connected = client.connect();
    connected.catch(() => undefined);
    await Promise.race([connected, aborted]);
    return await work({
      endpoint,
      query: ask,
      async change(text, values = []) {
        signal.throwIfAborted();
        context.began();
        changed = true;
        await ask(text, values);
      },
    });
  } catch (error) {
    // Not the signal's own reason: it may say that nothing happened, which only the engine can know.
    if (signal.aborted) throw new Error(`called off: ${(signal.reason as Error).message}`, { cause: error });
    throw explained(error, endpoint, changed);
  } finally {
    signal.removeEventListener('abort', onAbort);
    // Its errors while it ends are nobody's business any more.
    client.on('error', () => undefined);
    if (signal.aborted) destroyed(client);
    else void client.end().catch(() => undefined);
  }
};

/** An identifier as it stands in a statement. */
export const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`;

/** A statement without what its literals say, since they may be anybody's data. */
export const withoutLiterals = (query: string): string =>
  query
    .replaceAll(/\$([A-Za-z_]\w*)?\$[\s\S]*?\$\1\$/g, '?')
    .replaceAll(/'(?:[^']|'')*'/g, '?')
    .replaceAll(/'[^']*$/g, '?')
    .replaceAll(/\b\d+(?:\.\d+)?\b/g, '?')
    .replaceAll(/\s+/g, ' ')
    .trim()
    .slice(0, 300);
