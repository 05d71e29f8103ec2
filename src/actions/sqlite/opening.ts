// Opening SQLite files without harm: nothing is ever created, no file is left beside a database that was at rest, and a
// schema that someone else wrote is not trusted. For worker threads: all of it blocks.
import Database from 'better-sqlite3';
import { closeSync, constants, fsyncSync, lstatSync, openSync, readSync } from 'node:fs';
import { dirname } from 'node:path';
import { ActionError } from '../../base/failure.ts';
import { fileKey, openFilesOf } from '../kernel.ts';

export type SqliteFile = Database.Database;

const HEADER_BYTES = 100;

/** Size of a plain file; null when there is none. */
export const sizeOf = (path: string): number | null => {
  try {
    return lstatSync(path).size;
  } catch {
    return null;
  }
};

/** Files that belong to a database file. */
export const companions = (path: string): readonly string[] => [`${path}-wal`, `${path}-shm`, `${path}-journal`];

/** The result code, `SQLITE_BUSY` and the like; empty for anything else. */
export const sqliteCode = (error: unknown): string => {
  const code = (error as { code?: unknown }).code;
  return typeof code === 'string' && code.startsWith('SQLITE_') ? code : '';
};

export const isBusy = (error: unknown): boolean => /^SQLITE_(BUSY|LOCKED)/.test(sqliteCode(error));

/** It says nothing about the file: a lock, a lack of memory or descriptors, a folder that cannot be reached just now. */
export const isPassing = (error: unknown): boolean =>
  /^SQLITE_(BUSY|LOCKED|NOMEM|INTERRUPT|PROTOCOL|CANTOPEN)/.test(sqliteCode(error));

/** What SQLite's refusal means for a step: nothing was changed by the statement that it refused. */
export const explained = (error: unknown, path: string): unknown => {
  const code = sqliteCode(error);
  if (code === '') return error;
  const kind = /^SQLITE_(BUSY|LOCKED|NOMEM|INTERRUPT|PROTOCOL|CANTOPEN)/.test(code) ? 'retryable' : 'permanent';
  return new ActionError(kind, `${path}: ${(error as Error).message} (${code})`, { cause: error });
};

/**
 * Our own open database must not be touched: closing any descriptor of a file drops every lock that this process holds
 * on it.
 */
export const refuseOurOwn = (path: string): void => {
  const key = fileKey(path);
  if (key !== null && openFilesOf(process.pid, [key]).length > 0) {
    throw new ActionError(
      'permanent',
      `${path} is open in amends itself; mend: name another database, amends does not recover its own`,
    );
  }
};

const isWalMode = (path: string): boolean => {
  const descriptor = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    const header = Buffer.alloc(HEADER_BYTES);
    readSync(descriptor, header, 0, HEADER_BYTES, 0);
    return header[18] === 2 && header[19] === 2;
  } finally {
    closeSync(descriptor);
  }
};

const open = (path: string, readonly: boolean, busyMs: number): SqliteFile => {
  const file = new Database(path, { readonly, fileMustExist: true, timeout: busyMs });
  file.pragma('trusted_schema = OFF');
  file.pragma('cell_size_check = ON');
  file.pragma('mmap_size = 0');
  return file;
};

const touch = (file: SqliteFile): SqliteFile => {
  try {
    file.pragma('query_only = ON');
    file.prepare('SELECT count(*) FROM sqlite_schema').get();
    return file;
  } catch (error) {
    file.close();
    throw error;
  }
};

/**
 * Opens for reading and reads the schema. A database at rest in WAL mode is opened for writing (and then only read), as
 * a read-only connection would leave an empty -wal and -shm behind; so is one with an interrupted write, which only a
 * writer may roll back, as any application would on its next start.
 */
export const openForReading = (path: string, busyMs: number): SqliteFile => {
  const atRest = isWalMode(path) && sizeOf(`${path}-wal`) === null;
  try {
    return touch(open(path, !atRest, busyMs));
  } catch (error) {
    const code = sqliteCode(error);
    if (atRest && /^SQLITE_(READONLY|CANTOPEN|PERM)/.test(code)) return touch(open(path, true, busyMs));
    if (!atRest && code.startsWith('SQLITE_READONLY')) return touch(open(path, false, busyMs));
    throw error;
  }
};

export const openForWriting = (path: string, busyMs: number): SqliteFile => open(path, false, busyMs);

export type Integrity = 'quick' | 'full';

/** Empty when all is well, else the first findings. */
export const integrityFindings = (file: SqliteFile, integrity: Integrity): readonly string[] => {
  const rows = file.pragma(integrity === 'quick' ? 'quick_check(5)' : 'integrity_check(5)') as ReadonlyArray<
    Record<string, string>
  >;
  const findings = rows.map((row) => String(Object.values(row)[0]));
  return findings.length === 1 && findings[0] === 'ok' ? [] : findings;
};

/** Why a file that nobody else uses is not a sound database; null when it is. Leaves nothing beside it. */
export const unsound = (path: string, integrity: Integrity): string | null => {
  const size = sizeOf(path);
  if (size === null) return 'does not exist';
  // SQLite takes an empty file for an empty database; for us it is a lost one.
  if (size === 0) return 'is empty (0 bytes)';
  let file: SqliteFile | null = null;
  try {
    file = openForReading(path, 1_000);
    const findings = integrityFindings(file, integrity);
    return findings.length === 0 ? null : findings.join('; ').slice(0, 300);
  } catch (error) {
    return (error as Error).message;
  } finally {
    file?.close();
  }
};

export const syncFile = (path: string): void => {
  const descriptor = openSync(path, constants.O_RDWR | constants.O_NOFOLLOW);
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
};

/** A rename or link is on disk only once its folder is. */
export const syncFolder = (folder: string): void => {
  const descriptor = openSync(folder, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
};

export const syncFolderOf = (path: string): void => syncFolder(dirname(path));
