// The detector behind the database strategies: a step, a verification and a scheduled probe in one.
import { access, constants, lstat } from 'node:fs/promises';
import { z } from 'zod';
import { ActionError } from '../../base/failure.ts';
import type { JsonObject } from '../../base/json.ts';
import { defineAction } from '../../port/action.ts';
import type { ActionContext } from '../../port/action.ts';
import { allowedPath } from '../allowed.ts';
import { absolutePath, busyTime, bytes } from '../inputs.ts';
import { offThread } from '../off-thread.ts';
import { backupFigures } from './backups.ts';
import { LAYERS } from './checking.ts';
import type * as checking from './checking.ts';
import { noteStuck } from './sightings.ts';

const jobs = offThread<typeof checking>('./checking.ts', import.meta.url);

const INPUT = z.strictObject({
  path: absolutePath,
  backups: absolutePath.optional(),
  integrity: z.enum(['quick', 'full']).default('quick'),
  max_wal: bytes.default(100 * 1024 * 1024),
  busy: busyTime.default(2_000),
});

export default defineAction({
  summary: 'Looks at a SQLite file in six layers: exists, readable, opens, integrity, query, size of the WAL.',
  effect: 'read',
  input: INPUT,
  outputs: {
    ok: 'all six layers passed',
    layer_exists: '1 when the file is there, else 0',
    layer_readable: '1 when it is a plain file that amends may read, else 0',
    layer_opens: '1 when SQLite opens it and reads its schema; 0 when that or a layer before it failed',
    layer_integrity: '1 when the integrity check found nothing; 0 when that or a layer before it failed',
    layer_query: '1 when a query runs and the write lock is to be had; 0 when that or a layer before it failed',
    layer_wal_size: '1 when the WAL is no larger than max_wal; 0 when it is, or a layer before it failed',
    failed_layer: 'name of the first layer that failed, or empty',
    locked: 'another process holds a lock that it did not give back within busy',
    transient:
      'another try may pass without anything being mended: a lock, a check out of time, or a lack of memory, descriptors or rights',
    error: 'what was found, or empty',
    size_bytes: 'size of the database file in bytes',
    wal_bytes: 'size of the -wal file in bytes',
    pages: 'pages of the database, 0 when it could not be read',
    backup_count: 'backups in the folder `backups`, 0 when none is named',
    backup_age_seconds: 'age of the newest of them in seconds, -1 when there is none',
  },
  undo: 'nothing to undo: it only reads',
  defaultTimeout: 30_000,
  async run(input, context) {
    const sight: Sight = { exists: null, readable: null };
    const { signal } = context;
    try {
      return await Promise.race([look(input, context, sight), aborted(signal)]);
    } catch (error) {
      // Out of time: what was seen until then is still said, so that an alert can tell "does not answer" from "not looked at".
      const { reason } = signal as { readonly reason: unknown };
      if (!(reason instanceof ActionError) || (error instanceof ActionError && error !== reason)) throw error;
      throw new ActionError('retryable', reason.message, { outputs: unanswered(sight, reason.message) });
    }
  },
});

/** Null until it has been seen: on a mount that hangs even that does not come. */
type Sight = { exists: boolean | null; readable: boolean | null };

const look = async (
  input: z.output<typeof INPUT>,
  { allow, clock, signal }: ActionContext,
  sight: Sight,
): Promise<{ readonly outputs: JsonObject }> => {
  const path = await allowedPath(input.path, allow, 'the database');
  const backups = input.backups === undefined ? null : await allowedPath(input.backups, allow, 'the folder of backups');
  await see(path, sight);
  const report = await jobs(
    'checkFile',
    { path, integrity: input.integrity, maxWal: input.max_wal, busyMs: input.busy },
    { key: path, clock, signal },
  );
  noteStuck(path, { holders: report.stuck, ms: input.busy, written: report.written }, clock);
  const passed = report.failed === null ? LAYERS.length : LAYERS.indexOf(report.failed);
  const outputs = {
    ok: report.failed === null,
    ...layers(passed),
    failed_layer: report.failed ?? '',
    locked: report.locked,
    transient: report.passing,
    error: report.error,
    size_bytes: report.sizeBytes,
    wal_bytes: report.walBytes,
    pages: report.pages,
    ...(await backupFigures(backups, path, clock)),
  };
  if (report.failed === null) return { outputs };
  throw new ActionError(
    report.passing ? 'retryable' : 'permanent',
    `the layer ${report.failed} of ${path} failed: ${report.error}`,
    { outputs },
  );
};

const layers = (passed: number): Readonly<Record<string, number>> =>
  Object.fromEntries(LAYERS.map((layer, index) => [`layer_${layer}`, index < passed ? 1 : 0]));

const see = async (path: string, sight: Sight): Promise<void> => {
  const stat = await lstat(path).catch(() => null);
  sight.exists = stat !== null;
  sight.readable =
    stat?.isFile() === true &&
    (await access(path, constants.R_OK).then(
      () => true,
      () => false,
    ));
};

const unanswered = ({ exists, readable }: Sight, error: string): JsonObject => ({
  ok: false,
  ...(exists === null || readable === null ? {} : layers(readable ? LAYERS.indexOf('opens') : exists ? 1 : 0)),
  failed_layer: readable === true ? 'opens' : '',
  transient: true,
  error,
});

const aborted = (signal: AbortSignal): Promise<never> =>
  new Promise((_, reject) => {
    const give = (): void => reject(signal.reason as Error);
    if (signal.aborted) give();
    else signal.addEventListener('abort', give, { once: true });
  });
