// Makes room on a full disk by deleting what is old, and can be trusted with it: what it may delete is declared, listed
// first, and looked at again one by one.
import { z } from 'zod';
import { ActionError } from '../../base/failure.ts';
import { parseDuration } from '../../base/duration.ts';
import { defineAction } from '../../port/action.ts';
import { bytes, duration } from '../inputs.ts';
import { offThread } from '../off-thread.ts';
import type * as cleaning from './cleaning.ts';
import { PROGRESS_BYTES, progressIn } from './cleaning.ts';
import { usageOf } from './measuring.ts';
import { allowedRoots, roots } from './roots.ts';

const jobs = offThread<typeof cleaning>('./cleaning.ts', import.meta.url);

const YOUNGEST = '1m';
const DAY = 86_400_000;

/** The fullest file system among those of `paths`, and what is used on all of them. */
const measure = async (paths: readonly string[]): Promise<{ percent: number; used: number }> => {
  const known = new Map<string, { percent: number; used: number }>();
  for (const path of paths) {
    const usage = await usageOf(path);
    // Two folders on one file system show the same figures; counted once.
    known.set(`${usage.total_bytes} ${usage.used_bytes} ${usage.available_bytes}`, {
      percent: usage.disk_used_percent,
      used: usage.used_bytes,
    });
  }
  const all = [...known.values()];
  return {
    percent: Math.max(0, ...all.map((usage) => usage.percent)),
    used: all.reduce((sum, usage) => sum + usage.used, 0),
  };
};

export default defineAction({
  summary: 'Deletes old plain files below declared folders, never through a link and never on another mount.',
  effect: 'destroy',
  input: z.strictObject({
    roots,
    /** By the time of the last change of the content. */
    older_than: duration
      .refine((ms) => ms >= (parseDuration(YOUNGEST) ?? 0), { message: `at least ${YOUNGEST}` })
      .default(DAY),
    /** More than this is a sign of a wrong folder: then nothing is deleted at all. */
    max_files: z.int().min(1).max(1_000_000).default(100_000),
    max_bytes: bytes.default(100 * 1024 ** 3),
    if_none: z.enum(['fail', 'succeed']).default('fail'),
    dry_run: z.boolean().default(false),
  }),
  outputs: {
    files_found: 'plain files old enough, in the list that was made before anything was deleted',
    bytes_found: 'what deleting them gives back, in bytes',
    files_deleted: 'how many were deleted',
    bytes_deleted: 'what they took up, in bytes',
    kept: 'files that were seen and stay, by reason: young, linked (have a second name), open (in a process), not_plain, other_mounts, not_permitted, not_entered',
    changed: 'listed files that were another file, gone, or in use when their turn came, and were left alone',
    failed: 'listed files that could not be deleted',
    failures: 'the first 20 of them, with the error',
    first_files: 'the first 20 files of the list',
    missing_roots: 'folders that are not there',
    unseen_processes:
      'processes whose open files amends may not see; a file that one of them has open counts as closed',
    usage_before_percent: 'how full the fullest file system of the folders was',
    usage_after_percent: 'the same afterwards',
  },
  undo: 'it cannot be undone: the files are gone; dry_run tells beforehand which',
  defaultTimeout: 120_000,
  async run(input, context) {
    const { allow, clock, signal } = context;
    const real = await allowedRoots(input.roots, allow);
    const options = { key: `clean ${real.join(' ')}`, clock, signal };
    const before = clock.now() - input.older_than;
    const listing = await jobs(
      'listOld',
      { roots: real, before, maxFiles: input.max_files, maxBytes: input.max_bytes },
      options,
    );
    const there = real.filter((root) => !listing.missing.includes(root));
    const usage = await measure(there);
    const outputs = {
      files_found: listing.files,
      bytes_found: listing.bytes,
      files_deleted: 0,
      bytes_deleted: 0,
      kept: listing.kept,
      changed: 0,
      failed: 0,
      failures: [] as readonly string[],
      first_files: listing.first,
      missing_roots: listing.missing,
      unseen_processes: listing.unseen,
      usage_before_percent: usage.percent,
      usage_after_percent: usage.percent,
    };
    if (listing.files > input.max_files || listing.bytes > input.max_bytes)
      throw new ActionError(
        'permanent',
        `nothing was deleted: ${listing.files} files (${listing.bytes} bytes) are old enough in ${real.join(', ')}, more than max_files (${input.max_files}) or max_bytes (${input.max_bytes}); mend: look at the first of them, then raise the limit or narrow the folders`,
        { outputs },
      );
    if (listing.files === 0 && input.if_none === 'fail')
      throw new ActionError(
        'permanent',
        `nothing was deleted: no plain file in ${real.join(', ')} is old enough and free to go; mend: find what fills the disk by hand (\`du -xh --max-depth=2\`), nothing else is touched`,
        { outputs },
      );
    if (input.dry_run || listing.files === 0) return { outputs };

    signal.throwIfAborted();
    context.began();
    const shared = new SharedArrayBuffer(PROGRESS_BYTES);
    const removal = await jobs('removeListed', { list: listing.list, progress: shared }, options).catch(
      (error: unknown) => {
        const done = progressIn(shared);
        const files = Number(Atomics.load(done.files, 0));
        const gone = Number(Atomics.load(done.bytes, 0));
        throw new ActionError(
          'indeterminate',
          `stopped after ${files} of ${listing.files} files (${gone} bytes): ${(error as Error).message}`,
          { cause: error, outputs: { ...outputs, files_deleted: files, bytes_deleted: gone } },
        );
      },
    );
    const after = await measure(there);
    const done = {
      ...outputs,
      files_deleted: removal.files,
      bytes_deleted: removal.bytes,
      changed: removal.changed,
      failed: removal.failed,
      failures: removal.failures,
      usage_after_percent: after.percent,
    };
    if (removal.failed > 0)
      throw new ActionError(
        'permanent',
        `${removal.failed} of ${listing.files} files could not be deleted, the first: ${removal.failures[0] ?? 'unknown'}; ${removal.files} were`,
        { outputs: done },
      );
    return { outputs: done };
  },
});
