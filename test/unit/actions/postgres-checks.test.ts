// postgres.check-data and postgres.check-backup: on a real server whose tables are lost and damaged, and on real dumps.
import {
  closeSync,
  existsSync,
  openSync,
  readFileSync,
  readdirSync,
  truncateSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import backup from '../../../src/actions/postgres/backup.ts';
import checkBackup from '../../../src/actions/postgres/check-backup.ts';
import checkData from '../../../src/actions/postgres/check-data.ts';
import type { JsonObject } from '../../../src/base/json.ts';
import type { TestContext } from '../../support/action-context.ts';
import { createContexts, failureOf, perform, textOf } from '../../support/action-context.ts';
import { hasPostgres, itWithPostgres, makeShop, pgDump, pgRestore, startPostgres } from '../../support/postgres.ts';
import type { PostgresServer } from '../../support/postgres.ts';

const contexts = createContexts();
const backups = join(contexts.folder, 'dumps');
let server: PostgresServer;

beforeAll(async () => {
  if (!hasPostgres) return;
  server = await startPostgres(contexts.folder);
  await makeShop(server, 'shop');
}, 60_000);
afterAll(async () => {
  if (hasPostgres) await server.stop();
  await contexts.stop();
});

const context = (): TestContext => contexts.make({ allow: { hosts: [server.host], commands: [pgDump, pgRestore] } });
const data = (tables: JsonObject, database = 'shop'): Promise<JsonObject> =>
  perform(checkData, { url: server.url(database), password_file: server.passwordFile, tables }, context());

describe('the data of a database', () => {
  itWithPostgres('O9 is there while each table holds as many rows as it should', async () => {
    expect(await data({ orders: 1_000, 'public.orders': 0 })).toEqual({
      data_lost: false,
      data_damaged: false,
      tables_missing: 0,
      tables_short: 0,
      checksum_failures: 0,
      findings: [],
    });
  });

  itWithPostgres('O9 is lost when the database or a table is gone, or holds too few rows', async () => {
    const failed = await failureOf(data({ orders: 1_001, customers: 1, 'no_schema.orders': 1 }));
    expect(failed.outputs).toMatchObject({ data_lost: true, data_damaged: false, tables_missing: 2, tables_short: 1 });
    expect(failed.message).toContain('orders holds 1000 rows, fewer than 1001');
    expect((await failureOf(data({ orders: 1 }, 'nowhere'))).outputs).toMatchObject({
      data_lost: true,
      tables_missing: 1,
      findings: ['there is no database nowhere'],
    });
  });

  itWithPostgres('O9 is damaged when a page or a file of a table cannot be read', async () => {
    await makeShop(server, 'broken', 5_000);
    const { rows } = await server.run(
      'broken',
      "SELECT current_setting('data_directory') || '/' || pg_relation_filepath('orders') AS path",
    );
    const [{ path }] = rows as [{ path: string }];
    await server.run('broken', 'CHECKPOINT');
    // The server has the pages in its memory; a database that is copied is read from its files.
    const file = openSync(path, 'r+');
    writeSync(file, Buffer.alloc(4_096, 0xa5), 0, 4_096, 8_192);
    closeSync(file);
    await server.run('postgres', "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'broken'");
    await server.run('postgres', 'CREATE DATABASE copied TEMPLATE broken STRATEGY file_copy OWNER shop');
    expect((await failureOf(data({ orders: 5_000 }, 'copied'))).outputs).toMatchObject({
      data_lost: false,
      data_damaged: true,
      findings: [expect.stringContaining('invalid page')],
    });
  });

  itWithPostgres('of a server that does not answer, or keeps a table to itself, nothing is said', async () => {
    await server.run('shop', 'CREATE TABLE secret (id int)');
    for (const [work, text] of [
      [() => data({ secret: 0 }), '42501'],
      [
        () =>
          perform(
            checkData,
            { url: 'postgres://shop@127.0.0.1:1/shop', tables: { orders: 1 } },
            contexts.make({ allow: { hosts: ['127.0.0.1:1'] } }),
          ),
        'ECONNREFUSED',
      ],
    ] as const) {
      const failed = await failureOf(work());
      expect([failed.message, failed.outputs]).toEqual([expect.stringContaining(text), undefined]);
    }
    await server.run('shop', 'DROP TABLE secret');
  });
});

describe('the newest dump', () => {
  const look = (database = 'shop', more: JsonObject = {}): Promise<JsonObject> =>
    perform(checkBackup, { url: server.url(database), backups, pg_restore: pgRestore, ...more }, context());

  itWithPostgres('O9 is young enough and can be read to its end, or says why not', async () => {
    expect((await failureOf(look())).outputs).toEqual({
      dumps: 0,
      dump_path: '',
      dump_age_seconds: -1,
      dump_bytes: 0,
      dump_sound: false,
    });
    const made = await perform(
      backup,
      { url: server.url('shop'), password_file: server.passwordFile, backups, pg_dump: pgDump, pg_restore: pgRestore },
      context(),
    );
    const path = textOf(made, 'path');
    expect(await look()).toMatchObject({ dumps: 1, dump_path: path, dump_bytes: made['bytes'], dump_sound: true });
    // Of another database there is none.
    expect((await failureOf(look('other'))).outputs).toMatchObject({ dumps: 0 });

    const old = new Date(Date.now() - 30 * 3_600_000);
    utimesSync(path, old, old);
    const late = await failureOf(look());
    expect(late.outputs).toMatchObject({ dump_sound: true, dump_age_seconds: expect.any(Number) });
    expect(Number(late.outputs?.['dump_age_seconds'])).toBeGreaterThanOrEqual(108_000);
    expect(await look('shop', { max_age: '2d' })).toMatchObject({ dump_sound: true });

    const whole = readFileSync(path);
    truncateSync(path, Math.floor(whole.length / 2));
    const torn = await failureOf(look());
    expect(torn.outputs).toMatchObject({ dumps: 1, dump_sound: false, dump_age_seconds: -1 });
    writeFileSync(path, '');
    expect((await failureOf(look())).message).toContain('is empty (0 bytes)');
    expect([existsSync(path), readdirSync(backups).length]).toEqual([true, 1]);
  });
});
