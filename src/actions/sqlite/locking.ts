// Who holds a SQLite file and how: the kernel's lock table read with SQLite's lock bytes in mind. For worker threads.
import { lstatSync } from 'node:fs';
import { describeProcess, fileKey, knowsLocks, locksOn, openFilesOf, pids, readLocks } from '../kernel.ts';
import type { KernelLock, ProcessInfo } from '../kernel.ts';
import { explained, isBusy, openForWriting } from './opening.ts';
import type { SqliteFile } from './opening.ts';

// https://sqlite.org/src: os_unix.c and wal.c fix these bytes for all versions of the file format.
const PENDING = 0x4000_0000;
const SHARED_FIRST = PENDING + 2;
const SHARED_LAST = SHARED_FIRST + 509;
const WAL_WRITE = 120;
const WAL_CHECKPOINT = 121;
const WAL_RECOVER = 122;
const WAL_READ_FIRST = 123;
const WAL_READ_LAST = 127;

/** `write`: it holds the lock that every writer needs; `read`: it reads now; `open`: it has the file open and nothing more. */
export type Access = 'write' | 'read' | 'open';
const RANK: Readonly<Record<Access, number>> = { open: 0, read: 1, write: 2 };

const touches = (lock: KernelLock, first: number, last: number = first): boolean =>
  lock.start <= last && lock.end >= first;

const accessOnDatabase = (lock: KernelLock, walMode: boolean): Access => {
  const writes = lock.access === 'WRITE';
  // Pending, reserved (the byte after it) and exclusive (all of the shared range).
  if (writes && touches(lock, PENDING, SHARED_LAST)) return 'write';
  // In WAL mode every connection keeps a shared lock on the database for as long as it is open.
  return !walMode && touches(lock, SHARED_FIRST, SHARED_LAST) ? 'read' : 'open';
};

const accessOnSharedMemory = (lock: KernelLock): Access => {
  const writes = lock.access === 'WRITE';
  if (writes && (touches(lock, WAL_WRITE) || touches(lock, WAL_RECOVER))) return 'write';
  return touches(lock, WAL_CHECKPOINT) || touches(lock, WAL_READ_FIRST, WAL_READ_LAST) ? 'read' : 'open';
};

export type Holder = ProcessInfo & {
  readonly access: Access;
  /** It keeps others from writing: a writer does, and without a WAL a reader too. */
  readonly blocking: boolean;
};
export type Holders = {
  readonly walMode: boolean;
  /** False when this kernel shows no lock table; an empty list then says nothing. */
  readonly known: boolean;
  readonly holders: readonly Holder[];
};

/** Every process with the database, its -wal or its -shm open or locked; this one is left out. */
export const findHolders = ({ path }: { readonly path: string }): Holders => {
  const locking = findLocking({ path });
  const present = ['', '-shm', '-wal'].map((suffix) => fileKey(`${path}${suffix}`)).filter((file) => file !== null);
  if (present.length === 0) return locking;
  const known = new Set(locking.holders.map(({ pid }) => pid));
  const others = pids().filter((pid) => pid !== process.pid && !known.has(pid) && openFilesOf(pid, present).length > 0);
  return {
    ...locking,
    holders: sorted([...locking.holders, ...others.flatMap((pid) => holderOf(pid, 'open', false))]),
  };
};

/** The same without those that have it open and no lock on it: the lock table is one file, open files are hundreds. */
export const findLocking = ({ path }: { readonly path: string }): Holders => {
  const [database, sharedMemory] = [fileKey(path), fileKey(`${path}-shm`)];
  const walMode = sharedMemory !== null;
  const found = new Map<number, Access>();
  const note = (pid: number, access: Access): void => {
    const known = found.get(pid);
    if (pid > 0 && pid !== process.pid && (known === undefined || RANK[access] > RANK[known])) found.set(pid, access);
  };
  const locks = readLocks();
  if (database !== null) for (const lock of locksOn(database, locks)) note(lock.pid, accessOnDatabase(lock, walMode));
  if (sharedMemory !== null)
    for (const lock of locksOn(sharedMemory, locks)) note(lock.pid, accessOnSharedMemory(lock));
  return {
    walMode,
    known: knowsLocks(),
    holders: sorted([...found].flatMap(([pid, access]) => holderOf(pid, access, walMode))),
  };
};

/** Nobody when it is gone. */
const holderOf = (pid: number, access: Access, walMode: boolean): readonly Holder[] => {
  const info = describeProcess(pid);
  return info === null ? [] : [{ ...info, access, blocking: access === 'write' || (access === 'read' && !walMode) }];
};

const sorted = (holders: readonly Holder[]): readonly Holder[] =>
  holders.toSorted((left, right) => RANK[right.access] - RANK[left.access] || left.pid - right.pid);

/** Which process, in a form that outlives its pid. */
export const holderKey = (holder: Pick<Holder, 'pid' | 'startTicks'>): string => `${holder.pid}@${holder.startTicks}`;

/** Another text once anybody has written to the database: whoever holds the lock then has not held it all the while. */
export const lastWritten = ({ path }: { readonly path: string }): string =>
  ['', '-wal', '-journal']
    .map((suffix) => {
      const stat = lstatSync(`${path}${suffix}`, { bigint: true, throwIfNoEntry: false });
      return stat === undefined ? '' : `${stat.ino}:${stat.size}:${stat.mtimeNs}`;
    })
    .join(' ');

/** Waits up to `busyMs` for the write lock and gives it back at once; null when it was to be had, else SQLite's words. */
export const tryWriteLock = ({
  path,
  busyMs,
  exclusive,
}: {
  readonly path: string;
  readonly busyMs: number;
  readonly exclusive: boolean;
}): string | null => {
  let file: SqliteFile | null = null;
  try {
    file = openForWriting(path, busyMs);
    file.exec(exclusive ? 'BEGIN EXCLUSIVE' : 'BEGIN IMMEDIATE');
    file.exec('ROLLBACK');
    return null;
  } catch (error) {
    if (isBusy(error)) return (error as Error).message;
    throw explained(error, path);
  } finally {
    file?.close();
  }
};

/** What one look at the lock says: who holds it, and what SQLite answers a writer that does not wait. */
export const lookAtLock = ({ path }: { readonly path: string }): Holders & { readonly error: string | null } => {
  const seen = findHolders({ path });
  // Asked only when somebody holds it: then ours is not the last connection, whose closing would clear the WAL away.
  const error = seen.holders.some((holder) => holder.access === 'write')
    ? tryWriteLock({ path, busyMs: 0, exclusive: false })
    : null;
  return { ...seen, error };
};
