// Deletes the keys that never expire, which is where a cache that was filled wrongly keeps what is wrong. Each key is on
// disk as RESTORE takes it back before it is deleted, and only the very value that is on disk is deleted.
import { z } from 'zod';
import { rfc3339 } from '../../base/clock.ts';
import { ActionError } from '../../base/failure.ts';
import type { JsonObject } from '../../base/json.ts';
import type { ActionContext } from '../../port/action.ts';
import { defineAction } from '../../port/action.ts';
import { allowedPath } from '../allowed.ts';
import { absolutePath, bytes } from '../inputs.ts';
import { withConnection } from './connection.ts';
import type { Connection } from './connection.ts';
import type { DumpedKey, DumpWriter } from './dump.ts';
import { LARGEST_DUMP, keptBefore, openDump } from './dump.ts';
import { identify, makeSure } from './identity.ts';
import { findLasting, shownKey } from './lasting.ts';
import { numberOf } from './replies.ts';
import { findServer, serverInput } from './server.ts';

/** One sync of the disk for each. */
const BATCH = 400;
/** Values on their way at a time, and how much of them is held before it is written. */
const AT_ONCE = 20;
const ENOUGH_BYTES = 8 * 1024 * 1024;
const MOST_SHOWN = 20;

export default defineAction({
  summary: 'Deletes the keys without a time to live that match a pattern, each after it was copied to a file.',
  effect: 'destroy',
  keeps: true,
  input: z.strictObject({
    ...serverInput(240_000),
    /** As SCAN understands it; `*` is all of this database. */
    pattern: z.string().min(1).max(1_024),
    /** The folder of the copy, below allow.paths. */
    dumps: absolutePath,
    /** More keys than this and none is deleted. */
    max: z.int().min(1).max(1_000_000),
    /** A copy larger than this ends it; what was deleted until then stands in the copy. */
    max_bytes: bytes.refine((size) => size <= LARGEST_DUMP, { message: 'at most 1GiB' }).default(64 * 1024 * 1024),
    /** As redis.info said it before: another process at the same address is not touched. */
    run_id: z
      .string()
      .regex(/^[0-9a-f]{40}$/, { message: 'a run_id as INFO shows it' })
      .optional(),
    dry_run: z.boolean().default(false),
  }),
  outputs: {
    found: 'keys that match and never expire',
    deleted: 'of them those that were deleted',
    left: 'of them those that changed, got a time to live or went away in the meantime, and were left alone',
    scanned: 'keys that match the pattern, with and without a time to live',
    file: 'the copy of what was deleted, or empty',
    file_bytes: 'its size in bytes',
    used_bytes_before: 'used_memory before, in bytes',
    used_bytes_after: 'used_memory after, in bytes',
    examples: 'the first of the keys found; bytes that are not printable as \\x00',
    run_id: 'the server that it was done on',
  },
  undo: 'redis.restore-keys with the file: it puts back each key whose name is still free, byte for byte',
  defaultTimeout: 300_000,
  async run(input, context) {
    context.signal.throwIfAborted();
    const server = await findServer(input, context);
    const folder = await allowedPath(input.dumps, context.allow, 'the folder of copies');
    const progress: Progress = { deleted: 0, left: 0, file: '', begun: false };
    try {
      const outputs = await withConnection(server, input.timeout, context, (connection) =>
        flush(connection, { ...input, folder }, progress, context),
      );
      return { outputs, undo: { file: outputs['file'] ?? '' } };
    } catch (error) {
      if (!progress.begun) throw error;
      const known = { deleted: progress.deleted, left: progress.left, file: progress.file };
      throw new ActionError(
        'indeterminate',
        `redis ${server.name}: it failed after ${progress.deleted} keys were deleted (${(error as Error).message}); all of them stand in ${progress.file}, and redis.restore-keys brings them back`,
        { cause: error, outputs: known },
      );
    }
  },
});

type Progress = { deleted: number; left: number; file: string; begun: boolean };
type Flush = {
  readonly pattern: string;
  readonly folder: string;
  readonly max: number;
  readonly max_bytes: number;
  readonly run_id?: string | undefined;
  readonly connect?: { readonly expect?: Parameters<typeof makeSure>[1] | undefined } | undefined;
  readonly dry_run: boolean;
};

const flush = async (
  connection: Connection,
  input: Flush,
  progress: Progress,
  context: ActionContext,
): Promise<JsonObject> => {
  const { server } = connection;
  const expected = { ...input.connect?.expect, ...(input.run_id === undefined ? {} : { run_id: input.run_id }) };
  const identity = await makeSure(connection, expected);
  const { keys, scanned } = await findLasting(connection, input.pattern, input.max, except(expected));
  const before = numberOf(identity.info, 'used_memory');
  const figures = {
    found: keys.length,
    deleted: 0,
    left: 0,
    scanned,
    file: '',
    file_bytes: 0,
    used_bytes_before: before,
    used_bytes_after: before,
    examples: keys.slice(0, MOST_SHOWN).map(shownKey),
    run_id: identity.runId,
  };
  if (keys.length > input.max)
    throw new ActionError(
      'permanent',
      `redis ${server.name}: more than ${input.max} keys match ${JSON.stringify(input.pattern)} and never expire, so none was deleted; mend: a narrower pattern, or a larger max if so many are meant`,
      { outputs: figures },
    );
  const header = {
    type: 'redis-dump',
    server: server.name,
    db: server.db,
    run_id: identity.runId,
    run: context.run.id,
    at: rfc3339(context.clock.now()),
  } as const;
  if (input.dry_run && keys.length > 0) return figures;
  const earlier = await keptBefore(input.folder, header);
  if (keys.length === 0 && earlier === 0)
    throw new ActionError(
      'permanent',
      `redis ${server.name}: no key matches ${JSON.stringify(input.pattern)} and never expires, so there is nothing to delete`,
      { outputs: figures },
    );
  const dump = await openDump(input.folder, header, Math.min(input.max_bytes, before));
  progress.file = dump.path;
  try {
    await deleteAll(connection, keys, dump, input.max_bytes, progress, context);
    const after = await identify(connection);
    return {
      ...figures,
      deleted: progress.deleted,
      left: progress.left,
      file: dump.path,
      file_bytes: dump.bytes(),
      used_bytes_after: numberOf(after.info, 'used_memory'),
    };
  } finally {
    await dump.close();
  }
};

/** The key by which the server is known has no time to live either. */
const except = (expected: { readonly key?: string | undefined }): readonly string[] =>
  expected.key === undefined ? [] : [expected.key];

const deleteAll = async (
  connection: Connection,
  keys: readonly Buffer[],
  dump: DumpWriter,
  maxBytes: number,
  progress: Progress,
  context: ActionContext,
): Promise<void> => {
  const work = async (batch: readonly Buffer[]): Promise<void> => {
    context.signal.throwIfAborted();
    const done = await deleteBatch(connection, batch, dump, maxBytes, progress, context);
    if (done > 0) {
      if (done < batch.length) await work(batch.slice(done));
      return;
    }
    // One of them was changed while it was being copied: in halves, until only that one is left.
    const half = Math.ceil(batch.length / 2);
    if (batch.length === 1) progress.left += 1;
    else {
      await work(batch.slice(0, half));
      await work(batch.slice(half));
    }
  };
  for (let from = 0; from < keys.length; from += BATCH) await work(keys.slice(from, from + BATCH));
};

/** How many from the front are dealt with; 0 when Redis refused since a key was changed after it was copied: none was deleted. */
const deleteBatch = async (
  connection: Connection,
  batch: readonly Buffer[],
  dump: DumpWriter,
  maxBytes: number,
  progress: Progress,
  context: ActionContext,
): Promise<number> => {
  await connection.call('WATCH', ...batch);
  const { copies, looked } = await copy(connection, batch);
  const size = copies.reduce((sum, { key, value }) => sum + key.length + value.length, 0);
  if (dump.bytes() + size * 1.5 > maxBytes)
    throw new ActionError('permanent', `the copy of the keys would be larger than max_bytes (${maxBytes})`);
  if (copies.length === 0) {
    await connection.call('UNWATCH');
    progress.left += looked;
    return looked;
  }
  await dump.append(copies);
  context.signal.throwIfAborted();
  if (!progress.begun) {
    progress.begun = true;
    context.began();
  }
  const names = copies.map(({ key }) => key);
  await connection.call('MULTI');
  await connection.call('UNLINK', ...names);
  const reply = await connection.call('EXEC');
  if (reply === null) {
    await dump.revoke(names);
    return 0;
  }
  progress.deleted += Array.isArray(reply) ? Number(reply[0]) : 0;
  progress.left += looked - copies.length;
  return looked;
};

/** Those that are still there and still never expire, as DUMP gives them; no more at once than memory has room for. */
const copy = async (
  connection: Connection,
  batch: readonly Buffer[],
): Promise<{ readonly copies: readonly DumpedKey[]; readonly looked: number }> => {
  const copies: DumpedKey[] = [];
  let size = 0;
  let looked = 0;
  while (looked < batch.length && size < ENOUGH_BYTES) {
    const some = batch.slice(looked, looked + AT_ONCE);
    looked += some.length;
    const found = await Promise.all(
      some.map(async (key) => ({
        key,
        lasts: Number(await connection.call('PTTL', key)) === -1,
        value: await connection.call('DUMP', key),
      })),
    );
    for (const { key, lasts, value } of found) {
      if (!lasts || !Buffer.isBuffer(value)) continue;
      copies.push({ key, value });
      size += value.length;
    }
  }
  return { copies, looked };
};
