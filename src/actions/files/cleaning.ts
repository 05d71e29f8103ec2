// Lists old files and then deletes exactly that list. What a list says is looked at again right before each deletion, and
// a file is first moved aside under a name that nobody knows: so what is deleted is the file that was looked at, even if
// another is put in its place at that very moment. For worker threads.
import { accessSync, constants, linkSync, renameSync, unlinkSync } from 'node:fs';
import type { BigIntStats } from 'node:fs';
import { randomBytes } from 'node:crypto';
import { ActionError } from '../../base/failure.ts';
import {
  below,
  close,
  codeOf,
  descend,
  eachName,
  keyOf,
  openBelow,
  openFiles,
  openFolder,
  ownOpenFiles,
  sameMount,
  statBelow,
  whereIs,
} from './walking.ts';
import type { Folder } from './walking.ts';

/** One descriptor a level is held while a tree is walked. */
const DEEPEST = 128;
const SHOWN = 20;

export type ListInput = {
  /** Real paths of folders. */
  readonly roots: readonly string[];
  /** Files changed at or after this stay. */
  readonly before: number;
  readonly maxFiles: number;
  readonly maxBytes: number;
};

/** Why files that were seen stay, by count. */
export type Kept = {
  /** Changed too lately. */
  young: number;
  /** Have a second name elsewhere, so that deleting one frees nothing and the other may matter. */
  linked: number;
  /** Open in a process, so that deleting them frees nothing before it ends. */
  open: number;
  /** Links, sockets, pipes and devices. */
  not_plain: number;
  /** Folders on another mount. */
  other_mounts: number;
  /** Others' files that this user may not delete. */
  not_permitted: number;
  /** Folders that were swapped while we looked, or too deep. */
  not_entered: number;
};

export type Listing = {
  readonly files: number;
  readonly bytes: number;
  readonly kept: Kept;
  readonly first: readonly string[];
  readonly missing: readonly string[];
  /** Processes whose open files could not be seen. */
  readonly unseen: number;
  /** The list itself, opaque to whoever carries it from one call to the next. */
  readonly list: Uint8Array;
};

type Entry = {
  readonly name: string;
  readonly key: string;
  readonly changed: string;
  readonly bytes: number;
};
type Place = {
  readonly root: string;
  /** Names from the root to the folder, as latin1. */
  readonly names: readonly string[];
  readonly key: string;
  readonly files: readonly Entry[];
};

const raw = (text: string): Buffer => Buffer.from(text, 'latin1');
const shown = (latin1: string): string => raw(latin1).toString('utf8');
/** What the file system gets back; a sparse file gives back less than its size. */
const allocated = (stat: BigIntStats): number => Number(stat.blocks) * 512;

type Walk = {
  readonly input: ListInput;
  readonly kept: Kept;
  readonly seen: Set<string>;
  readonly places: Place[];
  readonly open: ReadonlySet<string>;
  files: number;
  bytes: number;
};

/** Whether this user could delete it: in a sticky folder such as /tmp only the owner of a file can. */
const mayDelete = (folder: BigIntStats, file: BigIntStats): boolean => {
  const user = BigInt(process.geteuid?.() ?? 0);
  return user === 0n || (folder.mode & 0o1000n) === 0n || file.uid === user || folder.uid === user;
};

const writable = (folder: Folder): boolean => {
  try {
    accessSync(`/proc/self/fd/${folder.fd}`, constants.W_OK | constants.X_OK);
    return true;
  } catch {
    return false;
  }
};

const reasonToKeep = (stat: BigIntStats, walk: Walk): keyof Kept | null => {
  if (!stat.isFile()) return 'not_plain';
  if (stat.mtimeNs >= BigInt(walk.input.before) * 1_000_000n) return 'young';
  if (stat.nlink !== 1n) return 'linked';
  return walk.open.has(keyOf(stat)) ? 'open' : null;
};

const listFolder = (root: Folder, folder: Folder, names: readonly string[], walk: Walk): void => {
  const key = `${folder.device}:${folder.inode}`;
  if (walk.seen.has(key)) return;
  walk.seen.add(key);
  const own = statBelow(folder, raw('.'));
  const mine = writable(folder);
  const files: Entry[] = [];
  const folders: Buffer[] = [];
  eachName(folder, (name) => {
    let stat: BigIntStats;
    try {
      stat = statBelow(folder, name);
    } catch (error) {
      // Gone in between.
      if (codeOf(error) === 'ENOENT') return;
      if (codeOf(error) !== 'EACCES') throw error;
      walk.kept.not_permitted += 1;
      return;
    }
    if (stat.isDirectory()) {
      if (stat.dev === root.device) folders.push(name);
      else walk.kept.other_mounts += 1;
      return;
    }
    const reason = reasonToKeep(stat, walk) ?? (mine && mayDelete(own, stat) ? null : 'not_permitted');
    if (reason !== null) {
      walk.kept[reason] += 1;
      return;
    }
    const bytes = allocated(stat);
    walk.files += 1;
    walk.bytes += bytes;
    // Beyond the limits nothing will be deleted: they are only counted.
    if (walk.files <= walk.input.maxFiles)
      files.push({ name: name.toString('latin1'), key: keyOf(stat), changed: String(stat.mtimeNs), bytes });
  });
  if (files.length > 0) walk.places.push({ root: root.where, names, key, files });
  for (const name of folders) {
    let inner: Folder;
    try {
      if (names.length >= DEEPEST) throw Object.assign(new Error('too deep'), { code: 'ELOOP' });
      inner = openBelow(folder, name);
    } catch (error) {
      if (!['ELOOP', 'ENOTDIR', 'ENOENT', 'EACCES'].includes(codeOf(error))) throw error;
      walk.kept.not_entered += 1;
      continue;
    }
    try {
      if (sameMount(root, inner)) listFolder(root, inner, [...names, name.toString('latin1')], walk);
      else walk.kept.other_mounts += 1;
    } finally {
      close(inner);
    }
  }
};

const listRoot = (path: string, walk: Walk): boolean => {
  let root: Folder;
  try {
    root = openFolder(Buffer.from(path));
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return false;
    throw new ActionError(
      'permanent',
      `${path} cannot be opened as a folder without following links (${codeOf(error)})`,
    );
  }
  try {
    const ours = ownOpenFiles().find((file) => file.startsWith(`${root.where}/`));
    if (ours !== undefined)
      throw new ActionError(
        'permanent',
        `${path} holds files of amends itself (${ours}); nothing was deleted; mend: name a folder without them`,
      );
    listFolder(root, root, [], walk);
  } finally {
    close(root);
  }
  return true;
};

/** Everything that has no effect. */
export const listOld = (input: ListInput): Listing => {
  const { keys, unseen } = openFiles();
  const kept = { young: 0, linked: 0, open: 0, not_plain: 0, other_mounts: 0, not_permitted: 0, not_entered: 0 };
  const walk: Walk = { input, kept, seen: new Set(), places: [], open: keys, files: 0, bytes: 0 };
  const missing = input.roots.filter((root) => !listRoot(root, walk));
  if (missing.length === input.roots.length)
    throw new ActionError('permanent', `there is nothing to clean: ${missing.join(', ')} does not exist`);
  const first = walk.places
    .flatMap(({ root, names, files }) => files.slice(0, SHOWN).map(({ name }) => [root, ...names, name].join('/')))
    .slice(0, SHOWN);
  return {
    files: walk.files,
    bytes: walk.bytes,
    kept: walk.kept,
    first: first.map(shown),
    missing,
    unseen,
    list: Buffer.from(JSON.stringify(walk.places), 'latin1'),
  };
};

/** Shared with the caller, so that it knows what was deleted when it calls this off in the middle. */
export type Progress = { readonly files: BigInt64Array; readonly bytes: BigInt64Array };
export const progressIn = (shared: SharedArrayBuffer): Progress => ({
  files: new BigInt64Array(shared, 0, 1),
  bytes: new BigInt64Array(shared, 8, 1),
});
export const PROGRESS_BYTES = 16;

export type RemoveInput = { readonly list: Uint8Array; readonly progress: SharedArrayBuffer };
export type Removal = {
  readonly files: number;
  readonly bytes: number;
  /** Not the file that was listed any more, or gone, or open by now: left as it is. */
  readonly changed: number;
  readonly failed: number;
  readonly failures: readonly string[];
};

const isListed = (stat: BigIntStats, entry: Entry): boolean =>
  stat.isFile() && stat.nlink === 1n && keyOf(stat) === entry.key && String(stat.mtimeNs) === entry.changed;

const lookAgain = (folder: Folder, name: Buffer): BigIntStats | null => {
  try {
    return statBelow(folder, name);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return null;
    throw error;
  }
};

/** Something else had come into its place: it gets its name back, unless that has been taken again. */
const putBack = (folder: Folder, aside: Buffer, name: Buffer): void => {
  try {
    // Unlike a rename, a link never replaces what is there; folders and some file systems know no second names.
    linkSync(below(folder, aside), below(folder, name));
    unlinkSync(below(folder, aside));
  } catch (error) {
    if (codeOf(error) !== 'EEXIST' && lookAgain(folder, name) === null)
      renameSync(below(folder, aside), below(folder, name));
    else throw Object.assign(new Error('the name is taken'), { code: `is kept as ${aside.toString()}` });
  }
};

/** True: it is gone. False: it is not what was listed, and stays. */
const removeOne = (folder: Folder, entry: Entry): boolean => {
  const name = raw(entry.name);
  const before = lookAgain(folder, name);
  if (before === null || !isListed(before, entry)) return false;
  const aside = raw(`.amends-${randomBytes(12).toString('hex')}`);
  try {
    renameSync(below(folder, name), below(folder, aside));
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return false;
    // A full disk may have no room for another name: then it goes under its own, which was looked at just now.
    if (codeOf(error) !== 'ENOSPC' && codeOf(error) !== 'EDQUOT') throw error;
    const again = lookAgain(folder, name);
    if (again === null || !isListed(again, entry)) return false;
    unlinkSync(below(folder, name));
    return true;
  }
  const moved = statBelow(folder, aside);
  if (!isListed(moved, entry)) {
    putBack(folder, aside, name);
    return false;
  }
  unlinkSync(below(folder, aside));
  return true;
};

/** Null when the folder is not where it was listed. */
const reopen = (root: Folder, place: Place): Folder | null => {
  let folder: Folder;
  try {
    folder = descend(root, place.names.map(raw));
  } catch (error) {
    if (['ELOOP', 'ENOTDIR', 'ENOENT'].includes(codeOf(error))) return null;
    throw error;
  }
  if (`${folder.device}:${folder.inode}` === place.key && sameMount(root, folder)) return folder;
  close(folder);
  return null;
};

type Tally = { files: number; bytes: number; changed: number; failed: number; failures: string[] };

const removeIn = (root: Folder, place: Place, open: ReadonlySet<string>, progress: Progress, tally: Tally): void => {
  const folder = reopen(root, place);
  if (folder === null) {
    tally.changed += place.files.length;
    return;
  }
  const where = [root.where, ...place.names].join('/');
  try {
    for (const entry of place.files) {
      try {
        // A folder that was moved away takes its files out of our reach.
        if (open.has(entry.key) || whereIs(folder.fd) !== where || !removeOne(folder, entry)) {
          tally.changed += 1;
          continue;
        }
      } catch (error) {
        tally.failed += 1;
        if (tally.failures.length < SHOWN) tally.failures.push(`${shown(`${where}/${entry.name}`)}: ${codeOf(error)}`);
        continue;
      }
      tally.files += 1;
      tally.bytes += entry.bytes;
      Atomics.store(progress.files, 0, BigInt(tally.files));
      Atomics.store(progress.bytes, 0, BigInt(tally.bytes));
    }
  } finally {
    close(folder);
  }
};

export const removeListed = ({ list, progress }: RemoveInput): Removal => {
  const places = JSON.parse(Buffer.from(list).toString('latin1')) as readonly Place[];
  const { keys } = openFiles();
  const counted = progressIn(progress);
  const tally: Tally = { files: 0, bytes: 0, changed: 0, failed: 0, failures: [] };
  for (const path of new Set(places.map((place) => place.root))) {
    const mine = places.filter((place) => place.root === path);
    let root: Folder;
    try {
      root = openFolder(raw(path));
    } catch (error) {
      if (!['ELOOP', 'ENOTDIR', 'ENOENT'].includes(codeOf(error))) throw error;
      tally.changed += mine.reduce((sum, place) => sum + place.files.length, 0);
      continue;
    }
    try {
      for (const place of mine) removeIn(root, place, keys, counted, tally);
    } finally {
      close(root);
    }
  }
  return tally;
};
