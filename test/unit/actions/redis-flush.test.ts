// Deleting keys that never expire from a real Redis, with a copy from which every one of them comes back as it was.
import { randomBytes } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import type { Redis } from 'ioredis';
import { afterAll, afterEach, beforeAll, describe, expect } from '@jest/globals';
import flushKeys from '../../../src/actions/redis/flush-keys.ts';
import info from '../../../src/actions/redis/info.ts';
import ping from '../../../src/actions/redis/ping.ts';
import restoreKeys from '../../../src/actions/redis/restore-keys.ts';
import type { JsonObject } from '../../../src/base/json.ts';
import { createContexts, eventually, failureOf, perform, textOf } from '../../support/action-context.ts';
import type { TestContext } from '../../support/action-context.ts';
import { ask, dumpAll, fillEveryType, startRedis } from '../../support/redis.ts';
import type { RealRedis } from '../../support/redis.ts';
import { itWith } from '../../support/requires.ts';

const contexts = createContexts();
const started: RealRedis[] = [];
let redis: RealRedis;
let client: Redis;
let made = 0;

const start = async (args: readonly string[] = []): Promise<RealRedis> => {
  const server = await startRedis(args);
  started.push(server);
  return server;
};
/** Each run has a copy of its own. */
const context = (run = `run-${(made += 1)}`): TestContext => {
  const at = contexts.make({ allow: { hosts: ['127.0.0.1'] } });
  return { ...at, run: { ...at.run, id: run } };
};
const dumps = join(contexts.folder, 'dumps');
const input = (more: JsonObject = {}): JsonObject => ({ url: redis.url, pattern: '*', dumps, max: 10_000, ...more });
const copies = (): readonly string[] => (existsSync(dumps) ? readdirSync(dumps) : []);

beforeAll(async () => {
  redis = await start();
  client = await redis.client();
});
afterEach(async () => {
  await client.flushall();
  rmSync(dumps, { recursive: true, force: true });
});
afterAll(async () => {
  for (const each of started) await each.stop();
  await contexts.stop();
});

describe('redis.flush-keys', () => {
  itWith('redis-server')(
    'R5 deletes every key without a time to live, keeps the others, and its undo brings each back byte for byte',
    async () => {
      await fillEveryType(client, 1_000);
      await client.set('session:1', 'stays', 'EX', 1_000);
      const before = await dumpAll(client);
      const at = context();
      const { outputs, undo } = await flushKeys.run(flushKeys.input.parse(input()), at);
      expect(outputs).toMatchObject({
        found: before.size - 1,
        deleted: before.size - 1,
        left: 0,
        scanned: before.size,
      });
      expect(await client.keys('*')).toEqual(['session:1']);
      expect(outputs['used_bytes_after']).toBeLessThan(outputs['used_bytes_before'] as number);
      const file = textOf(outputs, 'file');
      expect(statSync(file).mode & 0o777).toBe(0o600);
      expect(statSync(file).size).toBe(outputs['file_bytes']);
      expect(at.beganCount()).toBe(1);

      const back = await perform(restoreKeys, { url: redis.url, file: undo?.['file'] ?? '' }, context());
      expect(back).toMatchObject({ restored: before.size - 1, kept: 0, in_file: before.size - 1 });
      expect(await dumpAll(client)).toEqual(before);
    },
  );

  itWith('redis-server')('R5 says with dry_run what it would delete, and deletes nothing', async () => {
    await fillEveryType(client, 10);
    const before = await dumpAll(client);
    const at = context();
    const outputs = await perform(flushKeys, input({ dry_run: true }), at);
    expect(outputs).toMatchObject({ found: before.size, deleted: 0, file: '' });
    const binary = await perform(flushKeys, input({ dry_run: true, pattern: 'binary:*' }), at);
    expect(binary['examples']).toEqual(['binary:\\x00\\xff\\x0d\\x0a']);
    expect(at.beganCount()).toBe(0);
    expect(copies()).toEqual([]);
    expect(await dumpAll(client)).toEqual(before);
  });

  itWith('redis-server')('R5 takes only what matches the pattern', async () => {
    await client.mset({ 'cache:a': '1', 'cache:b': '2', 'orders:1': '3' });
    expect(await perform(flushKeys, input({ pattern: 'cache:*' }), context())).toMatchObject({ deleted: 2 });
    expect(await client.keys('*')).toEqual(['orders:1']);
  });

  itWith('redis-server')('R5 holds only some of many large values at a time, and stops at max_bytes', async () => {
    const names = Array.from({ length: 45 }, (_, index) => `large:${index}`);
    for (const [index, name] of names.entries()) await client.set(name, randomBytes(500_000 + index));
    const before = await dumpAll(client);
    const full = await failureOf(perform(flushKeys, input({ max_bytes: '20MiB' }), context('full')));
    expect(full.kind).toBe('indeterminate');
    expect(full.message).toContain('max_bytes');
    expect(await client.dbsize()).toBe(45 - Number(full.outputs?.['deleted']));
    const outputs = await perform(flushKeys, input({ max_bytes: '100MiB' }), context('full'));
    expect(await client.dbsize()).toBe(0);
    await perform(restoreKeys, { url: redis.url, file: textOf(outputs, 'file') }, context());
    expect(await dumpAll(client)).toEqual(before);
  });

  itWith('redis-server')('F31 with more keys than its max, or none at all, it deletes nothing', async () => {
    await fillEveryType(client, 200);
    const before = await dumpAll(client);
    const at = context();
    const many = await failureOf(perform(flushKeys, input({ max: 50 }), at));
    expect(many).toMatchObject({ kind: 'permanent', message: expect.stringContaining('more than 50 keys') });
    const none = await failureOf(perform(flushKeys, input({ pattern: 'nothing:*' }), at));
    expect(none).toMatchObject({ kind: 'permanent', message: expect.stringContaining('nothing to delete') });
    expect(at.beganCount()).toBe(0);
    expect(await dumpAll(client)).toEqual(before);
    expect(flushKeys.input.safeParse({ url: redis.url, dumps, max: 5 }).success).toBe(false);
    expect(flushKeys.input.safeParse({ url: redis.url, dumps, pattern: '*' }).success).toBe(false);
  });

  itWith('redis-server')('F58 without room or right for a copy it deletes nothing', async () => {
    await client.set('a', 'b');
    for (const [folder, why] of [
      ['/etc', 'not allowed'],
      [join(contexts.folder, 'no/such'), 'cannot be made'],
    ] as const) {
      const error = await failureOf(perform(flushKeys, input({ dumps: folder }), context()));
      expect(error).toMatchObject({ kind: 'permanent', message: expect.stringContaining(why) });
    }
    mkdirSync(dumps);
    const elsewhere = join(contexts.folder, 'elsewhere');
    writeFileSync(elsewhere, 'precious');
    symlinkSync(elsewhere, join(dumps, `${redis.host.replace(':', '-')}-0-linked.ndjson`));
    const linked = await failureOf(perform(flushKeys, input(), context('linked')));
    expect(linked.kind).toBe('permanent');
    expect(readFileSync(elsewhere, 'utf8')).toBe('precious');
    const small = await failureOf(perform(flushKeys, input({ max_bytes: 10 }), context()));
    expect(small).toMatchObject({ kind: 'permanent', message: expect.stringContaining('max_bytes') });
    expect(await client.get('a')).toBe('b');
  });

  itWith('redis-server')(
    'F51 called off in the middle it says what is gone and where it stands, and goes on from there',
    async () => {
      await fillEveryType(client, 5_000);
      const before = await dumpAll(client);
      const at = context('again');
      const failed = failureOf(perform(flushKeys, input({ max: 100_000 }), at));
      await eventually(async () => at.beganCount() > 0);
      at.abort();
      const error = await failed;
      expect(error.kind).toBe('indeterminate');
      expect(error.outputs).toMatchObject({ file: expect.stringContaining('again') });
      expect(error.message).toContain('restore-keys');
      // How many are gone by then goes by the moment; it may be none.
      expect(await client.dbsize()).toBeLessThanOrEqual(before.size);

      const outputs = await perform(flushKeys, input({ max: 100_000 }), context('again'));
      expect(await client.dbsize()).toBe(0);
      // A third time, all of it was done already: that is no empty selection.
      expect(await perform(flushKeys, input(), context('again'))).toMatchObject({ found: 0, deleted: 0 });
      await perform(restoreKeys, { url: redis.url, file: textOf(outputs, 'file') }, context());
      expect(await dumpAll(client)).toEqual(before);
    },
  );

  itWith('redis-server')('I6 what is written while it works is never deleted without being in the copy', async () => {
    await fillEveryType(client, 3_000);
    const writer = await redis.client();
    let stop = false;
    const last = new Map<string, number>();
    const writing = (async () => {
      for (let round = 1; !stop; round += 1)
        for (const name of ['plain:1', 'plain:1500', 'plain:2999']) {
          await writer.set(name, round);
          last.set(name, round);
        }
    })();
    const outputs = await perform(flushKeys, input(), context());
    stop = true;
    await writing;
    const dump = textOf(outputs, 'file');
    await perform(restoreKeys, { url: redis.url, file: dump }, context());
    for (const [name, round] of last) expect(await client.get(name)).toBe(String(round));
  });

  itWith('redis-server')('F59 a cache that is not the expected server is refused, with nothing deleted', async () => {
    await client.mset({ a: '1', 'amends:server': 'cache-a' });
    const refusals = async (server: RealRedis, more: JsonObject): Promise<string> => {
      const at = context();
      const error = await failureOf(perform(flushKeys, input({ url: server.url, ...more }), at));
      expect(error.kind).toBe('permanent');
      expect(at.beganCount()).toBe(0);
      return error.message;
    };
    const expecting = (expect_: JsonObject): JsonObject => ({ connect: { url: redis.url, expect: expect_ } });
    expect(await refusals(redis, { run_id: '0'.repeat(40) })).toContain('another server than expected');
    expect(await refusals(redis, expecting({ run_id: '0'.repeat(40) }))).toContain('another server than expected');
    expect(await refusals(redis, expecting({ port: 1 }))).toContain('its port is');
    expect(await refusals(redis, expecting({ role: 'slave' }))).toContain('role is master');
    expect(await refusals(redis, expecting({ key: 'amends:server', value: 'cache-b' }))).toContain('does not hold');

    const replica = await start(['--replicaof', '127.0.0.1', String(redis.port)]);
    const copy = await replica.client();
    await eventually(async () => (await copy.dbsize()) === 2);
    expect(await refusals(replica, {})).toContain('read-only');
    expect(await copy.dbsize()).toBe(2);

    const node = await start(['--cluster-enabled', 'yes']);
    expect(await refusals(node, {})).toContain('node of a cluster');

    const unsaving = await start();
    const full = await unsaving.client();
    await full.set('a', '1');
    await full.config('SET', 'save', '3600 1');
    rmSync(unsaving.folder, { recursive: true });
    await full.bgsave();
    await eventually(async () => /rdb_last_bgsave_status:err/.test(await full.info()));
    expect(await refusals(unsaving, {})).toContain('takes no writes');
    expect(await full.dbsize()).toBe(1);

    expect(await client.dbsize()).toBe(2);
    expect(
      await perform(flushKeys, input(expecting({ key: 'amends:server', value: 'cache-a' })), context()),
    ).toMatchObject({
      deleted: 1,
    });
    expect(await client.keys('*')).toEqual(['amends:server']);
  });

  itWith('redis-server')('F59 a server that is still loading is left alone until it has loaded', async () => {
    const first = await start();
    const filler = await first.client();
    await filler.mset(
      Object.fromEntries(Array.from({ length: 2_000 }, (_, index) => [`k${index}`, 'v'.repeat(1_000)])),
    );
    await filler.save();
    const slow = await start([
      '--dir',
      first.folder,
      '--key-load-delay',
      '2000',
      '--loading-process-events-interval-bytes',
      '1024',
    ]);
    const at = context();
    const error = await failureOf(perform(flushKeys, input({ url: slow.url }), at));
    expect(error).toMatchObject({ kind: 'retryable', message: expect.stringContaining('loading its data') });
    expect(await failureOf(perform(ping, { url: slow.url }, context()))).toMatchObject({ kind: 'retryable' });
    const looked = failureOf(perform(info, { url: slow.url, clean: true }, context()));
    expect(await looked).toMatchObject({ kind: 'retryable', outputs: { loading: true } });
    expect(at.beganCount()).toBe(0);
    await eventually(async () => (await ask(slow.port, 'PING')) === '+PONG', 20_000);
    expect(await ask(slow.port, 'DBSIZE')).toBe(':2000');
  });
});

describe('redis.restore-keys', () => {
  itWith('redis-server')('leaves a key that is there again as it is, unless it is told to replace it', async () => {
    await client.mset({ a: 'old', b: 'old' });
    const { outputs } = await flushKeys.run(flushKeys.input.parse(input()), context());
    await client.set('a', 'new');
    const file = textOf(outputs, 'file');
    expect(await perform(restoreKeys, { url: redis.url, file }, context())).toEqual({
      restored: 1,
      kept: 1,
      in_file: 2,
      kept_examples: ['a'],
    });
    expect(await client.mget('a', 'b')).toEqual(['new', 'old']);
    await perform(restoreKeys, { url: redis.url, file, replace: true }, context());
    expect(await client.mget('a', 'b')).toEqual(['old', 'old']);
  });

  itWith('redis-server')('refuses a copy of another server, a damaged one, and one that is none', async () => {
    await client.mset({ a: '1', b: '2' });
    const { outputs } = await flushKeys.run(flushKeys.input.parse(input()), context());
    const file = textOf(outputs, 'file');
    const text = readFileSync(file, 'utf8');
    const other = await start();
    const at = context();
    const fails = async (more: JsonObject): Promise<string> => {
      const error = await failureOf(perform(restoreKeys, { url: redis.url, file, ...more }, at));
      expect(error.kind).toBe('permanent');
      return error.message;
    };
    expect(await fails({ url: other.url })).toContain('and not of');
    const lines = text.split('\n');
    const record = JSON.parse(lines[1] ?? '') as { key: string; value: string };
    writeFileSync(file, [lines[0], JSON.stringify({ ...record, key: 'eA==' }), ...lines.slice(2)].join('\n'));
    expect(await fails({})).toContain('damaged');
    writeFileSync(file, '');
    expect(await fails({})).toContain('is empty');
    writeFileSync(file, 'hello\n');
    expect(await fails({})).toContain('not one of ours');
    expect(await fails({ file: join(dumps, 'missing') })).toContain('is not there');
    expect(await fails({ file: '/etc/passwd' })).toContain('not allowed');
    expect(at.beganCount()).toBe(0);
    // A last line that was torn by a crash was never followed by a deletion.
    writeFileSync(file, text.slice(0, -20));
    expect(await perform(restoreKeys, { url: redis.url, file }, context())).toMatchObject({ restored: 1, in_file: 1 });
  });
});
