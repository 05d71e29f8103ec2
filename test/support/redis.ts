// A real Redis on a port of its own, that can be frozen, filled and restarted, and that is looked at from outside.
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { binaryOf } from './requires.ts';
import { until } from './servers.ts';

export type RealRedis = {
  readonly port: number;
  /** `127.0.0.1:<port>`, as `allow.hosts` names it. */
  readonly host: string;
  readonly url: string;
  readonly pid: number;
  readonly folder: string;
  /** A client of the test's own; closed with the server. */
  client(): Promise<Redis>;
  freeze(): void;
  thaw(): void;
  stop(): Promise<void>;
};

export const freePort = async (): Promise<number> => {
  const server = createServer();
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => void server.close(resolve));
  return port;
};

/** What anybody sees who comes anew: the first line of the answer to an inline command. */
export const ask = (port: number, line: string, within = 2_000): Promise<string> =>
  new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1');
    let text = '';
    const end = (done: () => void): void => {
      clearTimeout(timer);
      socket.destroy();
      done();
    };
    const timer = setTimeout(() => end(() => reject(new Error(`no answer within ${within} ms`))), within);
    socket.once('connect', () => socket.write(`${line}\r\n`));
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString();
      const stop = text.indexOf('\r\n');
      if (stop !== -1) end(() => resolve(text.slice(0, stop)));
    });
    socket.once('error', (error) => end(() => reject(error)));
    socket.once('close', () => end(() => reject(new Error('it hung up'))));
  });

/** An idle client that says nothing more than one PING. */
export const stale = (port: number): Promise<Socket> =>
  new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => socket.write('PING\r\n'));
    socket.once('data', () => resolve(socket));
    socket.once('error', reject);
  });

const launch = (args: readonly string[]): ChildProcess =>
  spawn(binaryOf('redis-server') ?? 'redis-server', [...args], { stdio: ['ignore', 'ignore', 'ignore'] });

export const startRedis = async (args: readonly string[] = [], password: string | null = null): Promise<RealRedis> => {
  const folder = mkdtempSync(join(tmpdir(), 'amends-redis-'));
  let child: ChildProcess | null = null;
  let port = 0;
  for (let left = 3; child === null; left -= 1) {
    port = await freePort();
    const started = launch([
      '--port',
      String(port),
      '--bind',
      '127.0.0.1',
      '--save',
      '',
      '--dir',
      folder,
      ...(password === null ? [] : ['--requirepass', password]),
      ...args,
    ]);
    try {
      await until(
        'redis-server answers',
        async () => {
          if (started.exitCode !== null) return 'gone';
          return (await ask(port, 'PING')) !== '';
        },
        10_000,
        10,
      );
      if (started.exitCode === null) child = started;
    } catch (error) {
      started.kill('SIGKILL');
      if (left === 1) throw error;
    }
  }
  const server = child;
  const gone = new Promise<void>((resolve) => void server.once('exit', () => resolve()));
  const clients: Redis[] = [];
  return {
    port,
    host: `127.0.0.1:${port}`,
    url: `redis://127.0.0.1:${port}`,
    pid: server.pid ?? -1,
    folder,
    async client() {
      const made = new Redis({
        port,
        host: '127.0.0.1',
        lazyConnect: true,
        retryStrategy: () => null,
        disconnectTimeout: 50,
        disableClientInfo: true,
        protocol: 2,
        enableReadyCheck: false,
        ...(password === null ? {} : { password }),
      });
      made.on('error', () => undefined);
      await made.connect();
      clients.push(made);
      return made;
    },
    freeze: () => void server.kill('SIGSTOP'),
    thaw: () => void server.kill('SIGCONT'),
    async stop() {
      for (const made of clients) made.disconnect();
      server.kill('SIGKILL');
      await gone;
      rmSync(folder, { recursive: true, force: true });
    },
  };
};

/** Keys of every type that there is, with names and values that are no text. */
export const fillEveryType = async (client: Redis, plain: number): Promise<void> => {
  const binary = Buffer.from([0, 255, 13, 10]);
  const pipeline = client.pipeline();
  for (let index = 0; index < plain; index += 1) pipeline.set(`plain:${index}`, `value ${index} `.repeat(5));
  pipeline.set(
    Buffer.concat([Buffer.from('binary:'), binary]),
    Buffer.concat([binary, Buffer.alloc(300, 0x80), binary]),
  );
  pipeline.set('', 'a name that is empty');
  pipeline.set('counter', 42);
  for (let index = 0; index < 200; index += 1) {
    pipeline.hset('hash:large', `field ${index}`, Buffer.concat([binary, Buffer.from(String(index))]));
    pipeline.rpush('list:large', `item ${index}`.repeat(10));
    pipeline.sadd('set:large', `member ${index}`);
    pipeline.zadd('zset:large', index / 3, `member ${index}`);
  }
  pipeline.hset('hash:small', 'a', 1, 'b', 2);
  pipeline.rpush('list:small', 'x', 'y');
  pipeline.sadd('set:numbers', 1, 2, 3);
  pipeline.zadd('zset:small', '-inf', 'low', '+inf', 'high');
  pipeline.setbit('bits', 1_000, 1);
  pipeline.pfadd('hyperloglog', 'a', 'b', 'c');
  for (let index = 0; index < 50; index += 1) pipeline.xadd('stream', '*', 'n', index);
  pipeline.xgroup('CREATE', 'stream', 'readers', '0');
  pipeline.xreadgroup('GROUP', 'readers', 'one', 'COUNT', 5, 'STREAMS', 'stream', '>');
  const results = await pipeline.exec();
  for (const [error] of results ?? []) if (error !== null) throw error;
};

/**
 * What each key holds, by its name in hex. Sets and hashes have no order, so their members are compared sorted; all others as
 * DUMP gives them.
 */
export const dumpAll = async (client: Redis): Promise<ReadonlyMap<string, string>> => {
  const names = await client.keysBuffer('*');
  const found = await Promise.all(
    names.map(async (name): Promise<readonly [string, string]> => {
      const type = await client.type(name);
      const hex = (members: readonly Buffer[]): string[] => members.map((member) => member.toString('hex'));
      if (type === 'set')
        return [
          name.toString('hex'),
          hex(await client.smembersBuffer(name))
            .toSorted()
            .join(),
        ];
      if (type === 'hash') {
        const flat = hex((await client.callBuffer('HGETALL', name)) as Buffer[]);
        const pairs = flat.flatMap((field, index) => (index % 2 === 0 ? [`${field}=${flat[index + 1] ?? ''}`] : []));
        return [name.toString('hex'), pairs.toSorted().join()];
      }
      if (type === 'zset') {
        const members = hex((await client.callBuffer('ZRANGE', name, 0, -1, 'WITHSCORES')) as Buffer[]);
        return [name.toString('hex'), members.join()];
      }
      return [name.toString('hex'), (await client.dumpBuffer(name)).toString('hex')];
    }),
  );
  return new Map(found.toSorted(([left], [right]) => left.localeCompare(right)));
};
