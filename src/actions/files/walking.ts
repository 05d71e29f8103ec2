// Walks folders by descriptor: each is opened below the one before it and never by a path a second time, so a folder that
// is swapped for a link meanwhile leads nowhere. Node has no openat(2); /proc/self/fd/<n>/<name> is the same thing. For
// worker threads.
import {
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  openSync,
  opendirSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  statSync,
} from 'node:fs';
import type { BigIntStats, Dir } from 'node:fs';
import { pids } from '../kernel.ts';

const FOLDER = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/** An open folder. Names are bytes: a file may be called anything but `/` and NUL. */
export type Folder = {
  readonly fd: number;
  readonly device: bigint;
  readonly inode: bigint;
  /** Of the mount it was reached through, which tells bind mounts of one file system apart; null where /proc has none. */
  readonly mount: string | null;
  /** As the kernel names it now: it changes when the folder is moved. */
  readonly where: string;
};

export const codeOf = (error: unknown): string => (error as NodeJS.ErrnoException).code ?? 'unknown';

/** The entry `name` of an open folder, as a path that follows nothing on its way. */
export const below = (folder: { readonly fd: number }, name: Buffer): Buffer =>
  Buffer.concat([Buffer.from(`/proc/self/fd/${folder.fd}/`), name]);

export const whereIs = (fd: number): string =>
  readlinkSync(`/proc/self/fd/${fd}`, { encoding: 'buffer' }).toString('latin1');

const describe = (fd: number): Folder => {
  try {
    const stat = fstatSync(fd, { bigint: true });
    const info = readFileSync(`/proc/self/fdinfo/${fd}`, 'latin1');
    const mount = /^mnt_id:\s*(\d+)$/m.exec(info)?.[1] ?? null;
    return { fd, device: stat.dev, inode: stat.ino, mount, where: whereIs(fd) };
  } catch (error) {
    closeSync(fd);
    throw error;
  }
};

/** Throws ELOOP or ENOTDIR when it is not a folder any more. */
export const openBelow = (folder: Folder, name: Buffer): Folder => describe(openSync(below(folder, name), FOLDER));

export const close = (folder: Folder): void => closeSync(folder.fd);

/** Every folder on the way is opened without following links; `path` is absolute and plain. */
export const openFolder = (path: Buffer): Folder => {
  let at = describe(openSync('/', FOLDER));
  for (const part of path.toString('latin1').split('/').filter(Boolean)) {
    const above = at;
    try {
      at = openBelow(above, Buffer.from(part, 'latin1'));
    } finally {
      close(above);
    }
  }
  return at;
};

/** The folder below `root` that these names lead to; `root` stays open. */
export const descend = (root: Folder, names: readonly Buffer[]): Folder => {
  let at = root;
  for (const name of names) {
    const above = at;
    try {
      at = openBelow(above, name);
    } finally {
      if (above !== root) close(above);
    }
  }
  return at === root ? describe(openSync(`/proc/self/fd/${root.fd}`, FOLDER & ~constants.O_NOFOLLOW)) : at;
};

export const sameMount = (left: Folder, right: Folder): boolean =>
  left.device === right.device && left.mount === right.mount;

export const statBelow = (folder: { readonly fd: number }, name: Buffer): BigIntStats =>
  lstatSync(below(folder, name), { bigint: true });

/** The names in an open folder, a few at a time: a folder of a million files is no reason to hold a million names. */
export const eachName = (folder: Folder, visit: (name: Buffer) => void): void => {
  const options = { encoding: 'buffer' as BufferEncoding, bufferSize: 512 };
  const entries: Dir = opendirSync(`/proc/self/fd/${folder.fd}`, options);
  try {
    for (let entry = entries.readSync(); entry !== null; entry = entries.readSync())
      visit(entry.name as unknown as Buffer);
  } finally {
    entries.closeSync();
  }
};

/** Device and inode as one text. */
export const keyOf = (stat: { readonly dev: bigint; readonly ino: bigint }): string => `${stat.dev}:${stat.ino}`;

/** All plain files that a process has open. `unseen` counts the processes that may not be looked into. */
export const openFiles = (): { readonly keys: ReadonlySet<string>; readonly unseen: number } => {
  const keys = new Set<string>();
  let unseen = 0;
  for (const pid of pids()) {
    let names: readonly string[];
    try {
      names = readdirSync(`/proc/${pid}/fd`);
    } catch (error) {
      if (codeOf(error) === 'EACCES' || codeOf(error) === 'EPERM') unseen += 1;
      continue;
    }
    for (const name of names) {
      try {
        const stat = statSync(`/proc/${pid}/fd/${name}`, { bigint: true });
        if (stat.isFile()) keys.add(keyOf(stat));
      } catch {
        // Closed in between.
      }
    }
  }
  return { keys, unseen };
};

/** Where the plain files are that this process itself has open, but for its own input and output. */
export const ownOpenFiles = (): readonly string[] =>
  readdirSync('/proc/self/fd').flatMap((name) => {
    try {
      return Number(name) > 2 && statSync(`/proc/self/fd/${name}`).isFile() ? [whereIs(Number(name))] : [];
    } catch {
      return [];
    }
  });
