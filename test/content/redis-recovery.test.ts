// The shipped strategies for Redis at work: alerts are taken in, real servers are full, frozen, stuffed and restarted,
// and what their users see is looked at from outside.
import { readFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect } from '@jest/globals';
import { releaseKept } from '../../src/actions/redis/kept.ts';
import ping from '../../src/actions/redis/ping.ts';
import type { JsonObject } from '../../src/base/json.ts';
import { createContexts, perform, textOf } from '../support/action-context.ts';
import { startEngine } from '../support/engine.ts';
import type { EngineUnderTest } from '../support/engine.ts';
import { startPodman } from '../support/podman.ts';
import type { Podman } from '../support/podman.ts';
import { ask, dumpAll, fillEveryType, freePort, stale, startRedis } from '../support/redis.ts';
import type { RealRedis } from '../support/redis.ts';
import { binaryOf, itWith } from '../support/requires.ts';
import { root, until } from '../support/servers.ts';

const contexts = createContexts();
let amends: EngineUnderTest | null = null;
let podman: Podman | null = null;
const started: RealRedis[] = [];
const sockets: Socket[] = [];

type Place = { readonly url: string; readonly host: string; readonly expect?: JsonObject; readonly socket?: string };

const configFor = ({ url, host, expect: expected, socket = '/nowhere/podman.sock' }: Place): string =>
  JSON.stringify({
    version: 1,
    rule_files: ['rules/*.json'],
    runbook_files: [`${root}runbooks/redis/*.yaml`],
    recovery: { mode: 'auto' },
    components: {
      cache: {
        kind: 'redis',
        inventory: {
          static: [
            {
              target: 'main',
              connect: {
                url,
                flush_pattern: '*',
                dumps: 'DUMPS',
                container: 'cache',
                socket,
                ...(expected === undefined ? {} : { expect: expected }),
              },
            },
          ],
        },
        allow: { actions: ['redis.*', 'container.*', 'triage.*'] },
      },
    },
    allow: { hosts: [host], paths: ['DUMPS'], containers: ['cache'] },
    probes: [
      { name: 'cache_ping', uses: 'redis.ping', component: 'cache', target: 'main', every: '1h', timeout: '5s' },
    ],
    degraded_modes: {
      redis_unavailable: {
        available: ['basic conversation', 'in-memory cache', 'single session'],
        unavailable: ['multi-session state'],
        impact: 'memory limited',
      },
    },
  });

/** The shipped rules; a client that was idle for a second counts as stale, so that no test waits for a minute. */
const rules = (): Record<string, object> => {
  const read = (name: string): { event: { params: { runbook: unknown } } } =>
    JSON.parse(readFileSync(join(root, 'rules/redis', `${name}.json`), 'utf8')) as never;
  const lost = read('redis-connection-lost');
  const [, ...rest] = lost.event.params.runbook as readonly unknown[];
  lost.event.params.runbook = [{ runbook: 'redis/reconnect', with: { idle_over: '1s' } }, ...rest];
  return {
    'rules/redis-connection-lost.json': lost,
    'rules/redis-high-latency.json': read('redis-high-latency'),
    'rules/redis-memory-pressure.json': read('redis-memory-pressure'),
  };
};

const begin = async (place: Place): Promise<EngineUnderTest> => {
  const folder = join(started[0]?.folder ?? podman?.folder ?? '/tmp', 'dumps');
  amends = await startEngine({ config: configFor(place).replaceAll('DUMPS', folder), files: rules() });
  return amends;
};
const server = async (...args: readonly string[]): Promise<RealRedis> => {
  const made = await startRedis(args);
  started.push(made);
  return made;
};
const here = (): EngineUnderTest => {
  if (amends === null) throw new Error('not begun');
  return amends;
};

beforeAll(async () => {
  if (binaryOf('podman') !== undefined && binaryOf('redis-server') !== undefined) podman = await startPodman();
}, 60_000);
afterEach(async () => {
  await amends?.close();
  amends = null;
  releaseKept();
  for (const socket of sockets.splice(0)) socket.destroy();
  for (const each of started.splice(0)) await each.stop();
});
afterAll(async () => {
  await podman?.stop();
  await contexts.stop();
}, 30_000);

const fire = (alertname: string): Promise<void> =>
  here().post([{ labels: { alertname, component: 'cache', target: 'main', severity: 'critical' } }]);

/** The first run of a strategy: what failed may be asked about again afterwards. */
const first = async (strategy: string): Promise<Seen> => {
  const run = (await here().list('runs'))
    .toSorted((left, right) => left.createdAt - right.createdAt)
    .find((one) => one.strategy === strategy);
  if (run === undefined) throw new Error(`no run; decisions: ${JSON.stringify(await here().list('decisions'))}`);
  const events = ((await here().store.run(run.id))?.events ?? []).map(({ at, event }) => ({ at, event }));
  return {
    run,
    tries: (step) =>
      events.flatMap(({ at, event }) => (event.type === 'step_started' && event.step === step ? [at] : [])),
    ended: (step) => events.flatMap(({ event }) => ('step' in event && event.step === step ? [event.type] : [])).at(-1),
    outputs(step) {
      const found = events.findLast(
        ({ event }) => (event.type === 'step_succeeded' || event.type === 'step_failed') && event.step === step,
      )?.event;
      return found !== undefined && 'outputs' in found ? found.outputs : {};
    },
    error(step) {
      const found = events.findLast(({ event }) => event.type === 'step_failed' && event.step === step)?.event;
      return found !== undefined && 'error' in found ? found.error : '';
    },
  };
};
type Seen = {
  readonly run: Awaited<ReturnType<EngineUnderTest['list']>>[number] & Record<string, unknown>;
  tries(step: string): readonly number[];
  ended(step: string): string | undefined;
  outputs(step: string): JsonObject;
  error(step: string): string;
};
const approve = async (runId: string): Promise<void> => {
  const answer = await here().engine.desk.approve({ runId, step: null, by: 'ann', comment: 'go on' });
  expect(answer).toMatchObject({ ok: true });
  await here().settle();
};
const openInbox = async () => (await here().list('inbox')).filter(({ status }) => status === 'open');
const modes = async (): Promise<readonly string[]> => (await here().store.degraded()).map(({ mode }) => mode);

describe('redis/reconnect', () => {
  itWith('redis-server')(
    'R2 R4 D7 a server whose stale clients fill its maxclients takes new ones again, within 5 s of the alert',
    async () => {
      const redis = await server('--maxclients', '20');
      await begin(redis);
      // The probe finds it well, and keeps its connection.
      await perform(
        ping,
        { url: redis.url },
        { ...contexts.make({ allow: { hosts: [redis.host] } }), marker: 'probe/cache' },
      );
      const made = await Promise.all(Array.from({ length: 19 }, () => stale(redis.port)));
      for (const socket of made) sockets.push(socket.on('error', () => undefined));
      await until('they are idle', () => stalest(made), 5_000);
      expect(await ask(redis.port, 'PING')).toContain('max number of clients reached');

      const from = performance.now();
      await fire('RedisTooManyConnections');
      const seen = await first('reconnect');
      expect(seen.run).toMatchObject({ outcome: 'resolved', cause: 'verified' });
      expect(performance.now() - from).toBeLessThan(5_000);
      expect(seen.outputs('steps/probe')).toMatchObject({ pong: false, full: true });
      expect(seen.outputs('steps/drop_stale')).toMatchObject({ killed: 10, clients: 20, through: 'kept' });
      expect(await ask(redis.port, 'PING')).toBe('+PONG');
      expect(await modes()).toEqual([]);
    },
    30_000,
  );

  itWith('redis-server')(
    'R4 R17 R18 one that is frozen is retried at 2x backoff, then a human is asked with the evidence, and applications know',
    async () => {
      const redis = await server();
      await begin(redis);
      redis.freeze();
      await fire('RedisConnectionTimeout');
      const seen = await first('reconnect');
      expect(seen.run).toMatchObject({ outcome: 'unresolved', cause: 'step_failed' });
      const [begun = 0, second = 0, third = 0, ...more] = seen.tries('steps/reconnect');
      expect(more).toEqual([]);
      // A try takes 2 s, then 1 s and 2 s are waited.
      expect(second - begun).toBeGreaterThanOrEqual(3_000);
      expect(third - second).toBeGreaterThanOrEqual(4_000);
      expect(third - second).toBeLessThan(7_000);
      expect(seen.error('steps/reconnect')).toContain('within 2000 ms');
      expect(seen.error('before/evidence')).toContain('within 1000 ms');
      expect(await modes()).toEqual(['redis_unavailable']);

      // The next rung asks without waiting for the cooldown.
      await here().until(async () => (await here().list('runs')).length === 2);
      const asked = await first('restart_container');
      expect(asked.run).toMatchObject({ state: 'awaiting_approval' });
      const inbox = await openInbox();
      expect(inbox.some(({ kind, title }) => kind === 'approval' && /restart_container/.test(title))).toBe(true);

      // The restart does not help either (there is no engine here): somebody is called, with what was tried on record.
      await approve(String(asked.run['id']));
      here().clock.advance(301_000);
      await here().settle();
      const failed = await first('restart_container');
      expect(failed.run).toMatchObject({ outcome: 'unresolved', cause: 'step_failed' });
      expect(failed.error('steps/recreate')).toContain('/nowhere/podman.sock');
      const called = (await openInbox()).filter(({ kind }) => kind === 'escalation');
      expect(called).toMatchObject([{ severity: 'SEV1', component: 'cache', target: 'main' }]);
      redis.thaw();
      expect(await ask(redis.port, 'PING')).toBe('+PONG');
    },
    60_000,
  );
});

const idleSince = new WeakMap<readonly Socket[], number>();
const stalest = (made: readonly Socket[]): boolean => {
  const since = idleSince.get(made) ?? performance.now();
  idleSince.set(made, since);
  return performance.now() - since > 2_200;
};

describe('redis/flush_corrupted', () => {
  const stuffed = async (...args: readonly string[]): Promise<RealRedis> => {
    const redis = await server(...args);
    const client = await redis.client();
    await fillEveryType(client, 2_000);
    await client.set('session', 'stays', 'EX', 1_000);
    return redis;
  };

  itWith('redis-server')(
    'R2 R5 keys that never expire are deleted by approval with a copy beside them, and every one comes back byte for byte',
    async () => {
      const redis = await stuffed();
      const client = await redis.client();
      const before = await dumpAll(client);
      await begin(redis);
      await fire('RedisMemoryPressure');
      const asked = await first('flush_corrupted');
      expect(asked.run).toMatchObject({ state: 'awaiting_approval' });
      expect(await client.dbsize()).toBe(before.size);
      await approve(String(asked.run['id']));
      const seen = await first('flush_corrupted');
      expect(seen.run).toMatchObject({ outcome: 'resolved', cause: 'verified' });
      expect(seen.outputs('steps/find')).toMatchObject({ found: before.size - 1, deleted: 0 });
      const flushed = seen.outputs('steps/flush');
      expect(flushed).toMatchObject({ deleted: before.size - 1, left: 0 });
      expect(flushed['used_bytes_after']).toBeLessThan(flushed['used_bytes_before'] as number);
      expect(await client.keys('*')).toEqual(['session']);

      // A day later somebody misses something.
      const file = textOf(flushed, 'file').split('/').at(-1) ?? '';
      const answer = await here().engine.desk.recover({
        component: 'cache',
        target: null,
        strategy: 'restore_keys',
        failureType: null,
        inputs: { file },
        context: {},
        requireApproval: false,
        overrideCooldown: true,
        reason: 'it was needed',
        by: 'ann',
      });
      expect(answer).toMatchObject({ ok: true, value: { reason: 'admitted' } });
      await here().settle();
      expect((await first('restore_keys')).run).toMatchObject({ outcome: 'resolved' });
      expect(await dumpAll(client)).toEqual(before);
    },
    30_000,
  );

  itWith('redis-server')(
    'R5 F57 when memory does not go down the flush is undone: every key is back, and a human is told',
    async () => {
      const redis = await stuffed();
      const client = await redis.client();
      const before = await dumpAll(client);
      await begin(redis);
      await fire('RedisMemoryPressure');
      const asked = await first('flush_corrupted');
      // As fast as keys go, somebody fills it up again.
      let stop = false;
      const filling = (async () => {
        const filler = await redis.client();
        while (!stop) {
          if ((await filler.exists('plain:0')) === 0 && (await filler.exists('filler')) === 0)
            await filler.set('filler', 'x'.repeat(20_000_000), 'EX', 1_000);
          await new Promise((resolve) => void setTimeout(resolve, 5));
        }
      })();
      await approve(String(asked.run['id']));
      stop = true;
      await filling;
      const seen = await first('flush_corrupted');
      expect(seen.run).toMatchObject({ outcome: 'unresolved', cause: 'not_verified' });
      expect(seen.ended('undo/flush')).toBe('step_succeeded');
      await client.del('filler');
      expect(await dumpAll(client)).toEqual(before);
      expect(await modes()).toEqual(['redis_unavailable']);
      expect((await openInbox()).some(({ kind }) => kind === 'escalation')).toBe(true);
    },
    40_000,
  );

  itWith('redis-server')(
    'F59 F31 a cache that is not the expected server is refused, and nothing is deleted',
    async () => {
      const redis = await stuffed();
      const client = await redis.client();
      const before = await dumpAll(client);
      await begin({ ...redis, expect: { key: 'amends:server', value: 'cache-a' } });
      await fire('RedisMemoryPressure');
      await approve(String((await first('flush_corrupted')).run['id']));
      const seen = await first('flush_corrupted');
      expect(seen.run).toMatchObject({ outcome: 'unresolved', cause: 'step_failed' });
      expect(seen.error('steps/find')).toContain('does not hold the value by which it is known');
      expect(seen.tries('steps/flush')).toEqual([]);
      expect(await dumpAll(client)).toEqual(before);
    },
  );
});

describe('redis/restart_container', () => {
  itWith('podman', 'redis-server')(
    'R6 a container stopped inside by SIGSTOP is replaced after an approval, and answers again with its data',
    async () => {
      const engine = podman;
      if (engine === null) throw new Error('podman was not started');
      const port = await freePort();
      const command = ['/bin/redis-server', '--port', String(port), '--bind', '127.0.0.1', '--dir', '/data'];
      engine.run('run', '-d', '--network=host', '--name', 'cache', '--volume', '/data', 'localhost/tiny:1', ...command);
      await until('it answers', async () => (await ask(port, 'PING')) === '+PONG');
      await ask(port, 'SET kept yes');
      await ask(port, 'SAVE');
      await begin({ url: `redis://127.0.0.1:${port}`, host: `127.0.0.1:${port}`, socket: engine.socket });
      for (const pid of engine.pids('cache')) process.kill(pid, 'SIGSTOP');
      await expect(ask(port, 'PING', 300)).rejects.toThrow('no answer');

      await fire('RedisDown');
      expect((await first('reconnect')).run).toMatchObject({ outcome: 'unresolved' });
      expect(await modes()).toEqual(['redis_unavailable']);
      await here().until(async () => (await here().list('runs')).length === 2);
      const asked = await first('restart_container');
      expect(asked.run).toMatchObject({ state: 'awaiting_approval' });
      await expect(ask(port, 'PING', 300)).rejects.toThrow('no answer');
      await approve(String(asked.run['id']));
      // Once approved it starts at the end of the cooldown.
      here().clock.advance(301_000);
      await here().settle();

      const seen = await first('restart_container');
      expect(seen.run).toMatchObject({ outcome: 'resolved', cause: 'verified' });
      expect(await ask(port, 'PING')).toBe('+PONG');
      expect(await ask(port, 'EXISTS kept')).toBe(':1');
      expect(seen.outputs('steps/clean')).toMatchObject({ loading: false, saves: true, role: 'master' });
      expect(await modes()).toEqual([]);
      expect(engine.run('ps', '-a', '--format', '{{.Names}}').trim()).toBe('cache');
    },
    120_000,
  );
});
