// A Redis whose stale clients let nobody in, or that stands still for a while. A client counts as stale after 1 s here
// instead of a minute, so that nobody has to wait for it; what asks a human first is not drilled.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { binaryOf } from '../test/support/requires.ts';
import { ask, stale, startRedis } from '../test/support/redis.ts';

const SOURCE = 'recovery-and-failover';
const MAX_CLIENTS = 20;
const STILL_MS = 2_000;

export const available = () => (binaryOf('redis-server') === null ? 'there is no redis-server here' : null);

export const prepare = async ({ folder, root }) => {
  const server = await startRedis(['--maxclients', String(MAX_CLIENTS)]);
  const rule = JSON.parse(readFileSync(join(root, 'rules/redis/redis-connection-lost.json'), 'utf8'));
  rule.event.params.runbook = 'redis/reconnect';
  rule.event.params.with = { idle_over: '1s' };
  const ruleFile = join(folder, 'redis-connection-lost.json');
  writeFileSync(ruleFile, JSON.stringify(rule));

  let clients = [];
  const letsIn = async () => (await ask(server.port, 'PING').catch(() => '')) === '+PONG';
  const fill = async () => {
    for (;;) {
      const client = await stale(server.port).catch(() => null);
      if (client === null || (await refused(client))) break;
      client.on('error', () => undefined);
      clients.push(client);
    }
    // Redis counts idleness in whole seconds.
    await pause(2_500);
  };
  const refused = async (client) => {
    const text = await ask(server.port, 'PING').catch(() => '-');
    if (text === '+PONG') return false;
    clients.push(client);
    return true;
  };
  const letGo = () => {
    server.thaw();
    for (const client of clients) client.destroy();
    clients = [];
  };
  /** Two rounds of the probe after the last fault: it has looked, and keeps its connection again. */
  const settled = () => pause(2_500);
  const faults = [
    { name: 'stale clients up to maxclients', alertname: 'RedisTooManyConnections', break: fill },
    {
      name: 'still for 2 s',
      alertname: 'RedisConnectionTimeout',
      break() {
        server.freeze();
        setTimeout(() => server.thaw(), STILL_MS);
      },
    },
  ].map((fault) => ({
    strategy: 'reconnect',
    figureMs: 5_000,
    source: SOURCE,
    healthy: letsIn,
    after: letGo,
    settled,
    ...fault,
  }));
  return {
    ruleFiles: [ruleFile],
    // Its probe keeps a connection for when nobody else is let in.
    probes: [{ name: 'redis_up', uses: 'redis.ping', target: 'main', every: '1s', timeout: '1s' }],
    component: {
      inventory: { static: [{ target: 'main', connect: { url: server.url } }] },
      allow: { actions: ['redis.*', 'degrade.*', 'inbox.*'] },
    },
    allow: { hosts: [server.host], paths: [folder] },
    degradedModes: {
      redis_unavailable: {
        available: ['basic conversation', 'in-memory cache', 'single session'],
        unavailable: ['multi-session state', 'long-term memory', 'persistent storage'],
        impact: 'memory limited, sessions are lost',
      },
    },
    faults,
    async close() {
      letGo();
      await server.stop();
    },
  };
};
