// Real SQLite files, sound and broken.
import { closeSync, mkdirSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';

let count = 0;

/** A folder of its own below `root` with a sound database `orders.db` of `rows` orders. */
export const makeDatabase = (
  root: string,
  mode: 'wal' | 'delete',
  rows = 500,
): { readonly folder: string; readonly path: string; readonly backups: string } => {
  count += 1;
  const folder = join(root, `database-${count}`);
  mkdirSync(folder);
  const path = join(folder, 'orders.db');
  const file = new Database(path);
  file.pragma(`journal_mode = ${mode}`);
  file.exec('CREATE TABLE orders (id INTEGER PRIMARY KEY, what TEXT); CREATE INDEX by_what ON orders (what)');
  file.close();
  addOrders(path, rows);
  return { folder, path, backups: join(folder, 'backups') };
};

export const addOrders = (path: string, rows: number): void => {
  const file = new Database(path);
  const insert = file.prepare('INSERT INTO orders (what) VALUES (?)');
  file.transaction(() => {
    for (let row = 0; row < rows; row += 1) insert.run(`order ${row} ${'x'.repeat(80)}`);
  })();
  file.close();
};

export const countOrders = (path: string): number => {
  const file = new Database(path, { fileMustExist: true });
  try {
    return (file.prepare('SELECT count(*) AS n FROM orders').get() as { n: number }).n;
  } finally {
    file.close();
  }
};

const overwrite = (path: string, at: number, bytes: Buffer): void => {
  const descriptor = openSync(path, 'r+');
  writeSync(descriptor, bytes, 0, bytes.length, at);
  closeSync(descriptor);
};

/** It does not open any more. */
export const breakHeader = (path: string): void => overwrite(path, 0, Buffer.from('this is no database at all, sorry'));
/** It opens, and its integrity check fails. */
export const breakPages = (path: string): void => {
  for (let page = 2; page < 8; page += 1) overwrite(path, page * 4_096, Buffer.alloc(2_000, 0xa5));
};
