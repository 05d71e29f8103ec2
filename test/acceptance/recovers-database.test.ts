// A started amends beside a SQLite database that is gone without a backup, and one whose WAL only grows.
import { existsSync, mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import Database from 'better-sqlite3';
import { getJson, startedHere } from '../support/servers.ts';
import { resolved, startShipped } from '../support/shipped.ts';
import type { Row, Shipped } from '../support/shipped.ts';
import { countOrders, makeDatabase } from '../support/sqlite-files.ts';

const servers = startedHere();
let amends: Shipped;
let orders: ReturnType<typeof makeDatabase>;

beforeEach(async () => {
  const folder = await servers.folder();
  orders = makeDatabase(folder, 'wal');
  mkdirSync(orders.backups);
  const schema = join(folder, 'schema.sql');
  writeFileSync(schema, 'PRAGMA journal_mode = WAL; CREATE TABLE orders (id INTEGER PRIMARY KEY, what TEXT)');
  amends = await startShipped(servers, {
    kinds: ['database'],
    components: {
      'shop-db': {
        kind: 'database',
        inventory: {
          static: [{ target: 'orders', connect: { path: orders.path, backups: orders.backups, schema_file: schema } }],
        },
        allow: { actions: ['sqlite.*', 'locks.*', 'inbox.*', 'triage.*'] },
      },
    },
    allow: { paths: [folder] },
    more: { degraded_modes: { database_unavailable: { available: [], unavailable: ['all'], impact: 'no orders' } } },
  });
}, 30_000);
afterEach(() => amends.stop());
afterAll(() => servers.stopAll());

describe('a database and a started amends', () => {
  it('D2 R18 one that is gone without a backup is created anew, empty, only once a human says yes', async () => {
    for (const end of ['', '-wal', '-shm']) rmSync(`${orders.path}${end}`, { force: true });
    await amends.fire('DatabaseMissing', 'shop-db', 'orders');
    expect(await amends.ended('restore-backup')).toMatchObject({ outcome: 'unresolved', cause: 'step_failed' });
    expect(await amends.modes()).toEqual(['database_unavailable']);
    expect(existsSync(orders.path)).toBe(false);
    expect(await amends.approved('create-fresh')).toMatchObject(resolved('create-fresh'));
    expect(countOrders(orders.path)).toBe(0);
    expect(await amends.modes()).toEqual([]);
  }, 60_000);

  it('D6 D7 P7 a WAL of more than 100 MB is cut down behind a backup, with every row, and the day counts it', async () => {
    const writer = new Database(orders.path);
    try {
      writer.pragma('wal_autocheckpoint = 0');
      writer.exec('CREATE TABLE ballast (what BLOB)');
      const insert = writer.prepare('INSERT INTO ballast VALUES (zeroblob(1000000))');
      for (let megabyte = 0; megabyte < 101; megabyte += 1) insert.run();
      expect(statSync(`${orders.path}-wal`).size).toBeGreaterThan(100_000_000);
      await amends.fire('WalTooLarge', 'shop-db', 'orders');
      expect(await amends.ended('checkpoint-wal')).toMatchObject(resolved('checkpoint-wal'));
      expect(statSync(`${orders.path}-wal`).size).toBe(0);
      expect(readdirSync(orders.backups)).toEqual([expect.stringMatching(/^orders-\d{8}T\d{9}Z\.db$/)]);
      expect(countOrders(join(orders.backups, readdirSync(orders.backups)[0] ?? ''))).toBe(500);
      expect(countOrders(orders.path)).toBe(500);
      const daily = await getJson<{ items: readonly Row[] }>(`${amends.server.url}/api/v1/metrics/usage-daily`);
      expect(JSON.stringify(daily)).toMatch(/"resolved":1/);
    } finally {
      writer.close();
    }
  }, 60_000);
});
