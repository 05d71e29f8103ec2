// The folder of backups: how they are named, so that the newest is found by name and two databases may share a folder.
import { readdirSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { Clock } from '../../base/clock.ts';
import { rfc3339 } from '../../base/clock.ts';

/** `2026-01-31T23:59:59.123Z` as `20260131T235959123Z`: sorts by time and needs no escaping anywhere. */
export const stamp = (ms: number): string => rfc3339(ms).replaceAll(/[-:.]/g, '');

const STAMP = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)(\d{3})Z$/;

const stampTime = (text: string): number | null => {
  const match = STAMP.exec(text);
  if (match === null) return null;
  const [, year, month, day, hour, minute, second, ms] = match;
  const time = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}.${ms}Z`);
  return Number.isNaN(time) ? null : time;
};

const baseOf = (path: string): string => basename(path).replace(/\.(db|sqlite3?|db3)$/, '');

export const backupName = (path: string, at: number): string => `${baseOf(path)}-${stamp(at)}.db`;
/** A copy of the files as they are, kept as evidence and never restored. */
export const evidenceName = (path: string, at: number): string => `${backupName(path, at)}.damaged`;

export type Backup = { readonly path: string; readonly at: number };

const select = (folder: string, names: readonly string[], path: string, suffix: string): readonly Backup[] => {
  const prefix = `${baseOf(path)}-`;
  const found: Backup[] = [];
  for (const name of names) {
    if (!name.startsWith(prefix) || !name.endsWith(suffix)) continue;
    const at = stampTime(name.slice(prefix.length, name.length - suffix.length));
    if (at !== null) found.push({ path: join(folder, name), at });
  }
  return found.toSorted((left, right) => right.at - left.at);
};

/** Newest first. A folder that is not there holds none. */
export const listBackups = (folder: string, path: string, suffix: '.db' | '.db.damaged' = '.db'): readonly Backup[] => {
  try {
    return select(folder, readdirSync(folder), path, suffix);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
};

export const backupFigures = async (
  folder: string | null,
  path: string,
  clock: Clock,
): Promise<{ readonly backup_count: number; readonly backup_age_seconds: number }> => {
  const names = folder === null ? [] : await readdir(folder).catch(() => []);
  const found = folder === null ? [] : select(folder, names, path, '.db');
  const newest = found[0];
  return {
    backup_count: found.length,
    backup_age_seconds: newest === undefined ? -1 : Math.max(0, Math.round((clock.now() - newest.at) / 1_000)),
  };
};
