import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import Database from 'better-sqlite3';
import { Kysely, sql } from 'kysely';
import { systemClock } from '../../../src/base/clock.ts';
import { createStatements, sqliteDialect } from '../../../src/store/driver.ts';
import { migrate } from '../../../src/store/migrate.ts';
import { prepared } from '../../../src/store/prepared.ts';
import type { Row, Tables } from '../../../src/store/tables.ts';

describe('a prepared query', () => {
  let queries: Kysely<Tables>;
  beforeEach(() => {
    const database = new Database(':memory:');
    migrate(database, ':memory:', 0);
    queries = new Kysely<Tables>({
      dialect: sqliteDialect(database, createStatements(database), systemClock, 'begin immediate'),
    });
  });
  afterEach(() => queries.destroy());

  it('is built once, and run with what each call gives', async () => {
    let built = 0;
    const add = prepared((open, given: Row<'components'>) => {
      built += 1;
      return open.insertInto('components').values(given);
    });
    const between = prepared((open, given: { from: number; to: number; names: string }) =>
      open
        .selectFrom('components')
        .select(['name', sql<number>`version + ${given.from}`.as('more')])
        .where('version', '>=', given.from)
        .where('version', '<', given.to)
        .where('name', '<>', 'b')
        .where('name', 'in', [given.names, 'c']),
    );
    await queries.transaction().execute(async (open) => {
      expect(await add.run(open, { name: 'a', version: 1 })).toBe(1);
      expect(await add.run(open, { name: 'b', version: 2 })).toBe(1);
      expect(await add.run(open, { version: 3, name: 'c' })).toBe(1);
    });
    expect(built).toBe(1);
    expect(await between.all(queries, { from: 1, to: 3, names: 'a' })).toEqual([{ name: 'a', more: 2 }]);
    expect(await between.first(queries, { from: 2, to: 4, names: 'a' })).toEqual({ name: 'c', more: 5 });
    expect(await between.first(queries, { from: 9, to: 9, names: 'a' })).toBeUndefined();
    await expect(between.one(queries, { from: 9, to: 9, names: 'a' })).rejects.toThrow('no row');
  });

  it('lets nothing be calculated from what is not known yet', async () => {
    const older = prepared((open, given: { now: number }) =>
      open
        .selectFrom('runs')
        .select('id')
        .where('created_at', '<', given.now - 1),
    );
    await expect(older.all(queries, { now: 5 })).rejects.toThrow('calculate with it before');
  });

  it('writes nothing outside a transaction, like any other query', async () => {
    const add = prepared((open, given: Row<'components'>) => open.insertInto('components').values(given));
    await expect(add.run(queries, { name: 'a', version: 1 })).rejects.toThrow('a write outside a transaction');
  });
});
