// A Redis whose stale clients let nobody in, or that stands still for a while. A client counts as stale after 1 s here
// instead of a minute, so that nobody has to wait for it. One that is full of keys that never expire is flushed, and one
// that hangs in a real container is made anew, each once a human has said yes.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { binaryOf } from '../test/support/requires.ts';
import { startPodman } from '../test/support/podman.ts';
import { ask, fillEveryType, freePort, stale, startRedis } from '../test/support/redis.ts';
import { until } from '../test/support/servers.ts';
import { changedRules } from './rules.mjs';

const SOURCE = 'recovery-and-failover';
const MAX_CLIENTS = 20;
const STILL_MS = 2_000;
const KEYS = 2_000;
const CONTAINER = 'drill-cache';

/** A Redis in a real container, and how it is made to hang. */
const box = async () => {
  const engine = await startPodman();
  const port = await freePort();
  const command = ['/bin/redis-server', '--port', String(port), '--bind', '127.0.0.1', '--dir', '/data'];
  engine.run('run', '-d', '--network=host', '--name', CONTAINER, '--volume', '/data', 'localhost/tiny:1', ...command);
  await until('it answers', async () => (await ask(port, 'PING')) === '+PONG');
  await ask(port, 'SET kept yes');
  await ask(port, 'SAVE');
  return {
    host: `127.0.0.1:${port}`,
    connect: { url: `redis://127.0.0.1:${port}`, container: CONTAINER, socket: engine.socket },
    fault: {
      name: 'hangs in its container, after reconnect has failed',
      target: 'boxed',
      strategy: 'restart_container',
      alertname: 'RedisDown',
      figureMs: 30_000,
      source: SOURCE,
      asks: true,
      break() {
        for (const pid of engine.pids(CONTAINER)) process.kill(pid, 'SIGSTOP');
      },
      healthy: async () =>
        (await ask(port, 'PING').catch(() => '')) === '+PONG' && (await ask(port, 'EXISTS kept')) === ':1',
    },
    close: () => engine.stop(),
  };
};

export const available = () => (binaryOf('redis-server') === undefined ? 'there is no redis-server here' : null);

export const prepare = async ({ folder, root }) => {
  const server = await startRedis(['--maxclients', String(MAX_CLIENTS)]);
  const ruleFiles = changedRules({ root, folder }, 'redis', {
    'redis-connection-lost': (params) =>
      void (params.runbook = params.runbook.map((rung) =>
        rung === 'redis/reconnect' ? { runbook: rung, with: { idle_over: '1s' } } : rung,
      )),
  });
  const dumps = join(folder, 'dumps');
  mkdirSync(dumps);
  const full = await startRedis();
  const keys = await full.client();
  const boxed = binaryOf('podman') === undefined ? null : await box();

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
  const flushed = {
    name: 'keys that never expire',
    target: 'full',
    strategy: 'flush_corrupted',
    alertname: 'RedisMemoryPressure',
    figureMs: 10_000,
    source: SOURCE,
    asks: true,
    async break() {
      await fillEveryType(keys, KEYS);
      await keys.set('session', 'stays', 'EX', 1_000);
    },
    healthy: async () => (await keys.keys('*')).join() === 'session',
  };
  return {
    ruleFiles,
    // Its probe keeps a connection for when nobody else is let in.
    probes: [{ name: 'redis_up', uses: 'redis.ping', target: 'main', every: '1s', timeout: '1s' }],
    component: {
      inventory: {
        static: [
          { target: 'main', connect: { url: server.url } },
          { target: 'full', connect: { url: full.url, flush_pattern: '*', dumps } },
          ...(boxed === null ? [] : [{ target: 'boxed', connect: boxed.connect }]),
        ],
      },
      allow: { actions: ['redis.*', 'container.*', 'degrade.*', 'inbox.*', 'triage.*'] },
    },
    allow: {
      hosts: [server.host, full.host, ...(boxed === null ? [] : [boxed.host])],
      paths: [folder],
      containers: [CONTAINER],
    },
    degradedModes: {
      redis_unavailable: {
        available: ['basic conversation', 'in-memory cache', 'single session'],
        unavailable: ['multi-session state', 'long-term memory', 'persistent storage'],
        impact: 'memory limited, sessions are lost',
      },
    },
    faults: [...faults, flushed, ...(boxed === null ? [] : [boxed.fault])],
    async close() {
      letGo();
      await Promise.all([server.stop(), full.stop(), boxed?.close()]);
    },
  };
};
