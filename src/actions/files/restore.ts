// Puts a folder back from a snapshot that proves itself; what was there is kept beside it.
import { z } from 'zod';
import { defineAction } from '../../port/action.ts';
import { allowedPath } from '../allowed.ts';
import { absolutePath } from '../inputs.ts';
import { offThread } from '../off-thread.ts';
import type * as snapshotting from './snapshotting.ts';

const jobs = offThread<typeof snapshotting>('./snapshotting.ts', import.meta.url);

export default defineAction({
  summary: 'Restores a folder from its newest snapshot that passes its check; the folder that was there is kept.',
  // Nothing is lost: the replaced folder stands beside the restored one.
  effect: 'change',
  input: z.strictObject({ path: absolutePath, snapshots: absolutePath, allow_open: z.boolean().default(false) }),
  outputs: {
    restored_from: 'the snapshot',
    files: 'how many files were restored',
    bytes: 'how many bytes',
    replaced_to: 'where the folder that was there is kept, or empty when there was none',
    skipped_snapshots: 'newer snapshots that did not pass their check: path, reason',
  },
  undo: 'by hand: rename the folder in replaced_to back',
  defaultTimeout: 300_000,
  async run(input, context) {
    const { allow, clock, signal } = context;
    const path = await allowedPath(input.path, allow, 'the folder');
    const snapshots = await allowedPath(input.snapshots, allow, 'the folder of snapshots');
    const options = { key: path, clock, signal };
    const job = { path, snapshots, at: clock.now(), allowOpen: input.allow_open };
    const prepared = await jobs('prepareRestore', job, options);
    signal.throwIfAborted();
    context.began();
    const kept = await jobs('performRestore', prepared, options);
    return {
      outputs: {
        restored_from: prepared.from,
        files: prepared.files,
        bytes: prepared.bytes,
        replaced_to: kept ? prepared.aside : '',
        skipped_snapshots: prepared.skipped.slice(0, 20),
      },
    };
  },
});
