// A started amends beside a real Redis that is full, and one that hangs in a real container.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect } from '@jest/globals';
import { startPodman } from '../support/podman.ts';
import { ask, fillEveryType, freePort, startRedis } from '../support/redis.ts';
import { itWith } from '../support/requires.ts';
import { startedHere, until } from '../support/servers.ts';
import { resolved, startShipped } from '../support/shipped.ts';
import type { Shipped } from '../support/shipped.ts';

const servers = startedHere();
const ends: Array<() => Promise<unknown>> = [];
let amends: Shipped | null = null;

afterEach(async () => {
  await amends?.stop();
  amends = null;
  for (const end of ends.splice(0)) await end();
}, 30_000);
afterAll(() => servers.stopAll());

const begin = async (port: number, more: object): Promise<Shipped> => {
  const dumps = join(await servers.folder(), 'dumps');
  mkdirSync(dumps);
  const connect = { url: `redis://127.0.0.1:${port}`, flush_pattern: '*', dumps, ...more };
  amends = await startShipped(servers, {
    kinds: ['redis'],
    components: {
      cache: {
        kind: 'redis',
        inventory: { static: [{ target: 'main', connect }] },
        allow: { actions: ['redis.*', 'container.*', 'triage.*'] },
      },
    },
    allow: { hosts: [`127.0.0.1:${port}`], paths: [dumps], containers: ['cache'] },
    more: { degraded_modes: { redis_unavailable: { available: ['one'], unavailable: ['two'], impact: 'some' } } },
  });
  return amends;
};

describe('a Redis and a started amends', () => {
  itWith('redis-server')(
    'R2 R5 keys that never expire go once a human says yes, and come back from the copy by the command line',
    async () => {
      const redis = await startRedis();
      ends.push(() => redis.stop());
      const client = await redis.client();
      await fillEveryType(client, 2_000);
      await client.set('session', 'stays', 'EX', 1_000);
      const before = await client.dbsize();
      const run = await begin(redis.port, { container: 'cache', socket: '/nowhere/podman.sock' });
      await run.fire('RedisMemoryPressure', 'cache', 'main');
      expect(await run.approved('flush_corrupted')).toMatchObject(resolved('flush_corrupted'));
      expect(await client.keys('*')).toEqual(['session']);

      const shown = JSON.stringify(
        await run.ask(0, 'runs', 'show', String((await run.ended('flush_corrupted'))['id'])),
      );
      const file = /([A-Za-z0-9][A-Za-z0-9.-]*\.ndjson)/.exec(shown)?.[1] ?? '';
      await run.ask(
        0,
        'recover',
        '--component=cache',
        '--strategy=restore_keys',
        `--inputs=${JSON.stringify({ file })}`,
        '--reason=it was needed',
        '--wait',
      );
      expect(await client.dbsize()).toBe(before);
    },
    60_000,
  );

  itWith('podman', 'redis-server')(
    'R6 R17 R18 a container that hangs is made anew once a human says yes, and answers with its data',
    async () => {
      const engine = await startPodman();
      ends.push(() => engine.stop());
      const port = await freePort();
      const command = ['/bin/redis-server', '--port', String(port), '--bind', '127.0.0.1', '--dir', '/data'];
      engine.run('run', '-d', '--network=host', '--name', 'cache', '--volume', '/data', 'localhost/tiny:1', ...command);
      await until('it answers', async () => (await ask(port, 'PING')) === '+PONG');
      await ask(port, 'SET kept yes');
      await ask(port, 'SAVE');
      const run = await begin(port, { container: 'cache', socket: engine.socket });
      for (const pid of engine.pids('cache')) process.kill(pid, 'SIGSTOP');
      await run.fire('RedisDown', 'cache', 'main');
      expect(await run.ended('reconnect')).toMatchObject({ outcome: 'unresolved' });
      expect(await run.modes()).toEqual(['redis_unavailable']);
      expect(await run.approved('restart_container')).toMatchObject(resolved('restart_container'));
      expect([await ask(port, 'PING'), await ask(port, 'EXISTS kept')]).toEqual(['+PONG', ':1']);
      expect(await run.modes()).toEqual([]);
    },
    90_000,
  );
});
