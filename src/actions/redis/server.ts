// Which Redis an action speaks to: an address that is declared in allow.hosts, and credentials from files.
import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { ActionError } from '../../base/failure.ts';
import type { ActionContext } from '../../port/action.ts';
import { resolveAllowed } from '../http/address.ts';
import { absolutePath, duration } from '../inputs.ts';

const DEFAULT_PORT = 6_379;
const ADDRESS = /^(rediss?):\/\/([^/?#@\s]+)(?:\/(\d{1,4}))?\/?$/;

const username = z.string().min(1).max(256);
const url = z.string().min(1).max(1_024);
const timeout = duration.refine((ms) => ms >= 10 && ms <= 600_000, { message: 'from 10ms to 10m' });

/** What some targets declare and others do not; a runbook hands all of it over as `connect: "${{ connect }}"`. */
const connect = z.looseObject({
  url,
  username: username.optional(),
  password_file: absolutePath.optional(),
  tls_ca_file: absolutePath.optional(),
  /** What tells the expected server from another one that answers at its address. */
  expect: z
    .strictObject({
      role: z.enum(['master', 'slave']).optional(),
      run_id: z
        .string()
        .regex(/^[0-9a-f]{40}$/, { message: 'a run_id as INFO shows it' })
        .optional(),
      port: z.int().min(1).max(65_535).optional(),
      /** A key that the owner of this server has set, and its value. */
      key: z.string().min(1).max(1_024).optional(),
      value: z.string().max(1_024).optional(),
    })
    .optional(),
});

/** The part of every input that says which server; `timeout` is over everything, from the name's lookup to the last reply. */
export const serverInput = (defaultTimeoutMs: number) => ({
  url,
  username: username.optional(),
  password_file: absolutePath.optional(),
  /** Whose certificates a rediss:// address may show, in place of the system's authorities. */
  tls_ca_file: absolutePath.optional(),
  connect: connect.optional(),
  timeout: timeout.default(defaultTimeoutMs),
});

export type ServerInput = {
  readonly url: string;
  readonly username?: string | undefined;
  readonly password_file?: string | undefined;
  readonly tls_ca_file?: string | undefined;
  readonly connect?: z.output<typeof connect> | undefined;
  readonly timeout: number;
};
export type Expected = NonNullable<z.output<typeof connect>['expect']>;

export type Server = {
  /** `host:port`, for messages and as the name of a dump. */
  readonly name: string;
  readonly host: string;
  /** The address that was judged; the connection goes there and nowhere else. */
  readonly address: string;
  readonly port: number;
  readonly db: number;
  readonly tls: boolean;
  /** In place of the system's authorities. */
  readonly ca: Buffer | null;
  readonly username: string | null;
  readonly password: string | null;
};

/** `redis://host:port/db` in its parts; throws `permanent` for anything else. */
const parse = (text: string): Pick<Server, 'name' | 'port' | 'db' | 'tls'> & { readonly authority: string } => {
  const shown = JSON.stringify(text.slice(0, 200).replace(/\/\/[^/]*@/, '//...@'));
  if (text.includes('@'))
    throw new ActionError(
      'permanent',
      `the address ${shown} is refused: credentials do not belong into it; mend: username and password_file in the component's connect`,
    );
  const match = ADDRESS.exec(text);
  const bare = match?.[2] ?? '';
  const split = /^(\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(?::(\d{1,5}))?$/i.exec(bare);
  const port = Number(split?.[2] ?? DEFAULT_PORT);
  if (match === null || split === null || port < 1 || port > 65_535)
    throw new ActionError(
      'permanent',
      `${shown} is not the address of a Redis; mend: write redis://host:port, redis://host:port/db or rediss://...`,
    );
  const authority = `${split[1] ?? ''}:${port}`;
  return { name: authority, authority, port, db: Number(match[3] ?? 0), tls: match[1] === 'rediss' };
};

/** Everything that is needed to connect, checked against `allow.hosts`; the password is read and registered as a secret. */
export const findServer = async (input: ServerInput, context: ActionContext): Promise<Server> => {
  const { authority, ...parsed } = parse(input.url);
  const at = new URL(`http://${authority}`);
  const { address } = await resolveAllowed(at, context.allow);
  const file = input.password_file ?? input.connect?.password_file;
  const user = input.username ?? input.connect?.username ?? null;
  if (file === undefined && user !== null)
    throw new ActionError('permanent', `${parsed.name}: a username without a password_file lets nobody in`);
  const password = file === undefined ? null : await readPassword(file, context);
  const caFile = input.tls_ca_file ?? input.connect?.tls_ca_file;
  const ca = caFile === undefined ? null : await readOrRefuse('tls_ca_file', caFile, () => readFile(caFile));
  return { ...parsed, ca, host: at.hostname.replace(/^\[(.*)\]$/, '$1'), address, username: user, password };
};

const readPassword = async (file: string, context: ActionContext): Promise<string> => {
  const text = await readOrRefuse('password file', file, () => context.secret(file));
  const password = text.replace(/\r?\n$/, '');
  if (password === '') throw new ActionError('permanent', `the password file ${file} is empty`);
  return password;
};

const readOrRefuse = async <T>(what: string, file: string, read: () => Promise<T>): Promise<T> => {
  try {
    return await read();
  } catch (error) {
    throw new ActionError(
      'permanent',
      `the ${what} ${file} cannot be read (${(error as NodeJS.ErrnoException).code ?? 'unknown'})`,
      { cause: error },
    );
  }
};
