// Backups of a live database by SQLite's own backup interface, checked before they count, and raw copies of a damaged
// one as evidence. For worker threads.
import { closeSync, constants, existsSync, openSync, renameSync, writeSync } from 'node:fs';
import { basename, join } from 'node:path';
import { systemClock } from '../../base/clock.ts';
import { ActionError } from '../../base/failure.ts';
import { backupName, evidenceName, listBackups } from './backups.ts';
import { copyPlainFile, ensureFolder, needSpace, removeWithCompanions } from './files.ts';
import {
  companions,
  explained,
  integrityFindings,
  isBusy,
  openForReading,
  openForWriting,
  refuseOurOwn,
  sizeOf,
  syncFile,
  syncFolder,
} from './opening.ts';
import type { SqliteFile } from './opening.ts';

/** Pages a step without a WAL, where writers have to wait for each step; with one they never wait. */
const PAGES_A_STEP = 2_000;
const ALL_PAGES = 2 ** 31 - 1;
/** Up to this size a copy fits into memory. */
const AT_ONCE_BYTES = 16 * 1_024 * 1_024;

export type BackupInput = {
  readonly path: string;
  readonly backups: string;
  readonly at: number;
  readonly keep: number;
  readonly rawOk: boolean;
  readonly busyMs: number;
};
export type BackupReport = {
  readonly path: string;
  readonly bytes: number;
  readonly checked: boolean;
  readonly removed: readonly string[];
  readonly reason: string;
};

const copyPages = async (source: SqliteFile, target: string, busyMs: number, path: string): Promise<void> => {
  const wal = isWal(source);
  const pages = pragmaNumber(source, 'page_count');
  const image = pages * pragmaNumber(source, 'page_size') <= AT_ONCE_BYTES ? imageOf(source) : null;
  if (image !== null) return writeNew(target, image);
  if (wal && pragmaNumber(source, 'freelist_count') > pages / 2 && copyUsed(source, target)) return;
  const step = wal ? ALL_PAGES : PAGES_A_STEP;
  let last = -1;
  let since = systemClock.monotonic();
  await source.backup(target, {
    progress: ({ remainingPages }) => {
      const now = systemClock.monotonic();
      if (remainingPages !== last) since = now;
      else if (now - since > busyMs)
        throw new ActionError('retryable', `${path} is locked: its backup does not get on`);
      last = remainingPages;
      return step;
    },
  });
};

const isWal = (file: SqliteFile): boolean => file.pragma('journal_mode', { simple: true }) === 'wal';
const pragmaNumber = (file: SqliteFile, name: string): number => Number(file.pragma(name, { simple: true }));

/**
 * The same pages by SQLite's own serialisation: the backup interface syncs a journal beside the copy, which nobody needs
 * before the copy is complete. In a transaction that has its lock before: without one, `serialize` speaks of memory.
 * Null: it has grown too large meanwhile.
 */
const imageOf = (source: SqliteFile): Buffer | null =>
  source.transaction(() =>
    pragmaNumber(source, 'page_count') * pragmaNumber(source, 'page_size') <= AT_ONCE_BYTES ? source.serialize() : null,
  )();

const writeNew = (path: string, content: Buffer): void => {
  const file = openSync(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, 0o644);
  try {
    for (let written = 0; written < content.length;) written += writeSync(file, content, written);
  } finally {
    closeSync(file);
  }
};

/**
 * Without the free pages, where these are most of it: rows keep their ids, and what SQLite sets anew (the journal mode) is
 * set back. False: it refuses, for one of its many reasons, and every page is to be copied. Only beside a WAL, where
 * writers need not wait for it.
 */
const copyUsed = (source: SqliteFile, target: string): boolean => {
  try {
    source.pragma('query_only = OFF');
    // The finished copy is synced by us.
    source.pragma('synchronous = OFF');
    source.prepare('VACUUM INTO ?').run(target);
    const copy = openForWriting(target, 0);
    try {
      copy.pragma('synchronous = OFF');
      return copy.pragma('journal_mode = WAL', { simple: true }) === 'wal';
    } finally {
      copy.close();
    }
  } catch {
    removeWithCompanions(target);
    return false;
  }
};

/** Findings about a finished copy; empty when it is a sound backup. */
const judge = (copy: string): string => {
  if ((sizeOf(copy) ?? 0) === 0) return 'the copy is empty';
  const file = openForReading(copy, 0);
  try {
    return integrityFindings(file, 'quick').join('; ').slice(0, 300);
  } finally {
    file.close();
  }
};

/** Why no sound backup could be made, or empty. Leaves a sound one at `partial`. */
const makeSound = async (input: BackupInput, partial: string): Promise<string> => {
  let source: SqliteFile | null = null;
  try {
    if (sizeOf(input.path) === 0) return 'the database is empty (0 bytes)';
    source = openForReading(input.path, input.busyMs);
    await copyPages(source, partial, input.busyMs, input.path);
    source.close();
    return judge(partial);
  } catch (error) {
    // A lock is no damage: the evidence would be torn, and another try may get a whole backup.
    if (isBusy(error)) throw explained(error, input.path);
    if (error instanceof ActionError) throw error;
    return (error as Error).message;
  } finally {
    source?.close();
  }
};

const copyEvidence = (input: BackupInput): string => {
  const target = join(input.backups, evidenceName(input.path, input.at));
  for (const [index, from] of [input.path, ...companions(input.path)].entries()) {
    const suffix = index === 0 ? '' : from.slice(input.path.length);
    if (existsSync(from)) copyPlainFile(from, `${target}${suffix}`);
  }
  syncFolder(input.backups);
  return target;
};

/** Beyond the newest `keep`. Sound backups and evidence are counted apart, so that damage never drives out a good one. */
const removeOld = (input: BackupInput, suffix: '.db' | '.db.damaged'): readonly string[] => {
  const old = listBackups(input.backups, input.path, suffix).slice(input.keep);
  for (const backup of old) removeWithCompanions(backup.path);
  return old.map((backup) => backup.path);
};

export const makeBackup = async (input: BackupInput): Promise<BackupReport> => {
  if (sizeOf(input.path) === null)
    throw new ActionError('permanent', `${input.path} does not exist: there is nothing to back up`);
  refuseOurOwn(input.path);
  ensureFolder(input.backups);
  needSpace(input.backups, (sizeOf(input.path) ?? 0) + (sizeOf(`${input.path}-wal`) ?? 0));
  const partial = join(input.backups, `.${basename(input.path)}.partial`);
  removeWithCompanions(partial);
  const reason = await makeSound(input, partial).catch((error: unknown) => {
    removeWithCompanions(partial);
    throw error;
  });
  if (reason !== '') {
    removeWithCompanions(partial);
    if (!input.rawOk)
      throw new ActionError(
        'permanent',
        `no sound backup of ${input.path} can be made: ${reason}; mend: say \`raw_ok: true\` to keep the files as evidence`,
      );
    const path = copyEvidence(input);
    return { path, bytes: sizeOf(path) ?? 0, checked: false, removed: removeOld(input, '.db.damaged'), reason };
  }
  const path = join(input.backups, backupName(input.path, input.at));
  syncFile(partial);
  renameSync(partial, path);
  removeWithCompanions(partial);
  syncFolder(input.backups);
  return { path, bytes: sizeOf(path) ?? 0, checked: true, removed: removeOld(input, '.db'), reason: '' };
};
