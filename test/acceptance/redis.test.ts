// A real amends beside a real Redis: its probe keeps a way in, and an application reads what it can count on meanwhile.
import { writeFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect } from '@jest/globals';
import { ask, stale, startRedis } from '../support/redis.ts';
import type { RealRedis } from '../support/redis.ts';
import { itWith } from '../support/requires.ts';
import { getJson, root, startedHere, until } from '../support/servers.ts';
import type { Running, Servers } from '../support/servers.ts';

let servers: Servers;
let redis: RealRedis;
let amends: Running;
const sockets: Socket[] = [];

beforeEach(async () => {
  servers = startedHere();
});
afterEach(async () => {
  await servers.stopAll();
  for (const socket of sockets.splice(0)) socket.destroy();
  await redis.stop();
});

const begin = async (): Promise<void> => {
  redis = await startRedis(['--maxclients', '12']);
  const folder = await servers.folder();
  const config = join(folder, 'amends.yaml');
  const connect = { url: redis.url, container: 'cache', socket: '/nowhere/podman.sock' };
  writeFileSync(
    config,
    JSON.stringify({
      version: 1,
      rule_files: [join(root, 'rules/redis/*.json')],
      runbook_files: [join(root, 'runbooks/redis/*.yaml')],
      recovery: { mode: 'auto', cooldown: { after_failure: '0s', after_success: '0s' } },
      components: {
        cache: {
          kind: 'redis',
          inventory: { static: [{ target: 'main', connect }] },
          allow: { actions: ['redis.*', 'container.*'] },
        },
      },
      allow: { hosts: [redis.host], containers: ['cache'] },
      probes: [{ name: 'cache_ping', uses: 'redis.ping', component: 'cache', target: 'main', every: '1s' }],
      degraded_modes: {
        redis_unavailable: { available: ['single session'], unavailable: ['long-term memory'], impact: 'limited' },
      },
    }),
  );
  amends = await servers.amends({ config, args: [`--storage.path=${join(folder, 'data')}`] });
};

type Row = Readonly<Record<string, unknown>>;
const listed = async (path: string): Promise<readonly Row[]> =>
  (await getJson<{ items: readonly Row[] }>(`${amends.url}/api/v1/${path}`)).items;
const metrics = async (): Promise<string> => (await fetch(`${amends.url}/metrics`)).text();
const post = async (alertname: string): Promise<void> => {
  const alert = {
    status: 'firing',
    labels: { alertname, component: 'cache', target: 'main' },
    annotations: {},
    startsAt: new Date().toISOString(),
    endsAt: '0001-01-01T00:00:00Z',
    generatorURL: '',
    fingerprint: '0',
  };
  const rest = { externalURL: '', groupLabels: {}, commonLabels: {}, commonAnnotations: {} };
  const response = await fetch(`${amends.url}/webhook/alertmanager`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      version: '4',
      groupKey: '{}',
      receiver: 'amends',
      status: 'firing',
      truncatedAlerts: 0,
      ...rest,
      alerts: [alert],
    }),
  });
  expect(response.status).toBe(202);
};

describe('a Redis and amends beside it', () => {
  itWith('redis-server')(
    'R4 the connection that the probe keeps makes room on a full server, and is closed when amends stops',
    async () => {
      await begin();
      const kept = async (): Promise<boolean> => {
        const watcher = await redis.client();
        const list = (await watcher.client('LIST')) as string;
        watcher.disconnect();
        return list.includes('name=amends');
      };
      await until('the probe keeps a connection', kept);
      for (let left = 11; left > 0; left -= 1) sockets.push((await stale(redis.port)).on('error', () => undefined));
      expect(await ask(redis.port, 'PING')).toContain('max number of clients reached');
      await until('the probe sees it', async () => /output="full"\} 1/.test(await metrics()));
      // Its runbook calls a client stale after a minute; by hand somebody may be less patient.
      const asked = await until(
        'enough of them are stale',
        async () => {
          const response = await fetch(`${amends.url}/api/v1/recoveries`, {
            method: 'POST',
            headers: { 'content-type': 'application/json' },
            body: JSON.stringify({
              component: 'cache',
              strategy: 'reconnect',
              inputs: { idle_over: '1s' },
              reason: 'a drill',
            }),
          });
          await until('it ended', async () => (await listed('runs')).every((run) => run['outcome'] !== null));
          return response.ok && (await ask(redis.port, 'PING')) === '+PONG';
        },
        20_000,
        500,
      );
      expect(asked).toBe(true);
      expect(await ask(redis.port, 'PING')).toBe('+PONG');
      await amends.stop();
      await until('it let go', async () => !(await kept()));
    },
    60_000,
  );

  itWith('redis-server')(
    'R18 while a Redis is frozen its applications read over HTTP what they can count on, and Prometheus sees it',
    async () => {
      await begin();
      expect(await metrics()).toContain('infra_degraded_mode_active{mode="redis_unavailable"} 0');
      redis.freeze();
      await post('RedisConnectionTimeout');
      const mode = await until('the mode is on', async () =>
        (await listed('degraded-modes')).find((one) => one['name'] === 'redis_unavailable' && one['active'] === true),
      );
      expect(mode).toMatchObject({
        available: ['single session'],
        unavailable: ['long-term memory'],
        impact: 'limited',
      });
      expect(await metrics()).toContain('infra_degraded_mode_active{mode="redis_unavailable"} 1');
      await until('a human is asked', async () =>
        (await listed('inbox')).some((entry) => entry['kind'] === 'approval' && entry['status'] === 'open'),
      );
    },
    60_000,
  );
});
