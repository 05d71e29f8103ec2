// Compresses a log and cuts it down to nothing without a moment at which its lines are nowhere: the archive is complete,
// on disk and read back before the log is cut. What a writer adds in the instant between the last look at the log's length
// and the cut is lost, as with logrotate's copytruncate; nothing else is. For worker threads.
import {
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  readSync,
  renameSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { createHash } from 'node:crypto';
import type { Hash } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { ActionError } from '../../base/failure.ts';
import { stamp } from '../sqlite/backups.ts';
import { below, close, codeOf, eachName, openFolder, statBelow } from './walking.ts';
import type { Folder } from './walking.ts';

const CHUNK = 1024 * 1024;
/** A log that grows faster than it is copied is cut after so many rounds. */
const ROUNDS = 20;
const SHOWN = 20;

export type RotateInput = {
  readonly folders: readonly string[];
  /** `*` stands for any characters. */
  readonly names: readonly string[];
  readonly largerThan: number;
  readonly keep: number;
  readonly maxFiles: number;
  readonly at: number;
};
export type Log = { readonly folder: string; readonly name: string; readonly bytes: number };
export type Rotation = {
  readonly archives: readonly string[];
  readonly bytes: number;
  readonly archivedBytes: number;
  /** Old archives beyond `keep`. */
  readonly removed: number;
  readonly failures: readonly string[];
};

export const matches = (name: string, pattern: string): boolean => {
  const [first = '', ...rest] = pattern.split('*');
  if (rest.length === 0) return name === first;
  const last = rest.at(-1) ?? '';
  if (!name.startsWith(first) || !name.endsWith(last) || name.length < first.length + last.length) return false;
  let at = first.length;
  for (const part of rest.slice(0, -1)) {
    const found = name.indexOf(part, at);
    if (found < 0) return false;
    at = found + part.length;
  }
  return at <= name.length - last.length;
};

const partialOf = (name: string): Buffer => Buffer.from(`.${name}.rotating`);

/** Everything that has no effect: plain files with one name, directly in the folders. */
export const listLogs = (input: RotateInput): readonly Log[] => {
  const found: Log[] = [];
  for (const path of input.folders) {
    const folder = openOrNull(path);
    if (folder === null) continue;
    try {
      eachName(folder, (raw) => {
        const name = raw.toString('utf8');
        if (name.startsWith('.') || name.endsWith('.gz') || !Buffer.from(name).equals(raw)) return;
        if (!input.names.some((pattern) => matches(name, pattern))) return;
        const stat = statBelow(folder, raw);
        if (stat.isFile() && stat.nlink === 1n && Number(stat.size) > input.largerThan)
          found.push({ folder: path, name, bytes: Number(stat.size) });
      });
    } finally {
      close(folder);
    }
  }
  return found;
};

const openOrNull = (path: string): Folder | null => {
  try {
    return openFolder(Buffer.from(path));
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return null;
    throw new ActionError(
      'permanent',
      `${path} cannot be opened as a folder without following links (${codeOf(error)})`,
    );
  }
};

/** From `from` to the end of the log as it is now, as one more member of the archive; how far it came. */
const copyFrom = (log: number, from: number, archive: number, hash: Hash): number => {
  const chunk = Buffer.allocUnsafe(CHUNK);
  let at = from;
  for (let read = readSync(log, chunk, 0, CHUNK, at); read > 0; read = readSync(log, chunk, 0, CHUNK, at)) {
    const packed = gzipSync(chunk.subarray(0, read));
    for (let written = 0; written < packed.length;)
      written += writeSync(archive, packed, written, packed.length - written);
    hash.update(packed);
    at += read;
  }
  fsyncSync(archive);
  return at;
};

const hashOf = (descriptor: number): string => {
  const hash = createHash('sha256');
  const chunk = Buffer.allocUnsafe(CHUNK);
  let at = 0;
  for (
    let read = readSync(descriptor, chunk, 0, CHUNK, at);
    read > 0;
    read = readSync(descriptor, chunk, 0, CHUNK, at)
  ) {
    hash.update(chunk.subarray(0, read));
    at += read;
  }
  return hash.digest('hex');
};

const refuse = (message: string): never => {
  throw Object.assign(new Error(message), { code: message });
};

const unlinkIfThere = (folder: Folder, name: Buffer): void => {
  try {
    unlinkSync(below(folder, name));
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error;
  }
};

/** The name and size of the archive. */
const rotateOne = (
  folder: Folder,
  { name }: Log,
  at: number,
): { readonly archive: string; readonly bytes: number; readonly packed: number } => {
  const partial = partialOf(name);
  const archive = `${name}.${stamp(at)}.gz`;
  const log = openSync(
    below(folder, Buffer.from(name)),
    constants.O_RDWR | constants.O_NOFOLLOW | constants.O_NONBLOCK,
  );
  try {
    const stat = fstatSync(log);
    if (!stat.isFile() || stat.nlink !== 1) refuse('is no plain file with one name any more');
    // Of a try that was ended in the middle; runs on one folder come one after the other.
    unlinkIfThere(folder, partial);
    const flags = constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
    const target = openSync(below(folder, partial), flags, 0o600);
    try {
      fchmodSync(target, stat.mode & 0o777);
      if (process.getuid?.() === 0) fchownSync(target, stat.uid, stat.gid);
      const hash = createHash('sha256');
      let copied = copyFrom(log, 0, target, hash);
      if (hashOf(target) !== hash.copy().digest('hex')) refuse('its archive does not read back as it was written');
      renameSync(below(folder, partial), below(folder, Buffer.from(archive)));
      fsyncSync(folder.fd);
      for (let round = 0; round < ROUNDS && fstatSync(log).size > copied; round += 1)
        copied = copyFrom(log, copied, target, hash);
      ftruncateSync(log, 0);
      return { archive, bytes: copied, packed: fstatSync(target).size };
    } catch (error) {
      unlinkIfThere(folder, partial);
      throw error;
    } finally {
      closeSync(target);
    }
  } finally {
    closeSync(log);
  }
};

/** What `stamp` and the compression put behind a log's name. */
const ARCHIVE = /^\.\d{8}T\d{9}Z\.gz$/;

/** Beyond the newest `keep`: their names sort by time. */
const removeOld = (folder: Folder, name: string, keep: number): number => {
  const archives: string[] = [];
  eachName(folder, (raw) => {
    const text = raw.toString('utf8');
    if (text.startsWith(`${name}.`) && ARCHIVE.test(text.slice(name.length))) archives.push(text);
  });
  const old = archives.toSorted().toReversed().slice(keep);
  for (const archive of old)
    if (statBelow(folder, Buffer.from(archive)).isFile()) unlinkSync(below(folder, Buffer.from(archive)));
  return old.length;
};

export const rotateListed = ({
  logs,
  keep,
  at,
}: {
  readonly logs: readonly Log[];
  readonly keep: number;
  readonly at: number;
}): Rotation => {
  const archives: string[] = [];
  const failures: string[] = [];
  let bytes = 0;
  let archivedBytes = 0;
  let removed = 0;
  for (const log of logs) {
    const folder = openOrNull(log.folder);
    if (folder === null) continue;
    try {
      const done = rotateOne(folder, log, at);
      archives.push(`${log.folder}/${done.archive}`);
      bytes += done.bytes;
      archivedBytes += done.packed;
      removed += removeOld(folder, log.name, keep);
    } catch (error) {
      // One that has gone meanwhile was rotated by somebody else.
      if (codeOf(error) !== 'ENOENT') failures.push(`${log.folder}/${log.name}: ${codeOf(error)}`);
    } finally {
      close(folder);
    }
  }
  return { archives: archives.slice(0, SHOWN), bytes, archivedBytes, removed, failures };
};
