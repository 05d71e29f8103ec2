// Puts a snapshot in the place of a damaged data folder. The new folder is made whole and checked beside the old one, the
// old one is renamed, the new one takes its name: nothing is overwritten, and after a kill it is simply done again. For
// worker threads.
import { chmodSync, chownSync, existsSync, lstatSync, mkdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { ActionError } from '../../base/failure.ts';
import { describeProcess, fileKey, openFilesOf, pids } from '../kernel.ts';
import { stamp } from '../sqlite/backups.ts';
import { copyPlainFile, needSpace } from '../sqlite/files.ts';
import { companions, syncFolder, unsound } from '../sqlite/opening.ts';
import { DATABASE, checkedManifest, filesBelow, fingerprint, listSnapshots } from './snapshot-folder.ts';
import type { Manifest } from './snapshot-folder.ts';

export type RollbackInput = {
  readonly path: string;
  readonly snapshots: string;
  readonly at: number;
  /** Milliseconds; null: of any age. */
  readonly maxAgeMs: number | null;
};
export type Rollback = RollbackInput & {
  readonly staged: string;
  readonly aside: string;
  readonly from: string;
  readonly manifest: Manifest;
  readonly skipped: ReadonlyArray<{ readonly path: string; readonly reason: string }>;
  /** The damaged folder is there. */
  readonly replaces: boolean;
};

/** Who has a file of the folder open, as `4711 (chroma)`. */
const users = (folder: string): readonly string[] => {
  if (!existsSync(folder)) return [];
  const keys = filesBelow(folder)
    .map((path) => fileKey(join(folder, path)))
    .filter((key) => key !== null);
  return pids()
    .filter((pid) => pid !== process.pid && openFilesOf(pid, keys).length > 0)
    .map((pid) => `${pid} (${describeProcess(pid)?.name ?? '?'})`);
};

/** Null: a sound copy stands at `staged`; else why not. */
const stage = (snapshot: string, manifest: Manifest, staged: string): string | null => {
  rmSync(staged, { recursive: true, force: true });
  mkdirSync(staged, { mode: 0o700 });
  for (const { path, sha256 } of manifest.files) {
    mkdirSync(dirname(join(staged, path)), { recursive: true, mode: 0o700 });
    copyPlainFile(join(snapshot, path), join(staged, path));
    // Of the copy: what is read back is what the server will read.
    if (fingerprint(join(staged, path)).sha256 !== sha256) return `${path} changed while it was copied`;
  }
  const reason = unsound(join(staged, DATABASE), 'full');
  for (const file of companions(join(staged, DATABASE))) rmSync(file, { force: true });
  return reason === null ? null : `its database ${reason}`;
};

/** The mode and owner that the server knows, for the folder and all in it. */
const takeOver = (staged: string, replaced: string): void => {
  const like = statSync(existsSync(replaced) ? replaced : dirname(replaced));
  const give = (path: string, mode: number): void => {
    chmodSync(path, mode);
    if (process.getuid?.() === 0) chownSync(path, like.uid, like.gid);
  };
  const folders = new Set<string>([staged]);
  for (const path of filesBelow(staged)) {
    give(join(staged, path), 0o640);
    for (let folder = dirname(join(staged, path)); folder !== staged; folder = dirname(folder)) folders.add(folder);
  }
  for (const folder of folders) {
    give(folder, existsSync(replaced) ? like.mode & 0o777 : 0o750);
    syncFolder(folder);
  }
};

/** Everything that has no effect on the data. */
export const prepareRollback = (input: RollbackInput): Rollback => {
  const inUse = users(input.path);
  if (inUse.length > 0)
    throw new ActionError(
      'retryable',
      `${input.path} is in use by ${inUse.slice(0, 10).join(', ')}, which would go on with the files that are replaced; mend: stop the server first`,
    );
  const staged = join(dirname(input.path), `.${basename(input.path)}.restoring`);
  const skipped: Array<{ path: string; reason: string }> = [];
  for (const from of listSnapshots(input.snapshots, input.path)) {
    const manifest = checkedManifest(from);
    const age = typeof manifest === 'string' ? 0 : input.at - Date.parse(manifest.at);
    const reason = ((): string | null => {
      if (typeof manifest === 'string') return manifest;
      if (input.maxAgeMs !== null && !(age <= input.maxAgeMs)) return `it is ${Math.round(age / 1_000)} s old`;
      needSpace(
        dirname(input.path),
        manifest.files.reduce((sum, file) => sum + file.bytes, 0),
      );
      return stage(from, manifest, staged);
    })();
    if (reason === null && typeof manifest !== 'string') {
      takeOver(staged, input.path);
      const aside = `${input.path}.replaced-${stamp(input.at)}`;
      return { ...input, staged, aside, from, manifest, skipped, replaces: existsSync(input.path) };
    }
    skipped.push({ path: from, reason: reason ?? '' });
  }
  rmSync(staged, { recursive: true, force: true });
  const tried = skipped.length === 0 ? 'none is there' : `none of ${skipped.length} passes its check`;
  throw new ActionError(
    'permanent',
    `no snapshot of ${input.path} in ${input.snapshots} can be restored: ${tried}; nothing was touched`,
    { outputs: { restored: false, skipped_snapshots: skipped.slice(0, 50) } },
  );
};

export const performRollback = ({ path, staged, aside, replaces }: Rollback): void => {
  try {
    if (replaces) {
      if (!lstatSync(path).isDirectory()) throw new ActionError('permanent', `${path} is not a folder`);
      renameSync(path, aside);
    }
    renameSync(staged, path);
    syncFolder(dirname(path));
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? '';
    if (code !== 'EBUSY' && code !== 'EXDEV') throw error;
    throw new ActionError(
      'permanent',
      `${path} is a mount point and cannot be renamed; mend: keep the data in a folder below it`,
      { cause: error },
    );
  }
};
