// What a rollback goes back to: taken of a running server as well as of a stopped one.
import { z } from 'zod';
import { defineAction } from '../../port/action.ts';
import { allowedPath } from '../allowed.ts';
import { absolutePath, busyTime } from '../inputs.ts';
import { offThread } from '../off-thread.ts';
import { chromaInput, connectChroma } from './client.ts';
import type * as snapshotting from './snapshotting.ts';

const jobs = offThread<typeof snapshotting>('./snapshotting.ts', import.meta.url);

export default defineAction({
  summary:
    'Copies the data folder of a ChromaDB at one moment, with a checksum of each file, and keeps the newest copies.',
  effect: 'change',
  saves: true,
  input: z.strictObject({
    ...chromaInput,
    /** Asked to count first, so that what it has taken in stands in its tables; without it the folder is copied as it is. */
    url: chromaInput.url.optional(),
    /** The server's data folder. */
    path: absolutePath,
    snapshots: absolutePath,
    keep: z.int().min(1).max(1_000).default(10),
    /** How long to wait for the write lock of its database. */
    busy: busyTime.default(5_000),
  }),
  outputs: {
    path: 'the snapshot: a folder with the files and manifest.json',
    bytes: 'size of its files in bytes',
    files: 'how many they are',
    documents: 'documents in it, of all collections',
    collections: 'its collections: name, documents; at most 100',
    removed: 'older snapshots that were deleted, newest first',
  },
  undo: 'not needed: the data itself is left as it is',
  defaultTimeout: 600_000,
  async run(input, context) {
    const { allow, clock, signal } = context;
    const path = await allowedPath(input.path, allow, 'the data folder');
    const snapshots = await allowedPath(input.snapshots, allow, 'the folder of snapshots');
    if (input.url !== undefined) {
      const chroma = await connectChroma({ ...input, url: input.url }, context);
      for (const collection of await chroma.list()) await chroma.count(collection);
    }
    signal.throwIfAborted();
    context.began();
    const taken = await jobs(
      'takeSnapshot',
      { path, snapshots, at: clock.now(), keep: input.keep, busyMs: input.busy },
      { key: path, clock, signal },
    );
    return {
      outputs: {
        path: taken.path,
        bytes: taken.bytes,
        files: taken.files,
        documents: taken.collections.reduce((sum, one) => sum + one.documents, 0),
        collections: taken.collections.slice(0, 100),
        removed: taken.removed.slice(0, 50),
      },
    };
  },
});
