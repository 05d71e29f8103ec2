// A vector store as the lock playbook knows it: a real process with a real SQLite database and an index file, under a
// small supervisor whose commands stop and start it.
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { chmodSync, linkSync, copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createServer as createPort } from 'node:net';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { emptyIndex } from '../../src/actions/faiss/index-file.ts';
import { root, until } from './servers.ts';
import { makeDatabase } from './sqlite-files.ts';

const PROGRAM = `
import Database from ${JSON.stringify(import.meta.resolve('better-sqlite3'))};
import { createServer } from 'node:http';
import { readFileSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
const [path, index, cache, port] = process.argv.slice(1);
let file = new Database(path, { timeout: 50 });
process.on('SIGTERM', () => { if (!globalThis.hangs) process.exit(0); });
mkdirSync(cache, { recursive: true });
writeFileSync(cache + '/warm', 'x');
const sound = () => { const bytes = readFileSync(index); return bytes.length === 45 + Number(bytes.readBigInt64LE(8)) * bytes.readInt32LE(4) * 4 && bytes.subarray(0, 4).toString() === 'IxFI'; };
const trouble = () => {
  if (globalThis.hangs) return 'sqlite3.OperationalError: database is locked';
  if (!existsSync(index) || !sound()) return 'FAISS: index cannot be read';
  try { file.exec('BEGIN IMMEDIATE'); file.exec('ROLLBACK'); return null; } catch (error) { return 'sqlite3.OperationalError: ' + error.message; }
};
createServer((request, response) => {
  const answer = (status, body) => { response.writeHead(status, { 'content-type': 'application/json' }); response.end(JSON.stringify(body)); };
  if (request.url === '/hang') { file.exec('BEGIN EXCLUSIVE'); globalThis.hangs = true; return answer(200, {}); }
  if (request.url === '/hold') { file.exec('BEGIN IMMEDIATE'); return answer(200, {}); }
  if (request.url === '/api/embeddings/close-connections') {
    if (globalThis.hangs) return; 
    file.close(); file = new Database(path, { timeout: 50 }); return answer(200, { closed: true });
  }
  const wrong = trouble();
  if (wrong !== null) return answer(500, { detail: wrong });
  if (request.url === '/api/vectors/health') return answer(200, { status: 'healthy' });
  if (request.url === '/api/vectors/embed') return answer(200, { embedding: [0.1, 0.2] });
  if (request.url === '/api/vectors/search') return answer(200, { results: [] });
  answer(404, {});
}).listen(Number(port), '127.0.0.1');
`;

export type VectorService = {
  readonly url: string;
  readonly host: string;
  readonly database: string;
  readonly backups: string;
  readonly index: string;
  readonly cache: string;
  readonly mark: string;
  /** The supervisor's command. */
  readonly control: string;
  readonly pid: () => number;
  /** How often it was started. */
  readonly starts: () => number;
  readonly post: (path: string) => Promise<number>;
  readonly close: () => Promise<void>;
};

const freePort = async (): Promise<number> => {
  const server = createPort();
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => void server.close(resolve));
  return port;
};

/** Running and healthy. Its executable is called `vector-service`. */
export const startVectorService = async (folder: string): Promise<VectorService> => {
  const { path, backups, folder: own } = makeDatabase(folder, 'delete');
  mkdirSync(backups);
  const [index, cache, mark] = [join(own, 'vectors.index'), join(own, 'cache'), join(own, 'reembed.json')];
  writeFileSync(index, emptyIndex(1_536, 'cosine'));
  const executable = join(own, 'vector-service');
  try {
    linkSync(process.execPath, executable);
  } catch {
    copyFileSync(process.execPath, executable);
  }
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  let child: ChildProcess | null = null;
  let starts = 0;
  const gone = (): boolean => child === null || child.exitCode !== null || child.signalCode !== null;
  const start = async (): Promise<void> => {
    if (!gone()) return;
    starts += 1;
    child = spawn(executable, ['--input-type=module', '-e', PROGRAM, path, index, cache, String(port)], {
      cwd: root,
      stdio: ['ignore', 'ignore', 'ignore'],
    });
    await until('the service listens', () => fetch(`${url}/nothing`).then(() => true), 10_000, 25);
  };
  const stop = async (): Promise<void> => {
    if (gone()) return;
    const ended = new Promise((resolve) => child?.once('exit', resolve));
    child?.kill('SIGKILL');
    await ended;
  };
  const supervisor = createServer((request, response) => {
    void (request.url === '/stop' ? stop() : start()).then(() => response.end('done'));
  });
  await new Promise<void>((resolve) => void supervisor.listen(0, '127.0.0.1', resolve));
  const control = join(own, 'control');
  writeFileSync(
    control,
    `#!${process.execPath}\nfetch('http://127.0.0.1:${(supervisor.address() as AddressInfo).port}/' + process.argv[2]).then((reply) => reply.text());\n`,
  );
  chmodSync(control, 0o755);
  await start();
  return {
    url,
    host: `127.0.0.1:${port}`,
    database: path,
    backups,
    index,
    cache,
    mark,
    control,
    pid: () => child?.pid ?? -1,
    starts: () => starts,
    post: async (to) => (await fetch(`${url}${to}`, { method: 'POST', signal: AbortSignal.timeout(5_000) })).status,
    async close() {
      await stop();
      supervisor.closeAllConnections();
      await new Promise((resolve) => void supervisor.close(resolve));
    },
  };
};
