// Samples of input for the actions on Redis, on a real one that is started with the first of them.
import { join } from 'node:path';
import flushKeys from '../../../src/actions/redis/flush-keys.ts';
import type { JsonObject } from '../../../src/base/json.ts';
import { createContexts, perform } from '../../support/action-context.ts';
import { stale, startRedis } from '../../support/redis.ts';
import type { RealRedis } from '../../support/redis.ts';

type Case = {
  readonly good: () => Promise<JsonObject>;
  readonly long?: () => Promise<JsonObject>;
};

export type RedisCases = { readonly cases: Readonly<Record<string, Case>>; stop(): Promise<void> };

export const redisCases = (folder: string): RedisCases => {
  const contexts = createContexts();
  const started: RealRedis[] = [];
  const start = async (): Promise<RealRedis> => {
    const made = await startRedis();
    started.push(made);
    return made;
  };
  let usual: Promise<RealRedis> | null = null;
  const redis = (): Promise<RealRedis> => (usual ??= start());
  const frozen = async (): Promise<JsonObject> => {
    const made = await start();
    made.freeze();
    return { url: made.url, timeout: '1m' };
  };
  const looks: Case = { good: async () => ({ url: (await redis()).url }), long: frozen };
  const filled = async (dumps = join(folder, 'dumps')): Promise<JsonObject> => {
    const server = await redis();
    const filler = await server.client();
    await filler.mset({ a: '1', b: '2' });
    return { url: server.url, pattern: '*', dumps, max: 10 };
  };
  return {
    cases: {
      'redis.ping': looks,
      'redis.info': looks,
      'redis.memory': looks,
      'redis.kill-clients': {
        async good() {
          const { url, port } = await redis();
          const sockets = await Promise.all([stale(port), stale(port)]);
          for (const socket of sockets) socket.on('error', () => undefined).unref();
          await contexts.make().clock.sleep(2_100);
          return { url, idle_over: '1s' };
        },
      },
      'redis.flush-keys': { good: () => filled() },
      'redis.restore-keys': {
        async good() {
          const { url, host } = await redis();
          const context = contexts.make({ allow: { hosts: [host] } });
          const flushed = await perform(flushKeys, await filled(join(folder, 'other-dumps')), {
            ...context,
            allow: { ...context.allow, paths: [folder] },
          });
          return { url, file: flushed['file'] ?? '' };
        },
      },
    },
    async stop() {
      for (const each of started) await each.stop();
      await contexts.stop();
    },
  };
};
