// Copies the data folder of a ChromaDB at one moment, also of a running one: while the write lock of its database is
// ours, it can take nothing in, and an index file that changes all the same is noticed. For worker threads.
import { lstatSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { rfc3339 } from '../../base/clock.ts';
import { ActionError } from '../../base/failure.ts';
import { copyPlainFile, ensureFolder, needSpace } from '../sqlite/files.ts';
import {
  companions,
  explained,
  openForReading,
  openForWriting,
  refuseOurOwn,
  sizeOf,
  syncFile,
  syncFolder,
  unsound,
} from '../sqlite/opening.ts';
import type { SqliteFile } from '../sqlite/opening.ts';
import { DATABASE, MANIFEST, filesBelow, fingerprint, listSnapshots, snapshotName } from './snapshot-folder.ts';
import type { Manifest } from './snapshot-folder.ts';

export type SnapshotInput = {
  readonly path: string;
  readonly snapshots: string;
  readonly at: number;
  readonly keep: number;
  readonly busyMs: number;
};
export type Snapshot = {
  readonly path: string;
  readonly bytes: number;
  readonly files: number;
  readonly collections: Manifest['collections'];
  readonly removed: readonly string[];
};

/** Documents that stand in the tables, by collection. The name of the tables is that of ChromaDB 0.4 to 1.x; others give none. */
export const documentsIn = (database: string): Manifest['collections'] => {
  const file = openForReading(database, 1_000);
  try {
    const rows = file
      .prepare(
        `SELECT c.name AS name, count(e.id) AS documents FROM collections c
         LEFT JOIN segments s ON s.collection = c.id AND s.scope = 'METADATA'
         LEFT JOIN embeddings e ON e.segment_id = s.id GROUP BY c.id, c.name ORDER BY c.name`,
      )
      .all() as Array<{ name: string; documents: number }>;
    return rows.map(({ name, documents }) => ({ name, documents }));
  } catch {
    return [];
  } finally {
    file.close();
  }
};

const BESIDE = new Set(companions(DATABASE));
const indexFiles = (folder: string): readonly string[] =>
  filesBelow(folder).filter((path) => path !== DATABASE && !BESIDE.has(path));

/** What changes when a file is written to. */
const traces = (folder: string, files: readonly string[]): string =>
  files
    .map((path) => {
      const { size, mtimeMs, ino } = lstatSync(join(folder, path));
      return `${path} ${size} ${mtimeMs} ${ino}`;
    })
    .join('\n');

const copyWhole = async (input: SnapshotInput, partial: string): Promise<void> => {
  const { path: folder } = input;
  const from = join(folder, DATABASE);
  let lock: SqliteFile | null = null;
  let source: SqliteFile | null = null;
  try {
    lock = openForWriting(from, input.busyMs);
    lock.exec('BEGIN IMMEDIATE');
    const files = indexFiles(folder);
    const before = traces(folder, files);
    source = openForReading(from, input.busyMs);
    await source.backup(join(partial, DATABASE));
    for (const file of files) {
      mkdirSync(dirname(join(partial, file)), { recursive: true, mode: 0o700 });
      copyPlainFile(join(folder, file), join(partial, file));
    }
    if (traces(folder, indexFiles(folder)) !== before)
      throw new ActionError('retryable', `the index files of ${folder} changed while they were copied`);
  } catch (error) {
    throw explained(error, from);
  } finally {
    source?.close();
    if (lock?.inTransaction === true) lock.exec('ROLLBACK');
    lock?.close();
  }
};

const bytesBelow = (folder: string): number =>
  filesBelow(folder).reduce((sum, path) => sum + (sizeOf(join(folder, path)) ?? 0), 0);

const seal = (input: SnapshotInput, partial: string): Manifest => {
  const database = join(partial, DATABASE);
  const reason = unsound(database, 'full');
  if (reason !== null)
    throw new ActionError('permanent', `no sound snapshot of ${input.path} can be made: its database ${reason}`);
  const manifest: Manifest = {
    version: 1,
    at: rfc3339(input.at),
    of: input.path,
    collections: [...documentsIn(database)],
    files: filesBelow(partial).map((path) => ({ path, ...fingerprint(join(partial, path)) })),
  };
  for (const file of manifest.files) syncFile(join(partial, file.path));
  writeFileSync(join(partial, MANIFEST), `${JSON.stringify(manifest, null, 1)}\n`, { mode: 0o600, flush: true });
  for (const folder of new Set(manifest.files.map(({ path }) => dirname(join(partial, path))))) syncFolder(folder);
  return manifest;
};

export const takeSnapshot = async (input: SnapshotInput): Promise<Snapshot> => {
  const database = join(input.path, DATABASE);
  const size = sizeOf(database);
  if (size === null || size === 0)
    throw new ActionError(
      'permanent',
      `${database} ${size === null ? 'is not there' : 'is empty'}: there is nothing to keep; mend: is ${input.path} the server's data folder?`,
    );
  refuseOurOwn(database);
  ensureFolder(input.snapshots);
  needSpace(input.snapshots, bytesBelow(input.path));
  const partial = join(input.snapshots, `.${basename(input.path)}.partial`);
  rmSync(partial, { recursive: true, force: true });
  mkdirSync(partial, { mode: 0o700 });
  try {
    await copyWhole(input, partial);
    const manifest = seal(input, partial);
    const path = join(input.snapshots, snapshotName(input.path, input.at));
    renameSync(partial, path);
    syncFolder(input.snapshots);
    const removed = listSnapshots(input.snapshots, input.path).slice(input.keep);
    for (const old of removed) rmSync(old, { recursive: true, force: true });
    return {
      path,
      bytes: manifest.files.reduce((sum, file) => sum + file.bytes, 0),
      files: manifest.files.length,
      collections: manifest.collections,
      removed,
    };
  } finally {
    rmSync(partial, { recursive: true, force: true });
  }
};
