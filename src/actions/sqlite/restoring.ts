// Puts a backup in the place of a broken database. The order of the steps is what makes it safe: after a kill between any
// two of them the path holds either the old file or the new one, and never the new one beside the WAL of the old.
import { existsSync, lstatSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { ActionError } from '../../base/failure.ts';
import { backupName, listBackups, stamp } from './backups.ts';
import { copyPlainFile, keepAs, needSpace, removeWithCompanions, takeOver } from './files.ts';
import { findHolders } from './locking.ts';
import type { Holder } from './locking.ts';
import {
  companions,
  isBusy,
  isPassing,
  openForReading,
  openForWriting,
  integrityFindings,
  refuseOurOwn,
  sizeOf,
  syncFile,
  syncFolder,
  syncFolderOf,
  unsound,
} from './opening.ts';
import { nameHolders } from './shown-holder.ts';

export type RestoreInput = {
  readonly path: string;
  readonly backups: string;
  readonly at: number;
  readonly allowOpen: boolean;
  readonly evenIfHealthy: boolean;
};

/** What is known as the steps go on; plain data, so that it passes between threads. */
export type Restore = RestoreInput & {
  /** The checked copy of the backup, in the folder of the database. */
  readonly fresh: string;
  /** Where the old files go. */
  readonly aside: string;
  readonly holders: readonly Holder[];
  /** The old database is sound: what stands in its WAL is worth keeping in the file that is set aside. */
  readonly healthy: boolean;
  readonly from: string;
  readonly skipped: ReadonlyArray<{ readonly path: string; readonly reason: string }>;
};

const freshName = (path: string): string => join(dirname(path), `.${basename(path)}.restoring`);

/** Null: sound. Throws `retryable` when a lock keeps us from telling. */
const stateOfOld = (path: string): string | null => {
  const size = sizeOf(path);
  if (size === null) return 'does not exist';
  if (size === 0) return 'is empty (0 bytes)';
  try {
    const file = openForReading(path, 1_000);
    try {
      const findings = integrityFindings(file, 'full');
      return findings.length === 0 ? null : findings.join('; ');
    } finally {
      file.close();
    }
  } catch (error) {
    if (isBusy(error))
      throw new ActionError(
        'retryable',
        `${path} is locked, so it cannot be told whether it is broken; mend: sqlite.release-lock first`,
      );
    if (isPassing(error))
      throw new ActionError(
        'retryable',
        `${path} cannot be opened just now (${(error as Error).message}), which is no sign of damage; mend: look at the rights of its folder and at the open files of amends`,
      );
    return (error as Error).message;
  }
};

/** The newest backup whose copy passes the full check; the copy is left at `fresh`. */
const chooseBackup = (input: RestoreInput, fresh: string): Pick<Restore, 'from' | 'skipped'> => {
  const skipped: Array<{ path: string; reason: string }> = [];
  for (const { path } of listBackups(input.backups, input.path)) {
    const reason = ((): string | null => {
      if (!lstatSync(path).isFile()) return 'is not a plain file';
      if (sizeOf(path) === 0) return 'is empty (0 bytes)';
      needSpace(dirname(input.path), sizeOf(path) ?? 0);
      removeWithCompanions(fresh);
      copyPlainFile(path, fresh);
      return unsound(fresh, 'full');
    })();
    if (reason === null) return { from: path, skipped };
    skipped.push({ path, reason });
  }
  removeWithCompanions(fresh);
  const tried = skipped.length === 0 ? 'none is there' : `none of ${skipped.length} passes its check`;
  throw new ActionError(
    'permanent',
    `no backup of ${input.path} in ${input.backups} can be restored: ${tried}; mend: put a good one there named like ${backupName(input.path, 0)}`,
    {
      outputs: { restored: false, restored_from: '', skipped_backups: skipped.slice(0, 50) },
    },
  );
};

/** Everything that has no effect on the database; null: it is sound already, there is nothing to restore. */
export const prepareRestore = (input: RestoreInput): Restore | null => {
  refuseOurOwn(input.path);
  const fresh = freshName(input.path);
  const { holders } = findHolders({ path: input.path });
  // Only who wants it replaced in any case may have a database replaced that cannot be looked at.
  const forced = input.allowOpen && input.evenIfHealthy && holders.some((holder) => holder.access === 'write');
  const old = forced ? 'is locked' : stateOfOld(input.path);
  if (old === null && !input.evenIfHealthy) {
    removeWithCompanions(fresh);
    return null;
  }
  if (holders.length > 0 && !input.allowOpen) {
    throw new ActionError(
      'retryable',
      `${input.path} is open in ${nameHolders(holders)}, which would go on with the file that is replaced; mend: stop it first, or say \`allow_open: true\` and restart it after`,
    );
  }
  const chosen = chooseBackup(input, fresh);
  takeOver(fresh, input.path);
  removeCompanions(fresh);
  syncFile(fresh);
  return {
    ...input,
    fresh,
    aside: join(input.backups, `replaced-${stamp(input.at)}`),
    holders,
    healthy: old === null,
    ...chosen,
  };
};

const removeCompanions = (path: string): void => {
  for (const file of companions(path)) rmSync(file, { force: true });
};

const settle = ({ path, healthy, holders }: Restore): void => {
  // A sound database without its WAL would lose what it has acknowledged: the WAL goes into the file first.
  if (!healthy || holders.length > 0) return;
  const file = openForWriting(path, 1_000);
  try {
    file.pragma('wal_checkpoint(TRUNCATE)');
  } finally {
    file.close();
  }
};

const makeFolder = ({ aside }: Restore): void => {
  mkdirSync(aside, { recursive: true, mode: 0o750 });
  syncFolderOf(aside);
};

const setAside = ({ aside }: Restore, file: string): void => {
  const kept = join(aside, basename(file));
  if (!existsSync(file) || existsSync(kept)) return;
  keepAs(file, kept);
  syncFolder(aside);
};

export type RestoreStep = { readonly name: string; run(restore: Restore): void };

/** In this order, each repeatable: a restore that was killed is simply done again. */
export const RESTORE_STEPS: readonly RestoreStep[] = [
  { name: 'settle', run: settle },
  { name: 'make_folder', run: makeFolder },
  { name: 'set_database_aside', run: (restore) => setAside(restore, restore.path) },
  {
    name: 'set_companions_aside',
    run: (restore) => companions(restore.path).forEach((file) => setAside(restore, file)),
  },
  {
    name: 'clear_companions',
    run({ path }) {
      removeCompanions(path);
      syncFolderOf(path);
    },
  },
  { name: 'swap', run: ({ fresh, path }) => renameSync(fresh, path) },
  { name: 'sync', run: ({ path }) => syncFolderOf(path) },
  {
    name: 'verify',
    run({ path, from }) {
      const reason = unsound(path, 'quick');
      if (reason !== null) throw new ActionError('permanent', `${path} was restored from ${from}, but ${reason}`);
    },
  },
];

export const performRestore = (restore: Restore): void => {
  for (const step of RESTORE_STEPS) step.run(restore);
};
