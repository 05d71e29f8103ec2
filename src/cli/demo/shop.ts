// The demo's shop: a small web application in a process of its own, on real SQLite files of its own. It knows nothing of
// amends; when a database is broken its customers see a 503. Run as: node shop.js <folder>; prints its port.
import { createServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { isObject } from '../../base/json.ts';

/** Each department keeps a database of its own, so each can break by itself. */
const DEPARTMENTS = ['orders', 'stock', 'receipts'] as const;

/** How long a customer waits for somebody else's lock. */
const BUSY_TIMEOUT_MS = 100;

const folder = process.argv[2] ?? '.';

/** A connection for each request: what was restored under the same name is found at once. */
const using = <T>(department: string, work: (database: Database.Database) => T): T => {
  const database = new Database(join(folder, `${department}.db`), { fileMustExist: true, timeout: BUSY_TIMEOUT_MS });
  try {
    database.pragma('synchronous = FULL');
    return work(database);
  } finally {
    database.close();
  }
};

const read = (department: string): unknown =>
  using(department, (database) => {
    const rows = database.prepare('SELECT id, item, quantity FROM entries ORDER BY id DESC LIMIT 20').all();
    const { count } = database.prepare('SELECT count(*) AS count FROM entries').get() as { count: number };
    return { department, count, latest: rows };
  });

const add = (department: string, item: string, quantity: number): unknown =>
  using(department, (database) => {
    const { lastInsertRowid } = database
      .prepare('INSERT INTO entries (item, quantity) VALUES (?, ?)')
      .run(item, quantity);
    return { department, id: Number(lastInsertRowid), item, quantity };
  });

const bodyOf = async (request: IncomingMessage): Promise<unknown> => {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return JSON.parse(Buffer.concat(chunks).toString('utf8')) as unknown;
};

const answer = (response: ServerResponse, status: number, body: unknown): void => {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
};

const serve = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
  const department = DEPARTMENTS.find((name) => request.url === `/${name}`);
  if (department === undefined)
    return answer(response, 404, { error: `try ${DEPARTMENTS.map((name) => `/${name}`).join(', ')}` });
  if (request.method === 'GET') return answer(response, 200, read(department));
  if (request.method !== 'POST') return answer(response, 405, { error: 'GET reads, POST adds' });
  const body = await bodyOf(request);
  if (!isObject(body) || typeof body['item'] !== 'string' || typeof body['quantity'] !== 'number') {
    return answer(response, 400, { error: 'an entry is { "item": "...", "quantity": 1 }' });
  }
  return answer(response, 201, add(department, body['item'], body['quantity']));
};

const server = createServer((request, response) => {
  serve(request, response).catch((error: unknown) => {
    const status = error instanceof SyntaxError ? 400 : 503;
    answer(response, status, { error: error instanceof Error ? error.message : String(error) });
  });
});

server.listen(0, '127.0.0.1', () => {
  const address = server.address();
  process.stdout.write(`${JSON.stringify({ port: typeof address === 'object' ? address?.port : null })}\n`);
});
// Whoever started the shop holds its standard input; when that ends, the shop closes.
process.stdin.on('end', () => process.exit(0)).resume();
