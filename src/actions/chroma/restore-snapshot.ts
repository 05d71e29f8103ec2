// Brings a damaged ChromaDB back to its newest good snapshot; how it survives a crash stands in rolling-back.ts.
import { dirname } from 'node:path';
import { z } from 'zod';
import { ActionError } from '../../base/failure.ts';
import { defineAction } from '../../port/action.ts';
import { allowedPath } from '../allowed.ts';
import { absolutePath, duration } from '../inputs.ts';
import { offThread } from '../off-thread.ts';
import { collectionName } from './client.ts';
import type * as rollingBack from './rolling-back.ts';

const jobs = offThread<typeof rollingBack>('./rolling-back.ts', import.meta.url);

export default defineAction({
  summary:
    'Puts the newest snapshot that passes its check in the place of a stopped ChromaDB’s data; the old folder is kept.',
  // Nothing is lost: the replaced folder stands beside the new one.
  effect: 'change',
  input: z.strictObject({
    /** The server's data folder. */
    path: absolutePath,
    snapshots: absolutePath,
    /** An older snapshot is not restored. */
    max_age: duration.optional(),
    /** Whose documents `documents` counts; without it those of all. */
    collection: collectionName.optional(),
  }),
  outputs: {
    restored: 'a snapshot was put in place',
    restored_from: 'the snapshot',
    restored_at: 'when it was taken, RFC 3339',
    replaced_to: 'the folder with the replaced data, or empty when there was none',
    documents: 'documents in the snapshot, of the collection or of all',
    skipped_snapshots: 'newer ones that did not pass their check: path, reason',
  },
  undo: 'by hand: stop the server, move the folder away, and give replaced_to its name again; nothing of it is lost',
  defaultTimeout: 600_000,
  async run(input, context) {
    const { allow, clock, signal } = context;
    const path = await allowedPath(input.path, allow, 'the data folder');
    const snapshots = await allowedPath(input.snapshots, allow, 'the folder of snapshots');
    await allowedPath(dirname(path), allow, 'the folder that the data folder is renamed in,');
    const options = { key: path, clock, signal };
    const rollback = await jobs(
      'prepareRollback',
      { path, snapshots, at: clock.now(), maxAgeMs: input.max_age ?? null },
      options,
    );
    const { collections } = rollback.manifest;
    if (input.collection !== undefined && !collections.some(({ name }) => name === input.collection))
      throw new ActionError(
        'permanent',
        `the newest snapshot that passes its check (${rollback.from}) has no collection ${input.collection}; nothing was touched`,
      );
    signal.throwIfAborted();
    context.began();
    await jobs('performRollback', rollback, options);
    const counted = collections.filter(({ name }) => input.collection === undefined || name === input.collection);
    return {
      outputs: {
        restored: true,
        restored_from: rollback.from,
        restored_at: rollback.manifest.at,
        replaced_to: rollback.replaces ? rollback.aside : '',
        documents: counted.reduce((sum, one) => sum + one.documents, 0),
        skipped_snapshots: rollback.skipped.slice(0, 50),
      },
    };
  },
});
