// What a snapshot of a ChromaDB is on disk: the server's files as they were, and a manifest with the size and checksum
// of each, written last, so that a snapshot without one was never finished. For worker threads.
import { createHash } from 'node:crypto';
import { closeSync, constants, fstatSync, lstatSync, openSync, readSync, readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { z } from 'zod';
import { ActionError } from '../../base/failure.ts';
import { stamp } from '../sqlite/backups.ts';

export const DATABASE = 'chroma.sqlite3';
export const MANIFEST = 'manifest.json';
const MOST_FILES = 10_000;
const CHUNK = 1024 * 1024;
const LARGEST_MANIFEST = 8 * 1024 * 1024;

const relative = z
  .string()
  .max(512)
  .regex(/^(?!\.{1,2}(?:\/|$))[\w.-]+(?:\/(?!\.{1,2}(?:\/|$))[\w.-]+)*$/);
const manifestSchema = z.strictObject({
  version: z.literal(1),
  /** RFC 3339. */
  at: z.string(),
  /** The folder it was taken of. */
  of: z.string(),
  files: z
    .array(z.strictObject({ path: relative, bytes: z.int().min(0), sha256: z.string().regex(/^[0-9a-f]{64}$/) }))
    .min(1)
    .max(MOST_FILES),
  collections: z.array(z.strictObject({ name: z.string(), documents: z.int().min(0) })),
});
export type Manifest = z.infer<typeof manifestSchema>;

/** `chroma-<UTC time>`: sorts by time. */
export const snapshotName = (folder: string, at: number): string => `${basename(folder)}-${stamp(at)}.snapshot`;

/** Newest first. A folder that is not there holds none. */
export const listSnapshots = (snapshots: string, folder: string): readonly string[] => {
  const prefix = `${basename(folder)}-`;
  try {
    return readdirSync(snapshots)
      .filter((name) => name.startsWith(prefix) && /^\d{8}T\d{9}Z\.snapshot$/.test(name.slice(prefix.length)))
      .toSorted()
      .toReversed()
      .map((name) => join(snapshots, name));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
};

/** Plain files below a folder by their relative paths; a link or a device is a reason to stop. */
export const filesBelow = (folder: string, below = ''): readonly string[] => {
  const found: string[] = [];
  for (const name of readdirSync(join(folder, below)).toSorted()) {
    const path = below === '' ? name : `${below}/${name}`;
    const stat = lstatSync(join(folder, path));
    if (stat.isDirectory()) found.push(...filesBelow(folder, path));
    else if (stat.isFile()) found.push(path);
    else throw new ActionError('permanent', `${join(folder, path)} is neither a file nor a folder`);
    if (found.length > MOST_FILES) throw new ActionError('permanent', `${folder} holds more than ${MOST_FILES} files`);
  }
  return found;
};

/** SHA-256 and size of a plain file, without following a link. */
export const fingerprint = (path: string): { readonly bytes: number; readonly sha256: string } => {
  const file = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    if (!fstatSync(file).isFile()) throw new ActionError('permanent', `${path} is not a plain file`);
    const hash = createHash('sha256');
    const chunk = Buffer.allocUnsafe(CHUNK);
    let bytes = 0;
    for (let read = readSync(file, chunk); read > 0; read = readSync(file, chunk)) {
      hash.update(chunk.subarray(0, read));
      bytes += read;
    }
    return { bytes, sha256: hash.digest('hex') };
  } finally {
    closeSync(file);
  }
};

const readManifest = (snapshot: string): Manifest | string => {
  const path = join(snapshot, MANIFEST);
  try {
    const stat = lstatSync(path);
    if (!stat.isFile() || stat.size > LARGEST_MANIFEST) return 'its manifest is not a plain file of ordinary size';
    const parsed = manifestSchema.safeParse(JSON.parse(readFileSync(path, 'utf8')));
    if (!parsed.success) return `its manifest is not one: ${parsed.error.issues[0]?.message ?? ''}`;
    return parsed.data;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT'
      ? 'it has no manifest, so it was never finished'
      : `its manifest cannot be read: ${(error as Error).message}`;
  }
};

/** The manifest when every file stands there as it says; else why it may not be restored. */
export const checkedManifest = (snapshot: string): Manifest | string => {
  try {
    if (!lstatSync(snapshot).isDirectory()) return 'it is not a folder';
    const manifest = readManifest(snapshot);
    if (typeof manifest === 'string') return manifest;
    if (!manifest.files.some((file) => file.path === DATABASE && file.bytes > 0))
      return `it has no ${DATABASE}, or an empty one`;
    for (const { path, bytes, sha256 } of manifest.files) {
      const found = fingerprint(join(snapshot, path));
      if (found.bytes !== bytes) return `${path} has ${found.bytes} bytes instead of ${bytes}`;
      if (found.sha256 !== sha256) return `${path} does not have its checksum`;
    }
    return manifest;
  } catch (error) {
    return (error as Error).message;
  }
};
