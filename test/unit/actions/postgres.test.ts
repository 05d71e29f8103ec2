// postgres.*: a real server is read, dumped, damaged and restored; sessions that block it are ended and no others.
import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import { existsSync, mkdirSync, readFileSync, readdirSync, truncateSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type pg from 'pg';
import backup from '../../../src/actions/postgres/backup.ts';
import check from '../../../src/actions/postgres/check.ts';
import { withoutLiterals } from '../../../src/actions/postgres/client.ts';
import reindex from '../../../src/actions/postgres/reindex.ts';
import restore from '../../../src/actions/postgres/restore.ts';
import slowQueries from '../../../src/actions/postgres/slow-queries.ts';
import terminateBackends from '../../../src/actions/postgres/terminate-backends.ts';
import type { JsonObject } from '../../../src/base/json.ts';
import type { TestContext } from '../../support/action-context.ts';
import { createContexts, eventually, failureOf, perform, textOf } from '../../support/action-context.ts';
import {
  countOrders,
  hasPostgres,
  itWithPostgres,
  makeShop,
  pgDump,
  pgRestore,
  startPostgres,
} from '../../support/postgres.ts';
import type { PostgresServer } from '../../support/postgres.ts';

const contexts = createContexts();
const backups = join(contexts.folder, 'dumps');
const open: pg.Client[] = [];
let server: PostgresServer;

beforeAll(async () => {
  if (!hasPostgres) return;
  server = await startPostgres(contexts.folder);
  await makeShop(server, 'shop');
}, 60_000);
afterAll(async () => {
  if (!hasPostgres) return;
  for (const client of open) await client.end().catch(() => undefined);
  await server.stop();
  await contexts.stop();
});

const context = (timeout = 30_000): TestContext =>
  contexts.make({ allow: { hosts: [server.host], commands: [pgDump, pgRestore] }, timeout });
const to = (database = 'shop', user = 'shop'): JsonObject => ({
  url: server.url(database, user),
  password_file: server.passwordFile,
});
const LOST = /not queryable|terminat|closed/i;
const tools = { pg_dump: pgDump, pg_restore: pgRestore };
const dump = (database = 'shop', folder = backups): Promise<JsonObject> =>
  perform(backup, { ...to(database), backups: folder, ...tools }, context());
const connect = async (database = 'shop', user = 'shop', application = 'shop-web'): Promise<pg.Client> => {
  const client = await server.client(database, user);
  await client.query(`SET application_name = '${application}'`);
  open.push(client);
  return client;
};

describe('a server that is asked', () => {
  itWithPostgres('O8 O9 says its version, size, connections and who waits', async () => {
    const state = await perform(check, to(), context());
    expect(state).toMatchObject({
      read_only: false,
      waiting: 0,
      idle_in_transaction_seconds: 0,
      invalid_indexes: 0,
      max_connections: 40,
    });
    expect(state['size_bytes']).toBeGreaterThan(1_000_000);
    expect(state['connections']).toBeGreaterThanOrEqual(1);
  });

  itWithPostgres(
    'F54: unreachable, a wrong password, a missing database, an undeclared host: an error of its own kind that shows no secret',
    async () => {
      const wrong = join(contexts.folder, 'wrong');
      writeFileSync(wrong, 'wrong-password-0815');
      const cases: ReadonlyArray<readonly [JsonObject, TestContext, string, string]> = [
        [
          { url: 'postgres://shop@127.0.0.1:1/shop' },
          contexts.make({ allow: { hosts: ['127.0.0.1:1'] } }),
          'retryable',
          'ECONNREFUSED',
        ],
        [{ ...to(), password_file: wrong }, context(), 'permanent', '28P01'],
        [to('nowhere'), context(), 'permanent', '3D000'],
        [to(), contexts.make(), 'permanent', 'allow.hosts'],
        [{ url: `postgres://shop:secret-in-url@${server.host}/shop` }, context(), 'permanent', 'password_file'],
        [{ url: `postgres://${server.host}/shop` }, context(), 'permanent', 'form'],
      ];
      for (const [input, held, kind, text] of cases) {
        const failed = await failureOf(perform(check, input, held));
        expect([failed.kind, failed.message]).toEqual([kind, expect.stringContaining(text)]);
        expect(failed.message).not.toMatch(/wrong-password|secret-in-url|4711/);
      }
    },
  );

  itWithPostgres('F54 F51: a frozen server is given up within the deadline, and at once when called off', async () => {
    process.kill(server.pid(), 'SIGSTOP');
    try {
      const held = context(400);
      const start = held.clock.monotonic();
      await expect(perform(check, to(), held)).rejects.toThrow('called off: time is up');
      expect(held.clock.monotonic() - start).toBeLessThan(1_400);
      const called = context();
      const asked = perform(check, to(), called);
      await called.clock.sleep(50);
      const off = called.clock.monotonic();
      called.abort();
      await expect(asked).rejects.toThrow('called off');
      expect(called.clock.monotonic() - off).toBeLessThan(1_000);
    } finally {
      process.kill(server.pid(), 'SIGCONT');
    }
  });

  itWithPostgres('O4 what runs for long is listed with who blocks it, without what its literals say', async () => {
    const [holder, waiter] = [await connect(), await connect()];
    await holder.query('BEGIN; LOCK TABLE orders');
    const waiting = waiter.query("SELECT * FROM orders WHERE what = 'card 4111111111111111'").catch(() => undefined);
    const seen = await eventually(async () => {
      const found = await perform(slowQueries, { ...to(), over: '100ms' }, context());
      return found['count'] === 1 && found;
    });
    expect(seen).toMatchObject({
      blocked: 1,
      queries: [
        {
          user: 'shop',
          application: 'shop-web',
          waits_for: 'Lock: relation',
          query: 'SELECT * FROM orders WHERE what = ?',
        },
      ],
    });
    await holder.query('ROLLBACK');
    await waiting;
    expect(withoutLiterals("select 1, 'a''b', $x$ secret $x$, 'cut off")).toBe('select ?, ?, ?, ?');
  });
});

describe('sessions that are idle in a transaction', () => {
  const idle = { idle_over: '1s' };

  itWithPostgres(
    'O4 the one that others wait for is ended, the blocked writer goes on, and the others are left alone',
    async () => {
      const [blocker, writer, bystander, superuser] = [
        await connect(),
        await connect(),
        await connect(),
        await connect('shop', 'postgres'),
      ];
      await bystander.query('BEGIN; SELECT 1');
      await superuser.query('BEGIN; SELECT 1');
      await blocker.query("BEGIN; UPDATE orders SET what = 'held' WHERE id = 1");
      let written = false;
      const writing = writer.query("UPDATE orders SET what = 'written' WHERE id = 1").then(() => (written = true));
      await eventually(async () => (await perform(check, to(), context()))['waiting'] === 1);
      // Too young still.
      expect(await failureOf(perform(terminateBackends, { ...to(), idle_over: '1h' }, context()))).toMatchObject({
        kind: 'permanent',
      });
      await context().clock.sleep(1_100);
      expect(written).toBe(false);
      const done = await perform(terminateBackends, { ...to(), ...idle }, context());
      expect(done).toMatchObject({
        terminated: 1,
        sessions: [{ user: 'shop', blocks: 1, query: 'BEGIN; UPDATE orders SET what = ? WHERE id = ?' }],
      });
      await writing;
      expect((await server.run('shop', 'SELECT what FROM orders WHERE id = 1')).rows).toEqual([{ what: 'written' }]);
      await expect(blocker.query('SELECT 1')).rejects.toThrow(LOST);
      await bystander.query('ROLLBACK');
      await superuser.query('ROLLBACK');
    },
    20_000,
  );

  itWithPostgres(
    'F31: none, or more than declared, is no effect: nobody is ended',
    async () => {
      const none = context();
      const failed = await failureOf(perform(terminateBackends, { ...to(), ...idle, blocking: false }, none));
      expect(failed).toMatchObject({ kind: 'permanent', message: expect.stringContaining('none is idle') });
      expect(none.beganCount()).toBe(0);
      const clients = await Promise.all([1, 2, 3].map(() => connect()));
      for (const client of clients) await client.query('BEGIN; SELECT 1');
      await none.clock.sleep(1_100);
      const many = context();
      const refused = await failureOf(perform(terminateBackends, { ...to(), ...idle, blocking: false, max: 2 }, many));
      expect(refused).toMatchObject({ kind: 'permanent', message: expect.stringContaining('more than max (2)') });
      expect(many.beganCount()).toBe(0);
      for (const client of clients) expect((await client.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }]);
    },
    20_000,
  );

  itWithPostgres(
    'never a superuser, a dump, amends itself or a user that is excepted',
    async () => {
      const clients = [
        await connect('shop', 'postgres'),
        await connect('shop', 'shop', 'pg_dump'),
        await connect('shop', 'shop', 'amends'),
      ];
      for (const client of open) await client.query('ROLLBACK').catch(() => undefined);
      for (const client of clients) await client.query('BEGIN; SELECT 1');
      const ordinary = await connect();
      await ordinary.query('BEGIN; SELECT 1');
      await context().clock.sleep(1_100);
      expect(
        await failureOf(
          perform(terminateBackends, { ...to(), ...idle, blocking: false, except_users: ['shop'] }, context()),
        ),
      ).toMatchObject({ kind: 'permanent' });
      expect(await perform(terminateBackends, { ...to(), ...idle, blocking: false }, context())).toMatchObject({
        terminated: 1,
      });
      for (const client of clients) await client.query('ROLLBACK');
      await expect(ordinary.query('SELECT 1')).rejects.toThrow(LOST);
    },
    20_000,
  );
});

describe('indexes', () => {
  itWithPostgres(
    'O4 are built anew while the table is in use; an invalid one becomes valid; none and too many are refused',
    async () => {
      await server.run('shop', `UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'by_what'::regclass`);
      expect(await perform(check, to(), context())).toMatchObject({ invalid_indexes: 1 });
      expect(await perform(reindex, { ...to(), all: true, only_invalid: true }, context())).toMatchObject({
        reindexed: ['by_what'],
        count: 1,
      });
      expect(await perform(check, to(), context())).toMatchObject({ invalid_indexes: 0 });
      expect(await perform(reindex, { ...to(), tables: ['orders'] }, context())).toMatchObject({
        reindexed: ['by_what', 'orders_pkey'],
        left_over: [],
      });
      for (const input of [{ tables: ['nothing'] }, { all: true, max: 1 }, { all: true, only_invalid: true }]) {
        const refused = context();
        expect(await failureOf(perform(reindex, { ...to(), ...input }, refused))).toMatchObject({ kind: 'permanent' });
        expect(refused.beganCount()).toBe(0);
      }
    },
  );

  itWithPostgres('a lock that does not end is given up, and nothing half done is left behind', async () => {
    const holder = await connect();
    await holder.query('BEGIN; LOCK TABLE orders');
    const failed = await failureOf(perform(reindex, { ...to(), tables: ['orders'], lock_timeout: '200ms' }, context()));
    expect(failed).toMatchObject({ kind: 'retryable', message: expect.stringContaining('55P03') });
    await holder.query('ROLLBACK');
    expect((await server.run('shop', `SELECT relname FROM pg_class WHERE relname ~ '_cc(new|old)'`)).rows).toEqual([]);
  });
});

describe('a backup', () => {
  itWithPostgres('O9 is read back before it counts, older ones go, and the password stands nowhere', async () => {
    const first = await dump();
    expect(readFileSync(textOf(first, 'path')).subarray(0, 5).toString()).toBe('PGDMP');
    const second = await perform(backup, { ...to(), backups, ...tools, keep: 1 }, context());
    expect(second['removed']).toEqual([first['path']]);
    expect(readdirSync(backups)).toEqual([textOf(second, 'path').split('/').at(-1)]);
  });

  itWithPostgres(
    'of a database that is not there, or with a command that nobody declared, leaves nothing behind',
    async () => {
      expect(await failureOf(perform(backup, { ...to('nowhere'), backups, ...tools }, context()))).toMatchObject({
        kind: 'permanent',
        message: expect.stringContaining('does not exist'),
      });
      expect(
        await failureOf(perform(backup, { ...to(), backups, ...tools, pg_dump: '/bin/echo' }, context())),
      ).toMatchObject({ kind: 'permanent', message: expect.stringContaining('allow.commands') });
      expect(readdirSync(backups)).toHaveLength(1);
    },
  );
});

describe('a restore', () => {
  itWithPostgres(
    'O9 brings back what was lost, keeps the replaced database, and lets the application connect again',
    async () => {
      await makeShop(server, 'till', 300);
      await server.run(
        'postgres',
        'ALTER DATABASE till SET search_path TO public; GRANT CONNECT ON DATABASE till TO PUBLIC',
      );
      const saved = await dump('till');
      await server.run('till', 'DELETE FROM orders WHERE id > 10');
      const now = await dump('till');
      const application = await connect('till');
      const done = await perform(
        restore,
        { ...to('till'), backups, backup: saved['path'] ?? '', safety: now['path'] ?? '', pg_restore: pgRestore },
        context(),
      );
      expect(done).toMatchObject({
        restored_from: saved['path'],
        tables: 1,
        disconnected: 1,
        not_carried_over: expect.stringContaining('search_path'),
      });
      await expect(application.query('SELECT 1')).rejects.toThrow(LOST);
      expect(await countOrders(server, 'till')).toBe(300);
      expect(await countOrders(server, textOf(done, 'replaced_to'))).toBe(10);
      const again = await connect('till');
      await again.query("INSERT INTO orders (what) VALUES ('next')");
      expect(
        (await server.run('postgres', "SELECT datname FROM pg_database WHERE datname LIKE 'till_restoring'")).rows,
      ).toEqual([]);
    },
    60_000,
  );

  itWithPostgres(
    'O9 brings a dropped database back from the newest dump that passes',
    async () => {
      const folder = join(contexts.folder, 'dropped');
      await makeShop(server, 'stock', 50);
      await perform(backup, { ...to('stock'), backups: folder, ...tools }, context());
      writeFileSync(join(folder, 'stock-20990101T000000000Z.dump'), 'no dump at all');
      await server.run('postgres', 'DROP DATABASE stock');
      const done = await perform(restore, { ...to('stock'), backups: folder, pg_restore: pgRestore }, context());
      expect(done).toMatchObject({
        replaced_to: '',
        skipped_backups: [{ path: join(folder, 'stock-20990101T000000000Z.dump') }],
      });
      expect(await countOrders(server, 'stock')).toBe(50);
    },
    60_000,
  );

  itWithPostgres(
    'F58: is refused, with nothing touched, when the backup of the present state is missing, empty, stale, cut short or not named',
    async () => {
      const folder = join(contexts.folder, 'spoiled');
      mkdirSync(folder);
      const good = textOf(await dump('shop', folder), 'path');
      const bytes = readFileSync(good);
      const safety = join(folder, 'safety.dump');
      const spoil: ReadonlyArray<readonly [string, () => void]> = [
        ['is not there', () => undefined],
        ['is empty (0 bytes)', () => writeFileSync(safety, '')],
        ['s old', () => (writeFileSync(safety, bytes), utimesSync(safety, 1_000_000, 1_000_000))],
        [
          'pg_restore ended with',
          () => (writeFileSync(safety, bytes), truncateSync(safety, Math.floor(bytes.length * 0.6))),
        ],
        ['not appear to be a valid archive', () => writeFileSync(safety, 'x'.repeat(10_000))],
      ];
      const before = await countOrders(server, 'shop');
      for (const [reason, spoilIt] of spoil) {
        spoilIt();
        const refused = context();
        const failed = await failureOf(
          perform(restore, { ...to(), backups: folder, backup: good, safety, pg_restore: pgRestore }, refused),
        );
        expect([failed.kind, failed.message]).toEqual(['permanent', expect.stringContaining(reason)]);
        expect(refused.beganCount()).toBe(0);
      }
      expect(
        await failureOf(perform(restore, { ...to(), backups: folder, pg_restore: pgRestore }, context())),
      ).toMatchObject({ message: expect.stringContaining('was not named') });
      // The one that is to be restored is checked in the same way, and it is never the safety backup itself.
      writeFileSync(good, '');
      expect(
        await failureOf(
          perform(restore, { ...to(), backups: folder, unsaved_ok: true, pg_restore: pgRestore }, context()),
        ),
      ).toMatchObject({ kind: 'permanent', message: expect.stringContaining('0 bytes') });
      expect(await countOrders(server, 'shop')).toBe(before);
      expect(
        (await server.run('postgres', "SELECT count(*)::int AS n FROM pg_database WHERE datname ~ '^shop_'")).rows,
      ).toEqual([{ n: 0 }]);
      expect(existsSync(good)).toBe(true);
    },
    60_000,
  );
});
