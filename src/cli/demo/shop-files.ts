// The shop's databases on disk: made with a few entries and their backups, and broken on purpose.
import { closeSync, copyFileSync, mkdirSync, openSync, readdirSync, statSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { rfc3339 } from '../../base/clock.ts';

export type Department = 'orders' | 'stock' | 'receipts';
export const DEPARTMENTS: readonly Department[] = ['orders', 'stock', 'receipts'];

/** Where things are: `<folder>/<department>.db` and `<folder>/backups/<department>/*.db`. */
export const databaseOf = (folder: string, department: Department): string => join(folder, `${department}.db`);
export const backupsOf = (folder: string, department: Department): string => join(folder, 'backups', department);

const ENTRIES = [
  ['a teapot', 1],
  ['two cups', 2],
  ['a tin of tea', 3],
] as const;

/** Backups carry their UTC time in their name, as `sqlite.backup` writes them. */
const backupTimes = (now: number): readonly string[] =>
  [24, 12].map((hours) => rfc3339(now - hours * 3_600_000).replaceAll(/[-:.]/g, ''));

/** Databases in WAL mode with three entries each, and two backups of each: from yesterday, and from half a day ago. */
export const makeShopFiles = (folder: string, now: number): void => {
  for (const department of DEPARTMENTS) {
    mkdirSync(backupsOf(folder, department), { recursive: true });
    const database = new Database(databaseOf(folder, department));
    database.pragma('journal_mode = WAL');
    database.exec('CREATE TABLE entries (id INTEGER PRIMARY KEY, item TEXT NOT NULL, quantity INTEGER NOT NULL)');
    const insert = database.prepare('INSERT INTO entries (item, quantity) VALUES (?, ?)');
    for (const [item, quantity] of ENTRIES) insert.run(item, quantity);
    database.close();
    for (const when of backupTimes(now)) {
      copyFileSync(databaseOf(folder, department), join(backupsOf(folder, department), `${department}-${when}.db`));
    }
  }
};

const NOISE = Buffer.alloc(512, 'the disk wrote something else here; ');

/** Writes noise over the header and over the start of every further page, as a bad disk or a stray write does. */
export const damage = (file: string): void => {
  const { size } = statSync(file);
  const handle = openSync(file, 'r+');
  for (let at = 0; at < size; at += 4_096) writeSync(handle, NOISE, 0, Math.min(NOISE.length, size - at), at);
  closeSync(handle);
};

/** Damages a department's newest backup, or all of them, so that nothing is left to restore from. */
export const damageBackups = (folder: string, department: Department, which: 'newest' | 'all'): void => {
  const names = readdirSync(backupsOf(folder, department)).toSorted();
  for (const name of which === 'all' ? names : names.slice(-1)) damage(join(backupsOf(folder, department), name));
};
