// sqlite.check-schema and postgres.check-schema: what a database says of its schema beside what is expected of it.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import Database from 'better-sqlite3';
import postgresSchema from '../../../src/actions/postgres/check-schema.ts';
import sqliteSchema from '../../../src/actions/sqlite/check-schema.ts';
import type { JsonObject } from '../../../src/base/json.ts';
import { createContexts, failureOf, perform } from '../../support/action-context.ts';
import { hasPostgres, itWithPostgres, makeShop, startPostgres } from '../../support/postgres.ts';
import type { PostgresServer } from '../../support/postgres.ts';

const contexts = createContexts();
let server: PostgresServer;
beforeAll(async () => {
  if (!hasPostgres) return;
  server = await startPostgres(contexts.folder);
  await makeShop(server, 'shop', 10);
}, 60_000);
afterAll(async () => {
  if (hasPostgres) await server.stop();
  await contexts.stop();
});

let made = 0;
const sqlite = (text: string): string => {
  const path = join(contexts.folder, `schema-${(made += 1)}.db`);
  const file = new Database(path);
  file.exec(text);
  file.close();
  return path;
};
const look = (input: JsonObject): Promise<JsonObject> => perform(sqliteSchema, input, contexts.make());

describe('P5 the schema of a SQLite file', () => {
  it('P5 is the expected one by user_version, or by the table of migrations whatever the length of its numbers', async () => {
    expect(await look({ path: sqlite('PRAGMA user_version = 7'), expected: 7 })).toEqual({
      schema_version: '7',
      schema_expected: '7',
      schema_matches: true,
      schema_ahead: false,
      schema_dirty: false,
    });
    const many = sqlite(
      "CREATE TABLE schema_migrations (version TEXT); INSERT INTO schema_migrations VALUES ('9'), ('10'), ('8')",
    );
    expect(await look({ path: many, table: 'schema_migrations', expected: '10' })).toMatchObject({
      schema_version: '10',
    });
  });

  it('P5 is ahead when the deployed application does not know it, and merely another one when it is older', async () => {
    const path = sqlite('PRAGMA user_version = 7');
    const expected = join(contexts.folder, 'EXPECTED');
    writeFileSync(expected, '6\n');
    const ahead = await failureOf(look({ path, expected_file: expected }));
    expect([ahead.kind, ahead.message]).toEqual(['permanent', expect.stringContaining('version 7, but 6 is expected')]);
    expect(ahead.outputs).toMatchObject({ schema_matches: false, schema_ahead: true, schema_dirty: false });
    const behind = await failureOf(look({ path, expected: '8' }));
    expect(behind.outputs).toMatchObject({ schema_matches: false, schema_ahead: false });

    const hashes = sqlite(
      "CREATE TABLE alembic_version (version_num TEXT); INSERT INTO alembic_version VALUES ('9f3e')",
    );
    const table = { path: hashes, table: 'alembic_version', column: 'version_num', expected: '27c6' };
    expect((await failureOf(look(table))).outputs).toMatchObject({ schema_ahead: false });
    expect((await failureOf(look({ ...table, known: ['1a2b', '27c6'] }))).outputs).toMatchObject({
      schema_version: '9f3e',
      schema_ahead: true,
    });
    expect((await failureOf(look({ ...table, known: ['9f3e', '27c6'] }))).outputs).toMatchObject({
      schema_ahead: false,
    });
  });

  it('P5 is dirty when a migration broke off, even at the expected version', async () => {
    const path = sqlite(
      'CREATE TABLE schema_migrations (version INTEGER, dirty INTEGER); INSERT INTO schema_migrations VALUES (4, 1)',
    );
    const failed = await failureOf(look({ path, table: 'schema_migrations', dirty_column: 'dirty', expected: '4' }));
    expect(failed.message).toContain('broke off at 4');
    expect(failed.outputs).toMatchObject({ schema_matches: true, schema_dirty: true });
  });

  it('cannot be told from a file that is not there, without the table, or from an expectation that is none', async () => {
    const path = sqlite('PRAGMA user_version = 7');
    const empty = join(contexts.folder, 'EMPTY');
    writeFileSync(empty, ' \n');
    for (const [input, text] of [
      [{ path: join(contexts.folder, 'nowhere.db'), expected: '1' }, 'does not exist'],
      [{ path, table: 'nothing', expected: '1' }, 'no such table'],
      [{ path, expected_file: empty }, 'does not hold a version'],
      [{ path, expected_file: '/etc/hostname' }, 'is not allowed'],
    ] as const) {
      const failed = await failureOf(look(input));
      expect([failed.message, failed.outputs]).toEqual([expect.stringContaining(text), undefined]);
    }
    for (const input of [{ path }, { path, expected: '1', expected_file: empty }])
      expect(sqliteSchema.input.safeParse(input).error?.issues[0]?.message).toContain(
        'either expected or expected_file',
      );
  });
});

describe('the schema of a PostgreSQL database', () => {
  itWithPostgres('P5 O9 is the expected one, ahead, or left dirty by a migration that broke off', async () => {
    await server.run(
      'shop',
      'CREATE TABLE schema_migrations (version bigint, dirty boolean); INSERT INTO schema_migrations VALUES (3, false); GRANT SELECT ON schema_migrations TO shop',
    );
    const input = { url: server.url('shop'), password_file: server.passwordFile, dirty_column: 'dirty' };
    const ask = (expected: string): Promise<JsonObject> =>
      perform(postgresSchema, { ...input, expected }, contexts.make({ allow: { hosts: [server.host] } }));
    expect(await ask('3')).toMatchObject({ schema_version: '3', schema_matches: true });
    expect((await failureOf(ask('2'))).outputs).toMatchObject({ schema_ahead: true, schema_dirty: false });
    await server.run('shop', 'UPDATE schema_migrations SET dirty = true');
    expect((await failureOf(ask('3'))).outputs).toMatchObject({ schema_matches: true, schema_dirty: true });
    await server.run('shop', 'DROP TABLE schema_migrations');
    expect((await failureOf(ask('3'))).message).toContain('42P01');
  });
});
