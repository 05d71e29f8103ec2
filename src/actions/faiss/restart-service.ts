// A service that hangs with its own lock is stopped, loses its cache of the index, and is started again.
import { chmod, chown, lstat, mkdir, rename, rm } from 'node:fs/promises';
import { z } from 'zod';
import { ActionError } from '../../base/failure.ts';
import { defineAction } from '../../port/action.ts';
import { allowedPath } from '../allowed.ts';
import { absolutePath } from '../inputs.ts';
import { stamp } from '../sqlite/backups.ts';
import { refuseUndeclared, supervise, supervisedInput, waitHealthy } from './service.ts';

/** Empties a folder: its place is taken by a new one in one move, so that nothing is followed out of it. */
const clear = async (folder: string, at: number): Promise<boolean> => {
  const stat = await lstat(folder).catch(() => null);
  if (stat === null) return false;
  if (!stat.isDirectory()) throw new ActionError('permanent', `${folder} is not a folder`);
  const old = `${folder}.cleared-${stamp(at)}`;
  await rename(folder, old);
  await mkdir(folder);
  await chmod(folder, stat.mode & 0o7777);
  if (process.getuid?.() === 0) await chown(folder, stat.uid, stat.gid);
  await rm(old, { recursive: true, force: true });
  return true;
};

export default defineAction({
  summary: 'Stops the embedding service, clears its cache of the index, starts it and waits until it is healthy.',
  effect: 'change',
  input: z.strictObject({
    ...supervisedInput,
    /** A folder that the service fills again by itself. */
    cache: absolutePath.optional(),
  }),
  outputs: {
    service_restarted: 'it was stopped and started',
    service_healthy: 'its health endpoint answered well within ready_within',
    cache_cleared: 'the cache was there and was emptied',
  },
  undo: 'nothing to undo: the service runs again, and fills its cache by itself',
  defaultTimeout: 120_000,
  async run(input, context) {
    const { allow, clock, signal } = context;
    refuseUndeclared([input.stop, input.start], context);
    const cache = input.cache === undefined ? null : await allowedPath(input.cache, allow, 'the cache');
    signal.throwIfAborted();
    context.began();
    await supervise(input.stop, context);
    const cleared = cache !== null && (await clear(cache, clock.now()));
    await supervise(input.start, context);
    const reason = await waitHealthy(`${input.url}${input.health_path}`, input.ready_within, context);
    const outputs = { service_restarted: true, service_healthy: reason === null, cache_cleared: cleared };
    if (reason === null) return { outputs };
    throw new ActionError('retryable', `the service was restarted, but is not healthy: ${reason}`, { outputs });
  },
});
