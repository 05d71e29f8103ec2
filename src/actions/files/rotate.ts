// Compresses logs that have grown large, for writers that keep them open.
import { z } from 'zod';
import { ActionError } from '../../base/failure.ts';
import { defineAction } from '../../port/action.ts';
import { bytes } from '../inputs.ts';
import { offThread } from '../off-thread.ts';
import { allowedRoots, roots } from './roots.ts';
import type * as rotating from './rotating.ts';

const jobs = offThread<typeof rotating>('./rotating.ts', import.meta.url);

export default defineAction({
  summary: 'Compresses large logs beside themselves, cuts them to nothing, and keeps the newest archives of each.',
  // Archives beyond `keep` are deleted.
  effect: 'destroy',
  keeps: true,
  input: z.strictObject({
    folders: roots,
    /** Directly in the folders; `*` stands for any characters. Archives and hidden files are never taken. */
    names: z
      .array(z.string().regex(/^(?=.*[\w])[\w.*-]{1,100}$/, { message: 'a file name, with * for any characters' }))
      .min(1)
      .max(20)
      .default(['*.log']),
    larger_than: bytes.default(10 * 1024 ** 2),
    keep: z.int().min(1).max(1_000).default(5),
    /** More than this is a sign of a wrong folder: then nothing is rotated at all. */
    max_files: z.int().min(1).max(10_000).default(100),
    if_none: z.enum(['fail', 'succeed']).default('fail'),
  }),
  outputs: {
    files_rotated: 'how many logs were compressed and cut',
    bytes_before: 'what they held, in bytes',
    bytes_after: 'what their archives take, in bytes',
    archives: 'the first 20 archives: <log>.<UTC time>.gz, with owner and mode of the log',
    removed_archives: 'older archives beyond `keep` that were deleted',
    failures: 'logs that were left as they are, with the error',
  },
  undo: 'by hand: gunzip the archive; what a writer added in the instant of the cut is lost, as with copytruncate',
  defaultTimeout: 300_000,
  async run(input, context) {
    const { allow, clock, signal } = context;
    const folders = await allowedRoots(input.folders, allow);
    const options = { key: `rotate ${folders.join(' ')}`, clock, signal };
    const at = clock.now();
    const { names, keep, larger_than: largerThan, max_files: maxFiles } = input;
    const logs = await jobs('listLogs', { folders, names, largerThan, keep, maxFiles, at }, options);
    const nothing = {
      files_rotated: 0,
      bytes_before: 0,
      bytes_after: 0,
      archives: [] as readonly string[],
      removed_archives: 0,
      failures: [] as readonly string[],
    };
    if (logs.length > maxFiles)
      throw new ActionError(
        'permanent',
        `nothing was rotated: ${logs.length} logs are larger than ${largerThan} bytes, more than max_files (${maxFiles}); mend: narrow names, or raise the limit`,
        { outputs: nothing },
      );
    if (logs.length === 0) {
      if (input.if_none === 'succeed') return { outputs: nothing };
      throw new ActionError(
        'permanent',
        `nothing was rotated: no ${names.join(', ')} in ${folders.join(', ')} is larger than ${largerThan} bytes`,
        { outputs: nothing },
      );
    }
    signal.throwIfAborted();
    context.began();
    const done = await jobs('rotateListed', { logs, keep, at }, options);
    const outputs = {
      files_rotated: logs.length - done.failures.length,
      bytes_before: done.bytes,
      bytes_after: done.archivedBytes,
      archives: done.archives,
      removed_archives: done.removed,
      failures: done.failures.slice(0, 20),
    };
    if (done.failures.length > 0)
      throw new ActionError(
        'permanent',
        `${done.failures.length} of ${logs.length} logs were not rotated and are as they were, the first: ${done.failures[0] ?? 'unknown'}; mend: for ENOSPC make room first (files.clean), an archive needs about a tenth of its log`,
        { outputs },
      );
    return { outputs };
  },
});
