// What a Redis says of itself, as evidence, and the few members that decide whether it is sound.
import { z } from 'zod';
import { ActionError } from '../../base/failure.ts';
import type { JsonObject } from '../../base/json.ts';
import { defineAction } from '../../port/action.ts';
import { withConnection } from './connection.ts';
import { flatInfo, numberOf, parseInfo, textOfReply } from './replies.ts';
import { findServer, serverInput } from './server.ts';

const SECTIONS = ['server', 'clients', 'memory', 'persistence', 'stats', 'replication', 'cpu', 'cluster', 'keyspace'];
const section = z.enum(SECTIONS as [string, ...string[]]);
const MOST_LINES = 120;
const LONGEST_VALUE = 200;

export default defineAction({
  summary: 'Reads INFO of a Redis: its sections as evidence, and whether it is loading, saving and of which role.',
  effect: 'read',
  input: z.strictObject({
    ...serverInput(5_000),
    sections: z
      .array(section)
      .min(1)
      .max(SECTIONS.length)
      .default(['server', 'clients', 'memory', 'persistence', 'stats', 'replication', 'keyspace']),
    /** Fails while it loads its data or cannot save it. */
    clean: z.boolean().default(false),
  }),
  outputs: {
    sections: 'section to member to value, all as text',
    version: 'of the server',
    run_id: 'which process of a server it is; another one after each start',
    role: 'master or slave',
    uptime_seconds: 'since it started',
    connected_clients: 'how many are connected',
    max_clients: 'maxclients, 0 when it does not say',
    blocked_clients: 'how many wait in a blocking command',
    used_bytes: 'used_memory, in bytes',
    loading: 'it is loading its data',
    saves: 'its last saves to disk went well',
  },
  undo: 'nothing to undo: it only reads',
  defaultTimeout: 10_000,
  async run(input, context) {
    const server = await findServer(input, context);
    const text = await withConnection(server, input.timeout, context, async (connection) =>
      textOfReply(await connection.call('INFO')),
    );
    const all = parseInfo(text);
    const info = flatInfo(text);
    if (info['redis_version'] === undefined)
      throw new ActionError('permanent', `${server.name} has no redis_version in its INFO: it is no Redis`);
    const loading = info['loading'] === '1';
    const saves = info['rdb_last_bgsave_status'] !== 'err' && info['aof_last_write_status'] !== 'err';
    const outputs = {
      sections: cut(all, input.sections),
      version: info['redis_version'].slice(0, LONGEST_VALUE),
      run_id: (info['run_id'] ?? '').slice(0, LONGEST_VALUE),
      role: (info['role'] ?? '').slice(0, LONGEST_VALUE),
      uptime_seconds: numberOf(info, 'uptime_in_seconds'),
      connected_clients: numberOf(info, 'connected_clients'),
      max_clients: numberOf(info, 'maxclients'),
      blocked_clients: numberOf(info, 'blocked_clients'),
      used_bytes: numberOf(info, 'used_memory'),
      loading,
      saves,
    };
    if (input.clean && loading)
      throw new ActionError('retryable', `redis ${server.name} is still loading its data`, { outputs });
    if (input.clean && !saves)
      throw new ActionError('permanent', `redis ${server.name} could not save its data the last time it tried`, {
        outputs,
      });
    return { outputs };
  },
});

const cut = (all: ReturnType<typeof parseInfo>, wanted: readonly string[]): JsonObject =>
  Object.fromEntries(
    wanted.flatMap((name) => {
      const members = Object.entries(all[name] ?? {}).slice(0, MOST_LINES);
      return members.length === 0
        ? []
        : [[name, Object.fromEntries(members.map(([key, value]) => [key, value.slice(0, LONGEST_VALUE)]))]];
    }),
  );
