// How full a file system is, in the figures that df shows.
import { statfs } from 'node:fs/promises';
import { ActionError } from '../../base/failure.ts';

export type Usage = {
  readonly total_bytes: number;
  readonly used_bytes: number;
  /** What an ordinary user can still write. */
  readonly available_bytes: number;
  readonly disk_used_percent: number;
  readonly inodes_used_percent: number;
};

/** With one decimal, rounded up, so that 79.99 is not yet under 80. */
const percent = (part: number, whole: number): number => (whole <= 0 ? 0 : Math.ceil((part / whole) * 1_000) / 10);

/** Of the file system that `path` is on. */
export const usageOf = async (path: string): Promise<Usage> => {
  const { bsize, blocks, bfree, bavail, files, ffree } = await statfs(path).catch((error: NodeJS.ErrnoException) => {
    throw new ActionError('permanent', `the file system of ${path} cannot be measured (${error.code ?? 'unknown'})`, {
      cause: error,
    });
  });
  const used = blocks - bfree;
  return {
    total_bytes: blocks * bsize,
    used_bytes: used * bsize,
    available_bytes: bavail * bsize,
    // As df does: what is reserved for root is neither used nor to be had.
    disk_used_percent: percent(used, used + bavail),
    inodes_used_percent: percent(files - ffree, files),
  };
};
