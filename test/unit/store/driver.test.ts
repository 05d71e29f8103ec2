import { afterEach, describe, expect, it } from '@jest/globals';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../../src/base/clock.ts';
import { asPortError, isFatal, openConnection } from '../../../src/store/connection.ts';
import { migrate } from '../../../src/store/migrate.ts';

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});
const newFile = (): string => {
  const folder = mkdtempSync(join(tmpdir(), 'amends-driver-'));
  folders.push(folder);
  return join(folder, 'amends.db');
};

const openNew = (file: string) => {
  const connection = openConnection(file, systemClock, { writes: true, maxPages: null });
  migrate(connection.database, file, 0);
  return connection;
};

describe('a connection', () => {
  it('is durable: full synchronous commits in WAL mode, foreign keys on, and no busy timeout that would block (F17)', () => {
    const file = newFile();
    const writer = openNew(file);
    const reader = openConnection(file, systemClock, { writes: false, maxPages: null });
    for (const { database } of [writer, reader]) {
      const pragma = (name: string): unknown => database.pragma(name, { simple: true });
      expect([pragma('journal_mode'), pragma('synchronous'), pragma('foreign_keys'), pragma('busy_timeout')]).toEqual([
        'wal',
        2,
        1,
        0,
      ]);
    }
    reader.database.close();
    writer.database.close();
  });

  it('writes nothing outside a transaction, however it is asked (F18)', async () => {
    const { database, queries, statements } = openNew(newFile());
    await expect(queries.insertInto('components').values({ name: 'a', version: 1 }).execute()).rejects.toThrow(
      /a write outside a transaction/,
    );
    expect(() => statements.run('delete from components', [])).toThrow(/a write outside a transaction/);
    await queries
      .transaction()
      .execute((open) => open.insertInto('components').values({ name: 'a', version: 1 }).execute());
    expect((await queries.selectFrom('components').selectAll().execute()).length).toBe(1);
    database.close();
  });

  it('begins immediately: from the first read on nobody else can write (F18)', async () => {
    const file = newFile();
    const first = openNew(file);
    const second = openConnection(file, systemClock, { writes: true, maxPages: null });
    await first.queries.transaction().execute(async (open) => {
      await open.selectFrom('components').selectAll().execute();
      expect(() => second.database.exec('begin immediate')).toThrow(expect.objectContaining({ code: 'SQLITE_BUSY' }));
    });
    second.database.exec('begin immediate; rollback');
    second.database.close();
    first.database.close();
  });

  it('goes on after a transaction that failed', async () => {
    const { database, queries } = openNew(newFile());
    const failing = queries.transaction().execute(async (open) => {
      await open.insertInto('components').values({ name: 'a', version: 1 }).execute();
      throw new RangeError('a bug');
    });
    await expect(failing).rejects.toThrow('a bug');
    expect(await queries.selectFrom('components').selectAll().execute()).toEqual([]);
    database.close();
  });
});

describe('errors of SQLite', () => {
  const coded = (code: string): Error => Object.assign(new Error('it said so'), { code });

  it('are StoreUnavailable with their cause when the disk or a lock is at fault, and themselves when we are (F25)', () => {
    for (const code of [
      'SQLITE_BUSY',
      'SQLITE_FULL',
      'SQLITE_IOERR_WRITE',
      'SQLITE_READONLY_DIRECTORY',
      'SQLITE_CORRUPT_INDEX',
      'SQLITE_CANTOPEN',
    ]) {
      const error = coded(code);
      expect(asPortError(error)).toMatchObject({ name: 'StoreUnavailable', cause: error });
    }
    for (const error of [
      coded('SQLITE_CONSTRAINT_UNIQUE'),
      coded('SQLITE_ERROR'),
      coded('ENOENT'),
      new RangeError('a bug'),
      null,
    ])
      expect(asPortError(error)).toBe(error);
  });

  it('end the process after a failed fsync or on a damaged file, not on a full disk (F25)', () => {
    expect(
      ['SQLITE_IOERR_FSYNC', 'SQLITE_IOERR_DIR_FSYNC', 'SQLITE_CORRUPT', 'SQLITE_CORRUPT_VTAB', 'SQLITE_NOTADB'].map(
        isFatal,
      ),
    ).toEqual([true, true, true, true, true]);
    expect(['SQLITE_FULL', 'SQLITE_IOERR_WRITE', 'SQLITE_BUSY', 'SQLITE_READONLY'].map(isFatal)).toEqual([
      false,
      false,
      false,
      false,
    ]);
  });
});
