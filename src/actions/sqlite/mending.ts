// What SQLite itself can do for a database that was locked or has grown: recovery on opening, VACUUM; and a copy of one
// whose holders stand still. For worker threads.
import { existsSync, renameSync, rmSync, statfsSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { ActionError } from '../../base/failure.ts';
import { backupName } from './backups.ts';
import { copyPlainFile, ensureFolder, needSpace, removeWithCompanions } from './files.ts';
import {
  companions,
  explained,
  integrityFindings,
  openForWriting,
  refuseOurOwn,
  sizeOf,
  syncFile,
  syncFolder,
  unsound,
} from './opening.ts';
import type { SqliteFile } from './opening.ts';

export type FrozenInput = { readonly path: string; readonly backups: string; readonly at: number };

/**
 * A backup of a database that nobody else can read, while all who hold it are stopped: its files are what a power cut
 * would leave, and SQLite brings the copy to its last commit as it would the original.
 */
export const copyFrozen = ({ path, backups, at }: FrozenInput): { readonly path: string; readonly bytes: number } => {
  refuseOurOwn(path);
  ensureFolder(backups);
  needSpace(backups, (sizeOf(path) ?? 0) + (sizeOf(`${path}-wal`) ?? 0) + (sizeOf(`${path}-journal`) ?? 0));
  const partial = join(backups, `.${basename(path)}.frozen`);
  removeWithCompanions(partial);
  try {
    copyPlainFile(path, partial);
    for (const suffix of ['-wal', '-journal'])
      if (existsSync(`${path}${suffix}`)) copyPlainFile(`${path}${suffix}`, `${partial}${suffix}`);
    const file = openForWriting(partial, 0);
    try {
      // Rolls a hot journal back, or takes the WAL in.
      file.prepare('SELECT count(*) FROM sqlite_schema').get();
      file.pragma('wal_checkpoint(TRUNCATE)');
    } finally {
      file.close();
    }
    const reason = unsound(partial, 'full');
    if (reason !== null) throw new ActionError('permanent', `no sound backup of ${path} can be made: ${reason}`);
    for (const companion of companions(partial)) rmSync(companion, { force: true });
    const target = join(backups, backupName(path, at));
    syncFile(partial);
    renameSync(partial, target);
    syncFolder(backups);
    return { path: target, bytes: sizeOf(target) ?? 0 };
  } catch (error) {
    throw explained(error, path);
  } finally {
    removeWithCompanions(partial);
  }
};

/** Why a backup may not be relied on, or null: it has to be there, not empty, fresh, and pass the full check. */
export const backupObjection = ({
  backup,
  now,
  freshMs,
}: {
  readonly backup: string;
  readonly now: number;
  readonly freshMs: number;
}): string | null => {
  const size = sizeOf(backup);
  if (size === null) return 'is not there';
  if (size === 0) return 'is empty (0 bytes)';
  const age = now - statSync(backup).mtimeMs;
  if (age > freshMs) return `is ${Math.round(age / 1_000)} s old`;
  return unsound(backup, 'full');
};

const shrink = (file: SqliteFile, path: string): void => {
  // VACUUM needs the database once more beside it and once in its journal.
  const { bavail, bsize } = statfsSync(dirname(path));
  if (bavail * bsize < 2 * (sizeOf(path) ?? 0))
    throw new ActionError(
      'permanent',
      `${dirname(path)} has ${bavail * bsize} bytes free, too few to vacuum ${path}; mend: make room`,
    );
  file.exec('VACUUM');
  file.pragma('wal_checkpoint(TRUNCATE)');
};

export type Vacuumed = { readonly before: number; readonly after: number; readonly freePages: number };

export const vacuum = ({ path, busyMs }: { readonly path: string; readonly busyMs: number }): Vacuumed => {
  refuseOurOwn(path);
  let file: SqliteFile | null = null;
  try {
    file = openForWriting(path, busyMs);
    const before = (sizeOf(path) ?? 0) + (sizeOf(`${path}-wal`) ?? 0);
    const freePages = Number(file.pragma('freelist_count', { simple: true }));
    const findings = integrityFindings(file, 'quick');
    if (findings.length > 0)
      throw new ActionError(
        'permanent',
        `${path} is damaged, so it is not rewritten: ${findings.join('; ').slice(0, 300)}; mend: restore a backup`,
      );
    shrink(file, path);
    return { before, after: (sizeOf(path) ?? 0) + (sizeOf(`${path}-wal`) ?? 0), freePages };
  } catch (error) {
    throw explained(error, path);
  } finally {
    file?.close();
  }
};

/**
 * Takes the file for ourselves alone, which makes SQLite recover what a dead holder left, and gives it back. Null: done;
 * else SQLite's words why the lock is not to be had.
 */
export const recover = ({
  path,
  busyMs,
  vacuums,
}: {
  readonly path: string;
  readonly busyMs: number;
  readonly vacuums: boolean;
}): string | null => {
  refuseOurOwn(path);
  let file: SqliteFile | null = null;
  try {
    file = openForWriting(path, busyMs);
    const wal = file.pragma('journal_mode', { simple: true }) === 'wal';
    // In WAL mode others who are connected would be shut out by it for as long as they stay, and recovery needs no more than a writer.
    if (!wal) file.pragma('locking_mode = EXCLUSIVE');
    file.exec('BEGIN IMMEDIATE');
    file.exec('COMMIT');
    file.pragma('locking_mode = NORMAL');
    file.prepare('SELECT count(*) FROM sqlite_schema').get();
    const findings = integrityFindings(file, 'quick');
    if (findings.length > 0)
      throw new ActionError(
        'permanent',
        `${path} is damaged: ${findings.join('; ').slice(0, 300)}; mend: restore a backup`,
      );
    if (vacuums) shrink(file, path);
    return null;
  } catch (error) {
    const known = explained(error, path);
    if (known instanceof ActionError && known.kind === 'retryable') return (error as Error).message;
    throw known;
  } finally {
    file?.close();
  }
};

/** A fingerprint of the schema: what a migration changes. */
export const schemaOf = ({
  path,
}: {
  readonly path: string;
}): { readonly text: string; readonly userVersion: number } => {
  let file: SqliteFile | null = null;
  try {
    file = openForWriting(path, 2_000);
    file.pragma('query_only = ON');
    const rows = file.prepare('SELECT type, name, sql FROM sqlite_schema ORDER BY type, name').all();
    return { text: JSON.stringify(rows), userVersion: Number(file.pragma('user_version', { simple: true })) };
  } catch (error) {
    throw explained(error, path);
  } finally {
    file?.close();
  }
};

/** Why a database that is in use is not sound, or null. */
export const soundness = ({ path }: { readonly path: string }): string | null => {
  if ((sizeOf(path) ?? 0) === 0) return sizeOf(path) === null ? 'is not there' : 'is empty (0 bytes)';
  let file: SqliteFile | null = null;
  try {
    refuseOurOwn(path);
    file = openForWriting(path, 2_000);
    file.pragma('query_only = ON');
    const findings = integrityFindings(file, 'full');
    return findings.length === 0 ? null : `is damaged: ${findings.join('; ').slice(0, 300)}`;
  } catch (error) {
    throw explained(error, path);
  } finally {
    file?.close();
  }
};
