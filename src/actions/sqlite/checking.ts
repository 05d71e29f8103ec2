// The six layers in which a SQLite file is looked at, each of which tells another way of being broken. For worker threads.
import { accessSync, constants, lstatSync } from 'node:fs';
import { findLocking, holderKey, lastWritten, tryWriteLock } from './locking.ts';
import { integrityFindings, isBusy, isPassing, openForReading, refuseOurOwn, sizeOf } from './opening.ts';
import type { Integrity, SqliteFile } from './opening.ts';

export const LAYERS = ['exists', 'readable', 'opens', 'integrity', 'query', 'wal_size'] as const;
export type Layer = (typeof LAYERS)[number];

export type CheckInput = {
  readonly path: string;
  readonly integrity: Integrity;
  readonly maxWal: number;
  readonly busyMs: number;
};
export type CheckReport = {
  readonly failed: Layer | null;
  readonly error: string;
  readonly locked: boolean;
  /** Another try may pass without anything being mended: a lock, a lack of memory or descriptors. */
  readonly passing: boolean;
  /** Those that held the write lock before a whole wait for it and after it, by `holderKey`. */
  readonly stuck: readonly string[];
  /** What `lastWritten` said before that wait; empty when there was none. */
  readonly written: string;
  readonly sizeBytes: number;
  readonly walBytes: number;
  readonly pages: number;
};

export const checkFile = ({ path, integrity, maxWal, busyMs }: CheckInput): CheckReport => {
  const figures = { sizeBytes: sizeOf(path) ?? 0, walBytes: sizeOf(`${path}-wal`) ?? 0, pages: 0 };
  const fail = (
    failed: Layer,
    error: string,
    about: { locked?: boolean; passing?: boolean; stuck?: readonly string[]; written?: string } = {},
  ): CheckReport => ({
    failed,
    error: error.slice(0, 500),
    locked: about.locked ?? false,
    passing: about.passing ?? false,
    stuck: about.stuck ?? [],
    written: about.written ?? '',
    ...figures,
  });
  const failBy = (layer: Layer, error: unknown): CheckReport =>
    fail(layer, (error as Error).message, { locked: isBusy(error), passing: isPassing(error) });

  if (sizeOf(path) === null) return fail('exists', `${path} does not exist`);
  if (!lstatSync(path).isFile()) return fail('readable', `${path} is not a plain file`);
  try {
    accessSync(path, constants.R_OK);
  } catch {
    return fail('readable', `${path} cannot be read by the user that amends runs as`);
  }
  refuseOurOwn(path);
  // SQLite takes an empty file for an empty database; for us it is a lost one.
  if (figures.sizeBytes === 0) return fail('opens', `${path} is empty (0 bytes)`);

  let file: SqliteFile | null = null;
  try {
    file = openForReading(path, busyMs);
  } catch (error) {
    return failBy('opens', error);
  }
  let layer: Layer = 'integrity';
  try {
    const findings = integrityFindings(file, integrity);
    if (findings.length > 0) return fail('integrity', findings.join('; '));
    layer = 'query';
    figures.pages = Number(file.pragma('page_count', { simple: true }));
    file.prepare('SELECT name FROM sqlite_schema LIMIT 1').get();
    // Readers get through beside a writer in WAL mode, so the lock has to be asked for, and only if somebody has it.
    const before = writersOf(path);
    if (before.length > 0) {
      const written = lastWritten({ path });
      const held = tryWriteLock({ path, busyMs, exclusive: false });
      if (held !== null) {
        const after = new Set(writersOf(path));
        const stuck = before.filter((one) => after.has(one));
        return fail('query', held, { locked: true, passing: true, stuck, written });
      }
    }
  } catch (error) {
    return failBy(layer, error);
  } finally {
    file.close();
  }
  if (figures.walBytes > maxWal) return fail('wal_size', `the WAL has ${figures.walBytes} bytes, more than ${maxWal}`);
  return { failed: null, error: '', locked: false, passing: false, stuck: [], written: '', ...figures };
};

const writersOf = (path: string): readonly string[] =>
  findLocking({ path })
    .holders.filter((holder) => holder.access === 'write')
    .map(holderKey);
