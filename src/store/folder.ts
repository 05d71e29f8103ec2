// The folder on disk: who owns it, whether its database may be trusted, and what is refused instead of being replaced.
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statfsSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { rfc3339 } from '../base/clock.ts';
import { APPLICATION_ID, refuseNewer, schemaVersion } from './migrate.ts';
import type { Migration } from './migrate.ts';
import { StoreRefused } from './refused.ts';

export type Paths = {
  readonly folder: string;
  readonly database: string;
  readonly marker: string;
  readonly owner: string;
  readonly lock: string;
};

export const pathsIn = (folder: string): Paths => ({
  folder,
  database: join(folder, 'amends.db'),
  marker: join(folder, 'amends.created'),
  owner: join(folder, 'amends.lock'),
  lock: join(folder, 'lock.db'),
});

const RESTORE =
  'put a copy that is whole in its place, without an amends.db-wal and amends.db-shm beside it; or move the file away and start with ' +
  '--storage.accept-empty-history, which forgets cooldowns and caps and asks a human for every recovery for a day';

/** From statfs(2): file systems on which a lock may be believed and yet not hold. */
const REMOTE_FILE_SYSTEMS: ReadonlyMap<number, string> = new Map([
  [0x6969, 'NFS'],
  [0xff534d42, 'CIFS'],
  [0xfe534d42, 'SMB2'],
]);

export const makeFolder = (paths: Paths): void => {
  try {
    mkdirSync(paths.folder, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw new StoreRefused(
      `${paths.folder} cannot be made: ${(error as Error).message}`,
      'name a folder that amends may write to with --storage.path',
      { cause: error },
    );
  }
  const remote = REMOTE_FILE_SYSTEMS.get(statfsSync(paths.folder).type);
  if (remote !== undefined) {
    throw new StoreRefused(
      `${paths.folder} is on ${remote}, where SQLite's locks do not hold`,
      'name a folder on a local disk with --storage.path',
    );
  }
};

/** Held by the kernel until this process ends, however it ends; the file beside it only says by whom. */
export const ownFolder = (paths: Paths, owner: string, now: number): { release(): void } => {
  const lock = new Database(paths.lock, { timeout: 0 });
  try {
    lock.exec('begin exclusive');
  } catch (error) {
    lock.close();
    throw new StoreRefused(
      `${paths.folder} belongs to another process: ${ownerOf(paths)}`,
      'stop that process, or give this one a folder of its own with --storage.path',
      {
        cause: error,
      },
    );
  }
  writeFileSync(
    paths.owner,
    `${JSON.stringify({ owner, pid: process.pid, host: hostname(), since: rfc3339(now) })}\n`,
    { mode: 0o600 },
  );
  return {
    release() {
      if (!lock.open) return;
      rmSync(paths.owner, { force: true });
      lock.close();
    },
  };
};

const ownerOf = (paths: Paths): string => {
  try {
    const said = JSON.parse(readFileSync(paths.owner, 'utf8')) as {
      owner: string;
      pid: number;
      host: string;
      since: string;
    };
    return `${said.owner}, process ${said.pid} on ${said.host} since ${said.since}`;
  } catch {
    return `it did not say which in ${paths.owner}`;
  }
};

/** True when the database must be made anew. Throws StoreRefused, and leaves every file as it is, when that would forget something. */
export const mustCreate = (paths: Paths, acceptEmptyHistory: boolean, migrations: readonly Migration[]): boolean => {
  const existed = existsSync(paths.marker);
  if (existsSync(paths.database)) {
    if (statSync(paths.database).size === 0 && !existed) return true;
    refuseDamaged(paths, existed, migrations);
    return false;
  }
  if (existed && !acceptEmptyHistory) {
    throw new StoreRefused(`${paths.database} is missing, and ${paths.marker} says that there was one`, RESTORE);
  }
  return true;
};

/** Read-only, so that the look changes nothing: closing a writing connection would write the log back into a damaged file. */
const refuseDamaged = (paths: Paths, existed: boolean, migrations: readonly Migration[]): void => {
  const damaged = (problem: string, cause?: unknown): StoreRefused =>
    new StoreRefused(`${paths.database} is damaged: ${problem}`, RESTORE, cause === undefined ? {} : { cause });
  if (statSync(paths.database).size === 0) throw damaged('it is empty');
  let database: Database.Database | null = null;
  try {
    database = new Database(paths.database, { readonly: true, fileMustExist: true, timeout: 200 });
    const problems = database.pragma('quick_check(5)') as Array<{ quick_check: string }>;
    if (problems.length !== 1 || problems[0]?.quick_check !== 'ok')
      throw damaged(problems.map((row) => row.quick_check).join('; '));
    refuseNewer(database, paths.database, migrations);
    const ours = database.pragma('application_id', { simple: true }) === APPLICATION_ID && schemaVersion(database) > 0;
    if (existed && !ours) throw damaged('it holds no database of amends');
    if (!existed && !ours && database.prepare('select 1 from sqlite_master').get() !== undefined) {
      throw new StoreRefused(
        `${paths.database} is a database of something else`,
        'name another folder with --storage.path',
      );
    }
  } catch (error) {
    throw error instanceof StoreRefused ? error : damaged((error as Error).message, error);
  } finally {
    database?.close();
  }
};

/** What is left of a lost database must not be read into a new one. */
export const setRemainsAside = (paths: Paths, now: number): void => {
  for (const suffix of ['-wal', '-shm', '-journal']) {
    const remains = `${paths.database}${suffix}`;
    if (existsSync(remains)) renameSync(remains, `${remains}.lost-${now}`);
  }
};

/** Once a database has been made, its absence is a loss. */
export const markCreated = (paths: Paths, now: number): void => {
  if (existsSync(paths.marker)) return;
  const marker = openSync(paths.marker, 'w', 0o600);
  writeSync(
    marker,
    `amends.db was made here on ${rfc3339(now)}. Without it amends does not start: see --storage.accept-empty-history.\n`,
  );
  fsyncSync(marker);
  closeSync(marker);
  const folder = openSync(paths.folder, 'r');
  fsyncSync(folder);
  closeSync(folder);
};

/** Bytes on disk, the write-ahead log included. */
export const bytesOf = (paths: Paths): number =>
  [paths.database, `${paths.database}-wal`].reduce(
    (sum, file) => sum + (statSync(file, { throwIfNoEntry: false })?.size ?? 0),
    0,
  );
