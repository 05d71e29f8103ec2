// Looking at a real Redis, in every state in which one can be found, and making room on one that is full.
import { createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import flushKeys from '../../../src/actions/redis/flush-keys.ts';
import info from '../../../src/actions/redis/info.ts';
import killClients from '../../../src/actions/redis/kill-clients.ts';
import memory from '../../../src/actions/redis/memory.ts';
import ping from '../../../src/actions/redis/ping.ts';
import restoreKeys from '../../../src/actions/redis/restore-keys.ts';
import { releaseKept } from '../../../src/actions/redis/kept.ts';
import type { ActionError } from '../../../src/base/failure.ts';
import type { JsonObject } from '../../../src/base/json.ts';
import type { Action } from '../../../src/port/action.ts';
import { createContexts, eventually, failureOf, perform } from '../../support/action-context.ts';
import type { TestContext } from '../../support/action-context.ts';
import { ask, freePort, stale, startRedis } from '../../support/redis.ts';
import type { RealRedis } from '../../support/redis.ts';
import { itWith } from '../../support/requires.ts';
import { root } from '../../support/servers.ts';

const contexts = createContexts();
const started: RealRedis[] = [];
const sockets: Socket[] = [];
const doubles: Server[] = [];
let redis: RealRedis;

const start = async (args: readonly string[] = [], password: string | null = null): Promise<RealRedis> => {
  const made = await startRedis(args, password);
  started.push(made);
  return made;
};
const hosts: string[] = [];
const context = (more: { marker?: string; timeout?: number } = {}): TestContext => {
  const made = contexts.make({ allow: { hosts }, ...(more.timeout === undefined ? {} : { timeout: more.timeout }) });
  return more.marker === undefined ? made : { ...made, marker: more.marker };
};
const run = <Input>(action: Action<Input>, input: JsonObject, at = context()): Promise<JsonObject> =>
  perform(action, input, at);
const fail = <Input>(action: Action<Input>, input: JsonObject, at = context()): Promise<ActionError> =>
  failureOf(run(action, input, at));

beforeAll(async () => {
  redis = await start();
});
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy();
  for (const double of doubles.splice(0)) double.close();
  releaseKept();
});
afterAll(async () => {
  for (const each of started) await each.stop();
  await contexts.stop();
});

/** A server that does to its callers what a broken one does. */
const double = async (behave: (socket: Socket) => void): Promise<string> => {
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.on('error', () => undefined);
    behave(socket);
  });
  doubles.push(server);
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return `redis://127.0.0.1:${port}`;
};

beforeAll(() => void hosts.push('127.0.0.1'));

describe('redis.ping', () => {
  itWith('redis-server')('answers with how long it took, over a connection that is closed afterwards', async () => {
    const watcher = await redis.client();
    const outputs = await run(ping, { url: redis.url });
    expect(outputs).toEqual({
      pong: true,
      refused: false,
      full: false,
      latency_ms: expect.any(Number),
      connect_ms: expect.any(Number),
      reserved: false,
    });
    await eventually(async () => ((await watcher.client('LIST')) as string).trim().split('\n').length === 1);
  });

  itWith('redis-server')('R4 refuses a latency above the limit, and says how long it took', async () => {
    const error = await fail(ping, { url: redis.url, max_latency: '0' });
    expect(error.kind).toBe('retryable');
    expect(error.message).toMatch(/took .* ms for a PING, more than 0 ms/);
    expect(error.outputs).toMatchObject({ latency_ms: expect.any(Number) });
  });

  itWith('redis-server')(
    'F59 a server frozen by SIGSTOP is given up at the deadline, and nothing waits on',
    async () => {
      const frozen = await start();
      frozen.freeze();
      const from = performance.now();
      const error = await fail(ping, { url: frozen.url, timeout: '300ms' });
      expect(error.kind).toBe('retryable');
      expect(error.message).toContain('within 300 ms');
      expect(performance.now() - from).toBeLessThan(1_300);
      frozen.thaw();
      expect(await run(ping, { url: frozen.url })).toMatchObject({ reserved: false });
    },
  );

  itWith('redis-server')('F51 is called off within a second while a frozen server says nothing', async () => {
    const frozen = await start();
    frozen.freeze();
    const at = context();
    const failed = run(ping, { url: frozen.url, timeout: '1m' }, at).then(
      () => null,
      (error: unknown) => error,
    );
    await at.clock.sleep(100);
    const from = performance.now();
    at.abort();
    expect(await failed).toMatchObject({ message: 'called off' });
    expect(performance.now() - from).toBeLessThan(1_000);
  });

  it('nobody there: retryable, and it says where', async () => {
    const port = await freePort();
    const error = await fail(ping, { url: `redis://127.0.0.1:${port}` });
    expect(error.kind).toBe('retryable');
    expect(error.message).toContain(`127.0.0.1:${port}`);
    expect(error.message).toContain('ECONNREFUSED');
    expect(error.outputs).toMatchObject({ pong: false, refused: true, full: false });
  });

  it.each([
    ['redis://user:secret@127.0.0.1:6379', 'credentials'],
    ['http://127.0.0.1:6379', 'not the address of a Redis'],
    ['redis://127.0.0.1:99999', 'not the address of a Redis'],
    ['redis://127.0.0.1:6379/../x', 'not the address of a Redis'],
    ['redis://example.invalid:6379', 'not allowed'],
    ['redis://10.0.0.9:6379', 'not allowed'],
  ])('C7 refuses %s before anything is sent', async (url, why) => {
    const error = await fail(ping, { url });
    expect(error.kind).toBe('permanent');
    expect(error.message).toContain(why);
    expect(error.message).not.toContain('secret@');
  });

  it.each([
    ['that drips', (socket: Socket) => void setInterval(() => socket.writable && socket.write('+'), 20).unref()],
    ['that never answers', () => undefined],
    [
      'whose answer never ends',
      (socket: Socket) => {
        socket.write('$500000000\r\n');
        const push = (): void => {
          while (!socket.destroyed && socket.write(Buffer.alloc(65_536, 'x')));
        };
        socket.on('drain', push);
        socket.once('data', push);
      },
    ],
  ])('F54 a server %s is held to the deadline', async (_what, behave) => {
    const url = await double(behave);
    const from = performance.now();
    const error = await fail(ping, { url, timeout: '400ms' });
    expect(['retryable', 'permanent']).toContain(error.kind);
    expect(performance.now() - from).toBeLessThan(1_400);
  });

  it.each([
    ['hangs up', (socket: Socket) => void socket.destroy()],
    ['speaks HTTP', (socket: Socket) => void socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')],
    ['answers something else', (socket: Socket) => void socket.once('data', () => socket.write('+HELLO\r\n'))],
  ])('F54 a server that %s is told of at once', async (_what, behave) => {
    const url = await double(behave);
    const error = await fail(ping, { url });
    expect(['retryable', 'permanent']).toContain(error.kind);
    expect(error.message).toContain(url.slice('redis://'.length));
  });

  itWith('redis-server')('a wrong password is permanent, and neither password stands in what is said', async () => {
    const guarded = await start([], 'right-password');
    const right = join(contexts.folder, 'right');
    const wrong = join(contexts.folder, 'wrong');
    writeFileSync(right, 'right-password\n');
    writeFileSync(wrong, 'wrong-password\n');
    expect(await run(ping, { url: guarded.url, password_file: right })).toMatchObject({ reserved: false });
    const connect = { url: guarded.url, password_file: right, dumps: '/elsewhere' };
    expect(await run(ping, { url: guarded.url, connect })).toMatchObject({ reserved: false });
    for (const input of [{ password_file: wrong }, {}]) {
      const error = await fail(ping, { url: guarded.url, ...input });
      expect(error.kind).toBe('permanent');
      expect(error.message).toContain('credentials are wrong or missing');
      expect(error.message).not.toMatch(/right-password|wrong-password/);
    }
    const missing = await fail(ping, { url: guarded.url, password_file: '/nowhere/password' });
    expect(missing).toMatchObject({ kind: 'permanent', message: expect.stringContaining('/nowhere/password') });
  });

  itWith('redis-server')(
    'over TLS only a server with a certificate of the declared authority is spoken to',
    async () => {
      const folder = contexts.folder;
      const openssl = (...args: readonly string[]): void =>
        void execFileSync('openssl', args, { cwd: folder, stdio: 'ignore' });
      const signed = (name: string): void =>
        openssl(
          'req',
          '-x509',
          '-newkey',
          'ec',
          '-pkeyopt',
          'ec_paramgen_curve:P-256',
          '-nodes',
          '-days',
          '1',
          '-subj',
          '/CN=redis',
          '-addext',
          'subjectAltName=IP:127.0.0.1,DNS:localhost',
          '-keyout',
          `${name}.key`,
          '-out',
          `${name}.crt`,
        );
      signed('redis');
      signed('other');
      const port = await freePort();
      const at = (name: string): string => join(folder, name);
      await start([
        '--tls-port',
        String(port),
        '--tls-cert-file',
        at('redis.crt'),
        '--tls-key-file',
        at('redis.key'),
        '--tls-ca-cert-file',
        at('redis.crt'),
        '--tls-auth-clients',
        'no',
      ]);
      for (const host of ['127.0.0.1', 'localhost']) {
        const named = contexts.make({ allow: { hosts: ['127.0.0.1', 'localhost'] } });
        const input = { url: `rediss://${host}:${port}`, tls_ca_file: at('redis.crt') };
        expect(await run(ping, input, named)).toMatchObject({ pong: true });
      }
      for (const more of [{}, { tls_ca_file: at('other.crt') }]) {
        const error = await fail(ping, { url: `rediss://127.0.0.1:${port}`, ...more });
        expect(error).toMatchObject({ kind: 'permanent', message: expect.stringMatching(/certificate|self.signed/i) });
      }
      expect(await fail(ping, { url: `rediss://127.0.0.1:${port}`, tls_ca_file: at('missing') })).toMatchObject({
        kind: 'permanent',
        message: expect.stringContaining('cannot be read'),
      });
    },
  );

  itWith('redis-server')(
    'C14 needs no more rights than the example gives its user, and says what it may not do',
    async () => {
      const own = await start();
      const owner = await own.client();
      const example = readFileSync(join(root, 'docs/examples/amends.cache.yaml'), 'utf8');
      const rights = /ACL SETUSER amends (.*)/.exec(example)?.[1]?.replace('<password>', 'its-password') ?? '';
      await owner.call('ACL', 'SETUSER', 'amends', ...rights.split(' '));
      await owner.call('ACL', 'SETUSER', 'poor', 'on', '>its-password', '+ping');
      const password = join(contexts.folder, 'its');
      writeFileSync(password, 'its-password');
      const as = (username: string): JsonObject => ({ url: own.url, username, password_file: password });
      await owner.mset({ 'cache:a': '1', 'cache:b': '2' });
      const probing = context({ marker: 'probe/cache' });
      expect(await run(ping, as('amends'), probing)).toMatchObject({ reserved: true });
      expect(await run(info, as('amends'))).toMatchObject({ role: 'master' });
      expect(await run(memory, as('amends'))).toMatchObject({ keys: 2 });
      const flush = { ...as('amends'), pattern: 'cache:*', dumps: join(contexts.folder, 'dumps'), max: 5 };
      const flushed = await run(flushKeys, flush);
      expect(flushed).toMatchObject({ deleted: 2 });
      expect(await run(restoreKeys, { ...as('amends'), file: flushed['file'] ?? '' })).toMatchObject({ restored: 2 });
      sockets.push(await stale(own.port));
      await probing.clock.sleep(2_100);
      expect(await run(killClients, { ...as('amends'), idle_over: '1s' })).toMatchObject({ through: 'kept' });
      const poor = await fail(info, as('poor'));
      expect(poor).toMatchObject({ kind: 'permanent', message: expect.stringContaining('this user may not do it') });
    },
  );

  itWith('redis-server')('a probe keeps one connection, and only one, until amends stops', async () => {
    const own = await start();
    const watcher = await own.client();
    const at = { marker: 'probe/cache' };
    for (let time = 0; time < 3; time += 1)
      expect(await run(ping, { url: own.url }, context(at))).toMatchObject({ reserved: true });
    await eventually(async () => /name=amends/.test((await watcher.client('LIST')) as string));
    await eventually(async () => ((await watcher.client('LIST')) as string).trim().split('\n').length === 2);
    ping.release?.();
    await eventually(async () => ((await watcher.client('LIST')) as string).trim().split('\n').length === 1);
  });
});

describe('redis.info and redis.memory', () => {
  itWith('redis-server')('say what the server is, bounded, and what its memory is used for', async () => {
    const client = await redis.client();
    await client.set('lasting', 'x'.repeat(1_000));
    await client.set('passing', 'y', 'EX', 100);
    const said = await run(info, { url: redis.url, clean: true });
    expect(said).toMatchObject({ role: 'master', loading: false, saves: true, max_clients: expect.any(Number) });
    expect(said['run_id']).toMatch(/^[0-9a-f]{40}$/);
    expect(said['sections']).toMatchObject({ server: { redis_mode: 'standalone' }, keyspace: expect.any(Object) });
    expect(JSON.stringify(said).length).toBeLessThan(32_768);
    const used = await run(memory, { url: redis.url });
    expect(used).toMatchObject({
      keys: 2,
      keys_without_ttl: 1,
      max_bytes: 0,
      maxmemory_share: 0,
      policy: 'noeviction',
    });
    expect(used['used_bytes']).toBeGreaterThan(100_000);
    const error = await fail(memory, { url: redis.url, below: 1_000 });
    expect(error).toMatchObject({ kind: 'retryable', outputs: { keys: 2 } });
    await client.config('SET', 'maxmemory', '10mb');
    expect(await fail(memory, { url: redis.url, max_share: 0.01 })).toMatchObject({ kind: 'retryable' });
    await client.flushall();
  });
});

describe('redis.kill-clients', () => {
  const fill = async (server: RealRedis, count: number): Promise<void> => {
    const made = await Promise.all(Array.from({ length: count }, () => stale(server.port)));
    sockets.push(...made);
    for (const socket of made) socket.on('error', () => undefined);
  };

  itWith('redis-server')(
    'R4 a server whose stale clients fill its maxclients takes new ones again, by the connection that a probe kept',
    async () => {
      const full = await start(['--maxclients', '20']);
      await run(ping, { url: full.url }, context({ marker: 'probe/cache' }));
      await fill(full, 19);
      // What its users see.
      await expect(ask(full.port, 'PING')).resolves.toContain('max number of clients reached');
      expect(await fail(ping, { url: full.url })).toMatchObject({
        kind: 'retryable',
        message: expect.stringContaining('maxclients is reached'),
        outputs: { pong: false, refused: false, full: true },
      });
      const at = context();
      const early = await fail(killClients, { url: full.url, idle_over: '1m' }, at);
      expect(early).toMatchObject({ kind: 'permanent', outputs: { killed: 0, stale: 0, clients: 20 } });
      expect(at.beganCount()).toBe(0);
      await at.clock.sleep(2_100);
      const outputs = await run(killClients, { url: full.url, idle_over: '1s', max_share: 0.5 });
      expect(outputs).toMatchObject({ killed: 10, stale: 19, clients: 20, max_clients: 20, through: 'kept', tries: 0 });
      await expect(ask(full.port, 'PING')).resolves.toBe('+PONG');
    },
  );

  itWith('redis-server')('R4 without a kept connection it tries until a slot is free for a moment', async () => {
    const full = await start(['--maxclients', '10']);
    await fill(full, 10);
    const at = context();
    await at.clock.sleep(2_100);
    const work = run(killClients, { url: full.url, idle_over: '1s', timeout: '5s' }, at);
    await at.clock.sleep(300);
    expect(at.beganCount()).toBe(0);
    sockets[0]?.destroy();
    expect(await work).toMatchObject({ through: 'new', killed: 5 });
    await fill(full, 10 - 4);
    const hopeless = await fail(killClients, { url: full.url, idle_over: '1s', timeout: '200ms' });
    expect(hopeless).toMatchObject({ kind: 'retryable', message: expect.stringContaining('no free slot') });
  });

  itWith('redis-server')(
    'F31 I6 spares replicas, subscribers, monitors, blocked ones, transactions and itself',
    async () => {
      const own = await start();
      const replica = await start(['--replicaof', '127.0.0.1', String(own.port)]);
      const watcher = await own.client();
      await eventually(async () => /flags=S/.test((await watcher.client('LIST')) as string));
      for (const command of ['PING', 'SUBSCRIBE news', 'BLPOP never 0', 'MONITOR', 'MULTI']) {
        const socket = await stale(own.port);
        sockets.push(socket);
        socket.write(`${command}\r\n`);
      }
      await eventually(async () => {
        const list = (await watcher.client('LIST')) as string;
        return ['flags=S', 'flags=P', 'flags=b', 'flags=O', 'flags=x'].every((flag) => list.includes(flag));
      });
      const at = context();
      await at.clock.sleep(2_100);
      await watcher.ping();
      const outputs = await run(killClients, { url: own.url, idle_over: '1s', max_share: 1 });
      expect(outputs).toMatchObject({ stale: 1, killed: 1 });
      expect(await watcher.client('LIST')).toEqual(expect.stringContaining('flags=S'));
      for (const flag of ['flags=P', 'flags=b', 'flags=O', 'flags=x'])
        expect(await watcher.client('LIST')).toEqual(expect.stringContaining(flag));
      expect(replica.port).toBeGreaterThan(0);
    },
  );
});
