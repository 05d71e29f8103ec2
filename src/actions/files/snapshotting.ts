// Copies of a folder that prove themselves: each file with its checksum in a manifest, read back before the copy counts,
// and again before it is restored. For worker threads.
import {
  chmodSync,
  chownSync,
  closeSync,
  constants,
  fstatSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  readdirSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeSync,
} from 'node:fs';
import { createHash } from 'node:crypto';
import { basename, dirname, join } from 'node:path';
import { ActionError } from '../../base/failure.ts';
import { pids } from '../kernel.ts';
import { stamp } from '../sqlite/backups.ts';
import { ensureFolder, needSpace } from '../sqlite/files.ts';
import { syncFolder } from '../sqlite/opening.ts';
import { below, close, codeOf, eachName, openBelow, openFolder, sameMount, statBelow, whereIs } from './walking.ts';
import type { Folder } from './walking.ts';

const CHUNK = 1024 * 1024;
const MANIFEST = 'manifest.json';

type Entry = {
  readonly path: string;
  readonly type: 'file' | 'folder' | 'link';
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtime: number;
  readonly size: number;
  /** Of a file its checksum, of a link where it leads, else empty. */
  readonly content: string;
};
type Manifest = { readonly version: 1; readonly of: string; readonly at: number; readonly entries: readonly Entry[] };

export type Figures = { readonly files: number; readonly bytes: number };
const figuresOf = (entries: readonly Entry[]): Figures => {
  const files = entries.filter((entry) => entry.type === 'file');
  return { files: files.length, bytes: files.reduce((sum, entry) => sum + entry.size, 0) };
};

/** Copies an open file to a new one, on disk when this returns; its checksum and how much it was. */
const copyOpen = (source: number, to: string): { readonly sum: string; readonly size: number } => {
  const target = openSync(to, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, 0o600);
  try {
    const hash = createHash('sha256');
    const chunk = Buffer.allocUnsafe(CHUNK);
    let size = 0;
    for (let read = readSync(source, chunk); read > 0; read = readSync(source, chunk)) {
      for (let written = 0; written < read;) written += writeSync(target, chunk, written, read - written);
      hash.update(chunk.subarray(0, read));
      size += read;
    }
    fsyncSync(target);
    return { sum: hash.digest('hex'), size };
  } finally {
    closeSync(target);
  }
};

type Copy = {
  readonly root: Folder;
  readonly to: string;
  readonly maxBytes: number;
  readonly entries: Entry[];
  bytes: number;
  skipped: number;
};

const copyFolder = (folder: Folder, at: string, copy: Copy): void => {
  eachName(folder, (raw) => {
    const name = raw.toString('utf8');
    if (!Buffer.from(name).equals(raw))
      throw new ActionError('permanent', `a name in ${whereIs(folder.fd)} is no text; mend: rename it, then try again`);
    const path = at === '' ? name : `${at}/${name}`;
    const stat = statBelow(folder, raw);
    const known = {
      path,
      mode: Number(stat.mode & 0o7777n),
      uid: Number(stat.uid),
      gid: Number(stat.gid),
      mtime: Number(stat.mtimeMs),
    };
    const to = join(copy.to, path);
    if (stat.isSymbolicLink()) {
      const content = readlinkSync(below(folder, raw), 'utf8');
      symlinkSync(content, to);
      copy.entries.push({ ...known, type: 'link', size: 0, content });
    } else if (stat.isDirectory()) {
      const inner = openBelow(folder, raw);
      try {
        if (!sameMount(copy.root, inner))
          throw new ActionError('permanent', `${whereIs(inner.fd)} is another mount, which a snapshot does not hold`);
        mkdirSync(to, { mode: 0o700 });
        copy.entries.push({ ...known, type: 'folder', size: 0, content: '' });
        copyFolder(inner, path, copy);
      } finally {
        close(inner);
      }
    } else if (stat.isFile()) {
      copy.bytes += Number(stat.size);
      if (copy.bytes > copy.maxBytes)
        throw new ActionError('permanent', `there are more than max_bytes (${copy.maxBytes}); nothing was kept`);
      const source = openSync(below(folder, raw), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
      try {
        const { sum, size } = copyOpen(source, to);
        const after = fstatSync(source, { bigint: true });
        if (after.mtimeNs !== stat.mtimeNs || Number(after.size) !== size)
          throw new ActionError('retryable', `${path} changes while it is copied; mend: stop its writer first`);
        copy.entries.push({ ...known, type: 'file', size, content: sum });
      } finally {
        closeSync(source);
      }
    } else copy.skipped += 1;
  });
};

export const snapshotName = (path: string, at: number): string => `${basename(path)}-${stamp(at)}.snapshot`;

/** Newest first; the name holds the time. */
export const listSnapshots = (snapshots: string, path: string): readonly string[] => {
  const shape = /^-\d{8}T\d{9}Z\.snapshot$/;
  try {
    return readdirSync(snapshots)
      .filter((name) => name.startsWith(basename(path)) && shape.test(name.slice(basename(path).length)))
      .toSorted()
      .toReversed();
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return [];
    throw error;
  }
};

const sumOf = (path: string): { readonly sum: string; readonly size: number } => {
  const descriptor = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const hash = createHash('sha256');
    const chunk = Buffer.allocUnsafe(CHUNK);
    let size = 0;
    for (let read = readSync(descriptor, chunk); read > 0; read = readSync(descriptor, chunk)) {
      hash.update(chunk.subarray(0, read));
      size += read;
    }
    return { sum: hash.digest('hex'), size };
  } finally {
    closeSync(descriptor);
  }
};

const plain = (path: string): boolean =>
  path !== '' && path.split('/').every((part) => part !== '' && part !== '.' && part !== '..' && !part.includes('\0'));

const readManifest = (snapshot: string): Manifest => {
  const text = readFileSync(join(snapshot, MANIFEST), 'utf8');
  const [sum, ...rest] = text.split('\n');
  const body = rest.join('\n');
  if (createHash('sha256').update(body).digest('hex') !== sum) throw new Error('its manifest is not as it was written');
  return JSON.parse(body) as Manifest;
};

/** Why a tree is not what a manifest says; null when it is, to the last byte. */
const differs = (tree: string, entries: readonly Entry[]): string | null => {
  for (const entry of entries) {
    if (!plain(entry.path)) return `it names ${JSON.stringify(entry.path)}`;
    const path = join(tree, entry.path);
    try {
      const stat = lstatSync(path);
      if (entry.type === 'folder' && !stat.isDirectory()) return `${entry.path} is no folder`;
      if (entry.type === 'link' && (!stat.isSymbolicLink() || readlinkSync(path) !== entry.content))
        return `${entry.path} leads elsewhere`;
      if (entry.type !== 'file') continue;
      const { sum, size } = sumOf(path);
      if (size !== entry.size || sum !== entry.content) return `${entry.path} is not what was copied`;
    } catch (error) {
      return `${entry.path} cannot be read (${codeOf(error)})`;
    }
  }
  return null;
};

/** Why a snapshot may not be restored, or null. One without a file holds nothing that could take the place of anything. */
export const unsoundSnapshot = (snapshot: string): string | null => {
  try {
    const { entries } = readManifest(snapshot);
    if (figuresOf(entries).bytes === 0) return 'it is empty';
    return differs(join(snapshot, 'files'), entries);
  } catch (error) {
    return `its manifest cannot be used: ${(error as Error).message}`;
  }
};

export type SnapshotInput = {
  readonly path: string;
  readonly snapshots: string;
  readonly at: number;
  readonly keep: number;
  readonly maxBytes: number;
};
export type SnapshotReport = Figures & {
  readonly snapshot: string;
  readonly skipped: number;
  readonly removed: readonly string[];
};

export const makeSnapshot = (input: SnapshotInput): SnapshotReport => {
  ensureFolder(input.snapshots);
  const partial = join(input.snapshots, `.${basename(input.path)}.partial`);
  rmSync(partial, { recursive: true, force: true });
  let root: Folder;
  try {
    root = openFolder(Buffer.from(input.path));
  } catch (error) {
    throw new ActionError(
      'permanent',
      `${input.path} cannot be opened as a folder without following links (${codeOf(error)})`,
    );
  }
  const copy: Copy = { root, to: join(partial, 'files'), maxBytes: input.maxBytes, entries: [], bytes: 0, skipped: 0 };
  try {
    mkdirSync(copy.to, { recursive: true, mode: 0o700 });
    copyFolder(root, '', copy);
    const figures = figuresOf(copy.entries);
    if (figures.bytes === 0)
      throw new ActionError('permanent', `${input.path} holds no byte: an empty snapshot could save nothing`);
    const body = JSON.stringify({ version: 1, of: input.path, at: input.at, entries: copy.entries } satisfies Manifest);
    const manifest = openSync(join(partial, MANIFEST), 'wx', 0o600);
    writeSync(manifest, `${createHash('sha256').update(body).digest('hex')}\n${body}`);
    fsyncSync(manifest);
    closeSync(manifest);
    const reason = unsoundSnapshot(partial);
    if (reason !== null)
      throw new ActionError('retryable', `the snapshot does not read back as it was written: ${reason}`);
    const snapshot = join(input.snapshots, snapshotName(input.path, input.at));
    syncFolder(partial);
    renameSync(partial, snapshot);
    syncFolder(input.snapshots);
    const removed = listSnapshots(input.snapshots, input.path).slice(input.keep);
    for (const name of removed) rmSync(join(input.snapshots, name), { recursive: true, force: true });
    return { ...figures, snapshot, skipped: copy.skipped, removed };
  } catch (error) {
    rmSync(partial, { recursive: true, force: true });
    throw error;
  } finally {
    close(root);
  }
};

/** Processes that have something below `path` open; they would go on with what is replaced. */
const openBy = (path: string): readonly number[] =>
  pids().filter((pid) => {
    if (pid === process.pid) return false;
    try {
      return readdirSync(`/proc/${pid}/fd`).some((name) => {
        try {
          return readlinkSync(`/proc/${pid}/fd/${name}`).startsWith(`${path}/`);
        } catch {
          return false;
        }
      });
    } catch {
      return false;
    }
  });

export type RestoreInput = {
  readonly path: string;
  readonly snapshots: string;
  readonly at: number;
  readonly allowOpen: boolean;
};
export type Prepared = Figures & {
  readonly path: string;
  readonly fresh: string;
  readonly aside: string;
  readonly from: string;
  readonly skipped: ReadonlyArray<{ readonly path: string; readonly reason: string }>;
};

const build = (from: string, fresh: string, entries: readonly Entry[]): void => {
  mkdirSync(fresh, { mode: 0o700 });
  for (const entry of entries) {
    const to = join(fresh, entry.path);
    if (entry.type === 'folder') mkdirSync(to, { mode: 0o700 });
    else if (entry.type === 'link') symlinkSync(entry.content, to);
    else {
      const source = openSync(join(from, entry.path), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
      try {
        copyOpen(source, to);
      } finally {
        closeSync(source);
      }
    }
  }
  // Inner ones first, since writing into a folder changes its time.
  for (const entry of entries.toReversed()) {
    if (entry.type === 'link') continue;
    const to = join(fresh, entry.path);
    if (process.getuid?.() === 0) chownSync(to, entry.uid, entry.gid);
    chmodSync(to, entry.mode);
    utimesSync(to, entry.mtime / 1_000, entry.mtime / 1_000);
  }
};

/** Everything that has no effect on the folder: the newest snapshot that passes its check is built anew beside it. */
export const prepareRestore = (input: RestoreInput): Prepared => {
  const holders = openBy(input.path);
  if (holders.length > 0 && !input.allowOpen)
    throw new ActionError(
      'retryable',
      `processes ${holders.slice(0, 10).join(', ')} have files in ${input.path} open and would go on with the old ones; mend: stop them first, or say \`allow_open: true\` and restart them after`,
    );
  const skipped: Array<{ path: string; reason: string }> = [];
  const fresh = join(dirname(input.path), `.${basename(input.path)}.restoring`);
  for (const name of listSnapshots(input.snapshots, input.path)) {
    const from = join(input.snapshots, name);
    const reason = unsoundSnapshot(from);
    if (reason !== null) {
      skipped.push({ path: from, reason });
      continue;
    }
    const { entries } = readManifest(from);
    const figures = figuresOf(entries);
    rmSync(fresh, { recursive: true, force: true });
    needSpace(dirname(input.path), figures.bytes);
    build(join(from, 'files'), fresh, entries);
    const wrong = differs(fresh, entries);
    if (wrong !== null) throw new ActionError('retryable', `the copy of ${from} is not what it should be: ${wrong}`);
    takeOverFolder(fresh, input.path);
    return { ...figures, path: input.path, fresh, aside: `${input.path}.replaced-${stamp(input.at)}`, from, skipped };
  }
  throw new ActionError(
    'permanent',
    `no snapshot of ${input.path} in ${input.snapshots} can be restored: ${skipped.length === 0 ? 'none is there' : `none of ${skipped.length} passes its check`}`,
    { outputs: { restored_from: '', skipped_snapshots: skipped.slice(0, 20) } },
  );
};

/** Owner and mode of the folder itself, which its snapshot does not hold. */
const takeOverFolder = (fresh: string, replaced: string): void => {
  try {
    const stat = lstatSync(replaced);
    if (process.getuid?.() === 0) chownSync(fresh, stat.uid, stat.gid);
    chmodSync(fresh, stat.mode & 0o7777);
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error;
    chmodSync(fresh, 0o750);
  }
};

/** The old folder is kept whole under another name; killed between the two renames, a second try finds none and goes on. */
export const performRestore = ({ path, fresh, aside }: Prepared): boolean => {
  let kept = true;
  try {
    renameSync(path, aside);
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error;
    kept = false;
  }
  renameSync(fresh, path);
  syncFolder(dirname(path));
  return kept;
};
