// Copies and moves of database files that hold through a crash and never follow a link. For worker threads.
import {
  chmodSync,
  chownSync,
  closeSync,
  constants,
  existsSync,
  fstatSync,
  fsyncSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readSync,
  rmSync,
  statSync,
  statfsSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { ActionError } from '../../base/failure.ts';
import { companions, syncFolder } from './opening.ts';

const CHUNK = 1024 * 1024;

/** A new file with the content of `from`, on disk when this returns. */
export const copyPlainFile = (from: string, to: string): void => {
  const source = openSync(from, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    if (!fstatSync(source).isFile()) throw new ActionError('permanent', `${from} is not a plain file`);
    const target = openSync(
      to,
      constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW,
      0o600,
    );
    try {
      const chunk = Buffer.allocUnsafe(CHUNK);
      for (let read = readSync(source, chunk); read > 0; read = readSync(source, chunk)) {
        for (let written = 0; written < read;) written += writeSync(target, chunk, written, read - written);
      }
      fsyncSync(target);
    } finally {
      closeSync(target);
    }
  } finally {
    closeSync(source);
  }
};

/** The same content under a second name; a copy where the two folders are on different file systems. */
export const keepAs = (from: string, to: string): void => {
  try {
    linkSync(from, to);
  } catch (error) {
    if (!['EXDEV', 'EPERM', 'EMLINK', 'EOPNOTSUPP'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
    copyPlainFile(from, to);
  }
};

/** A file of ours and what SQLite may have put beside it. */
export const removeWithCompanions = (path: string): void => {
  for (const file of [path, ...companions(path)]) rmSync(file, { force: true });
};

export const ensureFolder = (folder: string): void => {
  if (existsSync(folder)) return;
  try {
    mkdirSync(folder, { mode: 0o750 });
  } catch (error) {
    throw new ActionError(
      'permanent',
      `the folder ${folder} is not there and cannot be made; mend: make it, writable for amends`,
      { cause: error },
    );
  }
  syncFolder(dirname(folder));
};

export const needSpace = (folder: string, bytes: number): void => {
  const { bavail, bsize } = statfsSync(folder);
  if (bavail * bsize < bytes)
    throw new ActionError(
      'permanent',
      `${folder} has ${bavail * bsize} bytes free and ${bytes} are needed; mend: make room`,
    );
};

/** Gives a new file the mode and owner of the one it replaces, else of its folder: the application has to be able to write it. */
export const takeOver = (path: string, replaced: string): void => {
  const old = existsSync(replaced) ? lstatSync(replaced) : null;
  const owner = old ?? statSync(dirname(replaced));
  chmodSync(path, old === null ? 0o640 : old.mode & 0o777);
  if (process.getuid?.() === 0) chownSync(path, owner.uid, owner.gid);
};
