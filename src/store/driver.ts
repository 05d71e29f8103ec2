// SQLite under the query layer: one connection behind a mutex, transactions that begin immediately, a wait for another
// process' lock that never blocks the event loop, and no write outside a transaction.
import type Database from 'better-sqlite3';
import { SqliteAdapter, SqliteIntrospector, SqliteQueryCompiler } from 'kysely';
import type { CompiledQuery, DatabaseConnection, Dialect, Driver, QueryResult } from 'kysely';
import type { Clock } from '../base/clock.ts';

/** How long a call waits for a lock that another process holds, its turn at the mutex included. */
const PATIENCE_MS = 2_000;
const RETRY_MS = 5;
/** Enough for every query of the store in its variants; lists of filters make more of them. */
const KEPT_STATEMENTS = 500;

export type Value = string | number | bigint | Buffer | null;

/** Statements prepared once; refuses to write while no transaction is open. */
export type Statements = {
  all<T>(sql: string, parameters: readonly Value[]): T[];
  get<T>(sql: string, parameters: readonly Value[]): T | undefined;
  /** Answers the number of changed rows. */
  run(sql: string, parameters: readonly Value[]): number;
  execute(sql: string, parameters: readonly unknown[]): { rows: unknown[]; changes: number };
};

export const createStatements = (database: Database.Database): Statements => {
  const kept = new Map<string, Database.Statement>();
  const prepared = (sql: string): Database.Statement => {
    let statement = kept.get(sql);
    if (statement === undefined) {
      statement = database.prepare(sql);
      if (kept.size >= KEPT_STATEMENTS) kept.delete(kept.keys().next().value as string);
      kept.set(sql, statement);
    }
    // A transaction that the database ended by itself (a full disk) must not go on statement by statement.
    if (!statement.readonly && !database.inTransaction) throw new Error(`a write outside a transaction: ${sql}`);
    return statement;
  };
  return {
    all: <T>(sql: string, parameters: readonly Value[]) => prepared(sql).all(...parameters) as T[],
    get: <T>(sql: string, parameters: readonly Value[]) => prepared(sql).get(...parameters) as T | undefined,
    run: (sql, parameters) => prepared(sql).run(...parameters).changes,
    execute(sql, parameters) {
      const statement = prepared(sql);
      if (statement.reader) return { rows: statement.all(...parameters), changes: 0 };
      return { rows: [], changes: statement.run(...parameters).changes };
    },
  };
};

const isBusy = (error: unknown): boolean => {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === 'string' && (code.startsWith('SQLITE_BUSY') || code.startsWith('SQLITE_LOCKED'));
};

/** Tries until `deadline` (monotonic), pausing between tries with the event loop free. */
const patiently = async <T>(clock: Clock, deadline: number, attempt: () => T): Promise<T> => {
  for (;;) {
    try {
      return attempt();
    } catch (error) {
      if (!isBusy(error) || clock.monotonic() >= deadline) throw error;
    }
    await clock.sleep(RETRY_MS);
  }
};

type Held = DatabaseConnection & { readonly deadline: number };
const isHeld = (connection: DatabaseConnection): connection is Held => 'deadline' in connection;

/** First come, first served. */
const createMutex = (): { lock(): Promise<void>; unlock(): void } => {
  const waiting: Array<() => void> = [];
  let held = false;
  return {
    async lock() {
      if (held) await new Promise<void>((resolve) => waiting.push(resolve));
      held = true;
    },
    unlock() {
      const next = waiting.shift();
      if (next === undefined) held = false;
      else next();
    },
  };
};

type Begin = 'begin' | 'begin immediate';
/** Hears how long each commit took, in milliseconds. */
export type OnCommit = (ms: number) => void;

export const sqliteDialect = (
  database: Database.Database,
  statements: Statements,
  clock: Clock,
  begin: Begin,
  onCommit?: OnCommit,
): Dialect => ({
  createAdapter: () => new SqliteAdapter(),
  createIntrospector: (queries) => new SqliteIntrospector(queries),
  createQueryCompiler: () => new SqliteQueryCompiler(),
  createDriver: () => createDriver(database, statements, clock, begin, onCommit),
});

const createDriver = (
  database: Database.Database,
  statements: Statements,
  clock: Clock,
  begin: Begin,
  onCommit: OnCommit | undefined,
): Driver => {
  const mutex = createMutex();
  const execute = async <R>(query: CompiledQuery, deadline: number): Promise<QueryResult<R>> => {
    // Inside a transaction a lock cannot be waited for: what was read may be old by then.
    const until = database.inTransaction ? 0 : deadline;
    const { rows, changes } = await patiently(clock, until, () => statements.execute(query.sql, query.parameters));
    return { rows: rows as R[], numAffectedRows: BigInt(changes) };
  };
  return {
    async init() {},
    async acquireConnection() {
      const deadline = clock.monotonic() + PATIENCE_MS;
      await mutex.lock();
      const connection: Held = {
        deadline,
        executeQuery: <R>(query: CompiledQuery) => execute<R>(query, deadline),
        // oxlint-disable-next-line require-yield
        async *streamQuery() {
          throw new Error('the store reads in pages, not in streams');
        },
      };
      return connection;
    },
    async beginTransaction(connection) {
      await patiently(clock, isHeld(connection) ? connection.deadline : 0, () => database.exec(begin));
    },
    async commitTransaction() {
      const began = clock.monotonic();
      database.exec('commit');
      onCommit?.(clock.monotonic() - began);
    },
    async rollbackTransaction() {
      if (database.inTransaction) database.exec('rollback');
    },
    async releaseConnection() {
      mutex.unlock();
    },
    async destroy() {
      database.close();
    },
  };
};
