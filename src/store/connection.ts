// One connection to the database, with the pragmas that durability rests on set and then checked; and what becomes of
// its errors.
import Database from 'better-sqlite3';
import { Kysely } from 'kysely';
import type { Clock } from '../base/clock.ts';
import { StoreUnavailable } from '../port/store.ts';
import type { OnCommit, Statements } from './driver.ts';
import { createStatements, sqliteDialect } from './driver.ts';
import type { Queries, Tables } from './tables.ts';

export type Connection = {
  readonly database: Database.Database;
  readonly statements: Statements;
  readonly queries: Queries;
};

const FULL = 2;

/** Nowhere but in this process, and gone with it: nothing to make durable. */
export const openInMemory = (clock: Clock): Connection => {
  const database = new Database(':memory:');
  database.pragma('foreign_keys = on');
  database.pragma('recursive_triggers = on');
  database.pragma('temp_store = memory');
  return connectionTo(database, clock, 'begin immediate');
};

export const openConnection = (
  file: string,
  clock: Clock,
  options: { readonly writes: boolean; readonly maxPages: number | null; readonly onCommit?: OnCommit },
): Connection => {
  // busy_timeout blocks the event loop for its whole length: none here, the driver waits instead.
  const database = new Database(file, { readonly: !options.writes, fileMustExist: !options.writes, timeout: 0 });
  try {
    if (options.writes) {
      database.pragma('journal_mode = wal');
      database.pragma('journal_size_limit = 67108864');
      // 16 MiB: under load the same index pages are written back a quarter as often, which saves a tenth of the CPU of intake.
      database.pragma('wal_autocheckpoint = 4000');
      if (options.maxPages !== null) database.pragma(`max_page_count = ${options.maxPages}`);
    }
    database.pragma('synchronous = full');
    database.pragma('foreign_keys = on');
    database.pragma('recursive_triggers = on');
    database.pragma('temp_store = memory');
    database.pragma('cache_size = -8000');
    expectPragma(database, 'synchronous', FULL);
    expectPragma(database, 'foreign_keys', 1);
    expectPragma(database, 'journal_mode', 'wal');
  } catch (error) {
    database.close();
    throw error;
  }
  return connectionTo(database, clock, options.writes ? 'begin immediate' : 'begin', options.onCommit);
};

const connectionTo = (
  database: Database.Database,
  clock: Clock,
  begin: 'begin' | 'begin immediate',
  onCommit?: OnCommit,
): Connection => {
  const statements = createStatements(database);
  const queries = new Kysely<Tables>({ dialect: sqliteDialect(database, statements, clock, begin, onCommit) });
  return { database, statements, queries };
};

const expectPragma = (database: Database.Database, name: string, expected: number | string): void => {
  const found = database.pragma(name, { simple: true });
  if (found !== expected)
    throw new Error(
      `${name} is ${String(found)} and must be ${String(expected)}: acknowledged deliveries could be lost`,
    );
};

export const sqliteCode = (error: unknown): string | null => {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === 'string' && code.startsWith('SQLITE_') ? code : null;
};

/** After these nothing that this process still holds may be believed: it has to end and look at the file anew. */
const FATAL = [
  'SQLITE_IOERR_FSYNC',
  'SQLITE_IOERR_DIR_FSYNC',
  'SQLITE_IOERR_TRUNCATE',
  'SQLITE_CORRUPT',
  'SQLITE_NOTADB',
];
export const isFatal = (code: string): boolean => FATAL.some((fatal) => code === fatal || code.startsWith(`${fatal}_`));

const UNAVAILABLE = [
  'SQLITE_BUSY',
  'SQLITE_LOCKED',
  'SQLITE_FULL',
  'SQLITE_IOERR',
  'SQLITE_READONLY',
  'SQLITE_CANTOPEN',
  'SQLITE_NOMEM',
  'SQLITE_PERM',
  'SQLITE_AUTH',
  'SQLITE_PROTOCOL',
];

/** The error as the port names it; what is not the store's trouble (a bug, a lost lease) passes as it is. */
export const asPortError = (error: unknown): unknown => {
  const code = sqliteCode(error);
  if (code === null || !(isFatal(code) || UNAVAILABLE.some((known) => code === known || code.startsWith(`${known}_`))))
    return error;
  return new StoreUnavailable(`the store cannot be used now: ${(error as Error).message} (${code})`, { cause: error });
};
