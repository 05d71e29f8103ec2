// A real PostgreSQL for tests: Debian's, since its pg_dump only takes servers that are not newer than itself.
import { spawn, spawnSync } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { chownSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { binaryOf, itWith } from './requires.ts';
import { until } from './servers.ts';

const VERSIONS = '/usr/lib/postgresql';
const PASSWORD = 'pw-of-the-tests-4711';

const newest = existsSync(VERSIONS) ? readdirSync(VERSIONS).toSorted((a, b) => Number(b) - Number(a))[0] : undefined;
const folderOf = (name: string): string => join(VERSIONS, newest ?? 'none', 'bin', name);
export const pgDump = folderOf('pg_dump');
export const pgRestore = folderOf('pg_restore');

export const itWithPostgres = itWith('postgres');
export const hasPostgres = binaryOf('postgres') !== undefined;

export type PostgresServer = {
  readonly port: number;
  readonly host: string;
  readonly passwordFile: string;
  readonly password: string;
  /** For the superuser `postgres`; `shop` is an ordinary role that may create databases. */
  url(database: string, user?: string): string;
  client(database: string, user?: string): Promise<pg.Client>;
  /** One statement over a connection of its own. */
  run(database: string, text: string): Promise<pg.QueryResult>;
  pid(): number;
  stop(): Promise<void>;
};

const freePort = async (): Promise<number> => {
  const server = createServer();
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => void server.close(resolve));
  return port;
};

/** The server refuses to run as root. */
const account = (): { readonly uid?: number; readonly gid?: number } => {
  if (process.getuid?.() !== 0) return {};
  const id = (flag: string): number => Number(spawnSync('id', [flag, 'postgres'], { encoding: 'utf8' }).stdout.trim());
  return { uid: id('-u'), gid: id('-g') };
};

/** With `trust` it asks for no password. */
export const startPostgres = async (
  folder: string,
  auth: 'scram-sha-256' | 'trust' = 'scram-sha-256',
): Promise<PostgresServer> => {
  const port = await freePort();
  // Its own folder: the account of the server has to get through all those above.
  const own = mkdtempSync(join(tmpdir(), 'amends-postgres-'));
  const data = join(own, 'data');
  const passwordFile = join(folder, 'pg-password');
  const who = account();
  writeFileSync(passwordFile, `${PASSWORD}\n`, { mode: 0o600 });
  writeFileSync(join(own, 'password'), `${PASSWORD}\n`);
  mkdirSync(data, { mode: 0o700 });
  if (who.uid !== undefined && who.gid !== undefined)
    for (const path of [own, data, join(own, 'password')]) chownSync(path, who.uid, who.gid);
  const made = spawnSync(
    folderOf('initdb'),
    [
      '-D',
      data,
      '-U',
      'postgres',
      `--auth=${auth}`,
      `--pwfile=${join(own, 'password')}`,
      '--no-sync',
      '-E',
      'UTF8',
      '--locale=C.UTF-8',
    ],
    { ...who, encoding: 'utf8', cwd: '/' },
  );
  if (made.status !== 0) throw new Error(`initdb: ${made.stderr}`);
  const child: ChildProcess = spawn(
    folderOf('postgres'),
    [
      '-D',
      data,
      '-p',
      String(port),
      '-c',
      'listen_addresses=127.0.0.1',
      '-c',
      'unix_socket_directories=',
      '-c',
      'fsync=off',
      '-c',
      'max_connections=40',
    ],
    { ...who, cwd: '/', stdio: ['ignore', 'ignore', 'ignore'] },
  );
  const client = async (database: string, user = 'postgres'): Promise<pg.Client> => {
    const opened = new pg.Client({ host: '127.0.0.1', port, user, database, password: PASSWORD });
    opened.on('error', () => undefined);
    await opened.connect();
    return opened;
  };
  const run: PostgresServer['run'] = async (database, text) => {
    const one = await client(database);
    try {
      return await one.query(text);
    } finally {
      await one.end();
    }
  };
  await until('PostgreSQL answers', () => run('postgres', 'SELECT 1'), 20_000, 50);
  await run('postgres', `CREATE ROLE shop LOGIN CREATEDB PASSWORD '${PASSWORD}'`);
  await run('postgres', 'GRANT pg_monitor, pg_signal_backend TO shop');
  return {
    port,
    host: `127.0.0.1:${port}`,
    passwordFile,
    password: PASSWORD,
    url: (database, user = 'shop') => `postgres://${user}@127.0.0.1:${port}/${database}`,
    client,
    run,
    pid: () => child.pid ?? -1,
    async stop() {
      const ended = new Promise((resolve) => child.once('exit', resolve));
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill('SIGCONT');
      child.kill('SIGQUIT');
      await ended;
      rmSync(own, { recursive: true, force: true });
    },
  };
};

/** A database of `shop` with `orders` and an index. */
export const makeShop = async (server: PostgresServer, name: string, orders = 1_000): Promise<void> => {
  await server.run('postgres', `CREATE DATABASE ${name} OWNER shop`);
  const client = await server.client(name, 'shop');
  await client.query(
    'CREATE TABLE orders (id serial PRIMARY KEY, what text NOT NULL); CREATE INDEX by_what ON orders (what)',
  );
  await client.query(`INSERT INTO orders (what) SELECT 'order ' || n FROM generate_series(1, ${orders}) n`);
  await client.end();
};

export const countOrders = async (server: PostgresServer, name: string): Promise<number> =>
  (await server.run(name, 'SELECT count(*)::int AS n FROM orders')).rows.map((row: { n: number }) => row.n)[0] ?? -1;
