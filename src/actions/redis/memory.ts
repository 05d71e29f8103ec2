// How much memory a Redis uses, as numbers that alerts, conditions and verifications compare.
import { z } from 'zod';
import { ActionError } from '../../base/failure.ts';
import { defineAction } from '../../port/action.ts';
import { bytes } from '../inputs.ts';
import { withConnection } from './connection.ts';
import { flatInfo, numberOf, textOfReply } from './replies.ts';
import { findServer, serverInput } from './server.ts';

export default defineAction({
  summary: 'Reads how much memory a Redis uses, of how much it may, and how fragmented it is.',
  effect: 'read',
  input: z.strictObject({
    ...serverInput(5_000),
    /** Fails unless less than this is used: what it was before, to see that it went down. */
    below: bytes.optional(),
    /** Fails when a larger share of maxmemory is used. */
    max_share: z.number().positive().max(1).optional(),
  }),
  outputs: {
    used_bytes: 'used_memory, in bytes',
    dataset_bytes: 'of that for the data itself, in bytes',
    peak_bytes: 'the most there ever was since it started, in bytes',
    rss_bytes: 'what the operating system has given it, in bytes',
    max_bytes: 'maxmemory, in bytes; 0: no limit',
    maxmemory_share: 'used of maxmemory, 0 to 1; 0 without a limit',
    fragmentation_ratio: 'rss by used',
    policy: 'maxmemory_policy: what happens when it is full',
    evicted_keys: 'keys that were evicted since it started',
    keys: 'keys in all databases',
    keys_without_ttl: 'of them those that never expire',
  },
  undo: 'nothing to undo: it only reads',
  defaultTimeout: 10_000,
  async run(input, context) {
    const server = await findServer(input, context);
    const info = await withConnection(server, input.timeout, context, async (connection) =>
      flatInfo(textOfReply(await connection.call('INFO'))),
    );
    if (info['used_memory'] === undefined)
      throw new ActionError('permanent', `redis ${server.name} does not say how much memory it uses`);
    const used = numberOf(info, 'used_memory');
    const max = numberOf(info, 'maxmemory');
    const counted = countKeys(info);
    const outputs = {
      used_bytes: used,
      dataset_bytes: numberOf(info, 'used_memory_dataset'),
      peak_bytes: numberOf(info, 'used_memory_peak'),
      rss_bytes: numberOf(info, 'used_memory_rss'),
      max_bytes: max,
      maxmemory_share: max === 0 ? 0 : Math.round((used / max) * 10_000) / 10_000,
      fragmentation_ratio: numberOf(info, 'mem_fragmentation_ratio'),
      policy: (info['maxmemory_policy'] ?? '').slice(0, 64),
      evicted_keys: numberOf(info, 'evicted_keys'),
      ...counted,
    };
    if (input.below !== undefined && used >= input.below)
      throw new ActionError('retryable', `redis ${server.name} uses ${used} bytes, not less than ${input.below}`, {
        outputs,
      });
    if (input.max_share !== undefined && outputs.maxmemory_share > input.max_share)
      throw new ActionError(
        'retryable',
        `redis ${server.name} uses ${used} of ${max} bytes, a share of ${outputs.maxmemory_share}, more than ${input.max_share}`,
        { outputs },
      );
    return { outputs };
  },
});

/** From the lines `db0:keys=3,expires=1,avg_ttl=0`. */
const countKeys = (
  info: Readonly<Record<string, string>>,
): { readonly keys: number; readonly keys_without_ttl: number } => {
  let keys = 0;
  let expires = 0;
  for (const [name, value] of Object.entries(info)) {
    if (!/^db\d+$/.test(name)) continue;
    keys += Number(/keys=(\d+)/.exec(value)?.[1] ?? 0);
    expires += Number(/expires=(\d+)/.exec(value)?.[1] ?? 0);
  }
  return { keys, keys_without_ttl: Math.max(0, keys - expires) };
};
