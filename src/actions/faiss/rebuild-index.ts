// A damaged index is put aside, checked there, and an empty one takes its place; what was embedded has to be embedded
// anew, which the mark beside it tells the application. A sound index is left alone.
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { chmod, chown, copyFile, constants, lstat, mkdir, open, rename, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { z } from 'zod';
import { ActionError } from '../../base/failure.ts';
import type { JsonObject } from '../../base/json.ts';
import { rfc3339 } from '../../base/clock.ts';
import { defineAction } from '../../port/action.ts';
import { allowedPath } from '../allowed.ts';
import { absolutePath } from '../inputs.ts';
import { stamp } from '../sqlite/backups.ts';
import { emptyIndex, readIndex } from './index-file.ts';
import { refuseUndeclared, supervise, supervisedInput, waitHealthy } from './service.ts';

const digestOf = async (path: string): Promise<string> => {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return hash.digest('hex');
};

/** A copy that reads back the same, and is on disk; nothing is replaced without one. */
const keep = async (path: string, backups: string, at: number): Promise<string> => {
  await mkdir(backups, { mode: 0o750 }).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST')
      throw new ActionError('permanent', `the folder ${backups} cannot be made; the index was left as it is`, {
        cause: error,
      });
  });
  const kept = join(backups, `${basename(path)}-${stamp(at)}.damaged`);
  await copyFile(path, kept, constants.COPYFILE_EXCL);
  const handle = await open(kept, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
  if ((await digestOf(path)) !== (await digestOf(kept)))
    throw new ActionError('permanent', `the copy ${kept} does not read back as the index; the index was left as it is`);
  return kept;
};

const place = async (
  path: string,
  bytes: Buffer,
  like: { readonly mode: number; readonly uid: number; readonly gid: number },
): Promise<void> => {
  const partial = join(dirname(path), `.${basename(path)}.new`);
  const handle = await open(partial, 'w', 0o600);
  try {
    await handle.writeFile(bytes);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await chmod(partial, like.mode & 0o777 & ~0o111);
  if (process.getuid?.() === 0) await chown(partial, like.uid, like.gid);
  await rename(partial, path);
};

export default defineAction({
  summary: 'Puts an empty FAISS index in the place of a damaged one, which is kept, and marks it for embedding anew.',
  // Nothing is lost: the damaged index stands in the folder of backups.
  effect: 'change',
  input: z.strictObject({
    ...supervisedInput,
    /** The index file. */
    index: absolutePath,
    backups: absolutePath,
    /** Written for the application: what has to be embedded anew. */
    mark: absolutePath,
    dimensions: z.int().min(1).max(65_536).default(1_536),
    metric: z.enum(['cosine', 'l2']).default('cosine'),
  }),
  outputs: {
    index_rebuilt: 'an empty index took the place of a damaged one; false: it is sound',
    reembedding_needed: 'the application has to embed everything anew',
    index_error: 'what was wrong with the index, or empty',
    index_backup: 'the copy of the damaged index, or empty when there was none',
    service_healthy: 'the health endpoint answered well after it',
  },
  undo: 'by hand: stop the service, copy index_backup over the index, remove the mark, and start it',
  defaultTimeout: 300_000,
  async run(input, context) {
    const { allow, clock, signal } = context;
    refuseUndeclared([input.stop, input.start], context);
    const index = await allowedPath(input.index, allow, 'the index');
    const backups = await allowedPath(input.backups, allow, 'the folder of backups');
    const mark = await allowedPath(input.mark, allow, 'the mark');
    const found = await readIndex(index);
    const error =
      typeof found === 'string'
        ? found
        : found.dimensions === input.dimensions
          ? null
          : `has ${found.dimensions} dimensions instead of ${input.dimensions}`;
    signal.throwIfAborted();
    context.began();
    const done: JsonObject = {
      index_rebuilt: error !== null,
      reembedding_needed: error !== null,
      index_error: error ?? '',
    };
    await supervise(input.stop, context);
    let backup = '';
    try {
      if (error !== null) {
        const old = await lstat(index).catch(() => null);
        if (old !== null && old.size > 0) backup = await keep(index, backups, clock.now());
        const like = old ?? (await stat(dirname(index)));
        await place(index, emptyIndex(input.dimensions, input.metric), like);
        const text = JSON.stringify({
          at: rfc3339(clock.now()),
          index,
          reason: error,
          backup,
          dimensions: input.dimensions,
          metric: input.metric,
        });
        await place(mark, Buffer.from(`${text}\n`), like);
      }
    } finally {
      // A service without its index is better than none.
      await supervise(input.start, context);
    }
    const reason = await waitHealthy(`${input.url}${input.health_path}`, input.ready_within, context);
    const outputs = { ...done, index_backup: backup, service_healthy: reason === null };
    if (reason === null) return { outputs };
    throw new ActionError('retryable', `the service was started, but is not healthy: ${reason}`, { outputs });
  },
});
