// Keeps a folder as it is, in a copy that proves itself.
import { z } from 'zod';
import { defineAction } from '../../port/action.ts';
import { allowedPath } from '../allowed.ts';
import { absolutePath, bytes } from '../inputs.ts';
import { offThread } from '../off-thread.ts';
import type * as snapshotting from './snapshotting.ts';

const jobs = offThread<typeof snapshotting>('./snapshotting.ts', import.meta.url);

export default defineAction({
  summary: 'Copies a folder with checksums into a folder of snapshots, and reads the copy back before it counts.',
  effect: 'change',
  saves: true,
  input: z.strictObject({
    path: absolutePath,
    snapshots: absolutePath,
    keep: z.int().min(1).max(1_000).default(5),
    max_bytes: bytes.default(10 * 1024 ** 3),
  }),
  outputs: {
    snapshot: 'the snapshot: <snapshots>/<name>-<UTC time>.snapshot',
    files: 'how many files it holds',
    bytes: 'how many bytes',
    skipped: 'sockets, pipes and devices that were left out',
    removed: 'older snapshots beyond `keep` that were deleted',
  },
  undo: 'not needed: the folder is only read',
  defaultTimeout: 300_000,
  async run(input, context) {
    const { allow, clock, signal } = context;
    const path = await allowedPath(input.path, allow, 'the folder');
    const snapshots = await allowedPath(input.snapshots, allow, 'the folder of snapshots');
    signal.throwIfAborted();
    context.began();
    const job = { path, snapshots, at: clock.now(), keep: input.keep, maxBytes: input.max_bytes };
    const {
      snapshot,
      files,
      bytes: size,
      skipped,
      removed,
    } = await jobs('makeSnapshot', job, { key: path, clock, signal });
    return { outputs: { snapshot, files, bytes: size, skipped, removed: removed.slice(0, 50) } };
  },
});
