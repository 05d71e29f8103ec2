// A real ChromaDB for tests: the server that the npm package brings, on a port that the system gave.
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { root, until } from './servers.ts';

export type ChromaServer = {
  readonly url: string;
  readonly host: string;
  /** Its data folder. */
  readonly path: string;
  /** Holds its process id, renewed with each start. */
  readonly pidFile: string;
  pid(): number;
  /** Also after `stop`: on the same port and folder. */
  start(): Promise<void>;
  /** Starts it without waiting: a server whose files are damaged may never answer. */
  launch(): void;
  stop(): Promise<void>;
  signal(name: NodeJS.Signals): void;
  ask<T = unknown>(method: string, path: string, body?: unknown): Promise<T>;
  /** A collection of `documents` documents with embeddings of `dimension` numbers; resolves to its id. */
  fill(name: string, documents: number, dimension?: number): Promise<string>;
  count(name: string): Promise<number>;
};

const freePort = async (): Promise<number> => {
  const server = createServer();
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => void server.close(resolve));
  return port;
};

const COLLECTIONS = '/tenants/default_tenant/databases/default_database/collections';
const PAGE = 100;

/** Numbers that are the same in every run. */
const embedding = (document: number, dimension: number): number[] =>
  Array.from({ length: dimension }, (_, index) => Math.sin(document * 12.9898 + index * 78.233));

/** Stopped; `name` of its folder below `folder`. */
export const makeChroma = async (folder: string, name = 'chroma'): Promise<ChromaServer> => {
  const port = await freePort();
  const path = join(folder, name);
  const pidFile = join(folder, `${name}.pid`);
  mkdirSync(folder, { recursive: true });
  const url = `http://127.0.0.1:${port}`;
  let child: ChildProcess | null = null;
  const ask = async <T>(method: string, route: string, body?: unknown): Promise<T> => {
    const reply = await fetch(`${url}/api/v2${route}`, {
      method,
      headers: { 'Content-Type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(10_000),
    });
    const text = await reply.text();
    if (!reply.ok) throw new Error(`${reply.status}: ${text.slice(0, 300)}`);
    return (text === '' ? null : JSON.parse(text)) as T;
  };
  const launch = (): void => {
    child = spawn(
      process.execPath,
      [
        join(root, 'test/servers/node_modules/.bin/chroma'),
        'run',
        '--path',
        path,
        '--host',
        '127.0.0.1',
        '--port',
        String(port),
      ],
      {
        cwd: folder,
        stdio: ['ignore', 'ignore', 'ignore'],
      },
    );
    writeFileSync(pidFile, `${child.pid}\n`);
  };
  const gone = (): boolean => child === null || child.exitCode !== null || child.signalCode !== null;
  return {
    url,
    host: `127.0.0.1:${port}`,
    path,
    pidFile,
    pid: () => child?.pid ?? -1,
    launch,
    async start() {
      launch();
      await until('ChromaDB answers', () => ask('GET', '/heartbeat'), 20_000, 50);
    },
    async stop() {
      if (gone()) return;
      const ended = new Promise((resolve) => child?.once('exit', resolve));
      child?.kill('SIGKILL');
      await ended;
    },
    signal: (signal) => void child?.kill(signal),
    ask,
    async fill(collection, documents, dimension = 16) {
      const { id } = await ask<{ id: string }>('POST', COLLECTIONS, { name: collection });
      for (let from = 0; from < documents; from += PAGE) {
        const numbers = Array.from({ length: Math.min(PAGE, documents - from) }, (_, index) => from + index);
        await ask('POST', `${COLLECTIONS}/${id}/add`, {
          ids: numbers.map((number) => `document-${number}`),
          embeddings: numbers.map((number) => embedding(number, dimension)),
          documents: numbers.map((number) => `text ${number}`),
          metadatas: numbers.map((number) => ({ number })),
        });
      }
      return id;
    },
    async count(collection) {
      const { id } = await ask<{ id: string }>('GET', `${COLLECTIONS}/${collection}`);
      return ask<number>('GET', `${COLLECTIONS}/${id}/count`);
    },
  };
};
