import Database from 'better-sqlite3';
import { afterAll, afterEach, describe, expect, it } from '@jest/globals';
import type { ChildProcess } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import backup from '../../../src/actions/sqlite/backup.ts';
import { listBackups } from '../../../src/actions/sqlite/backups.ts';
import checkpoint from '../../../src/actions/sqlite/checkpoint.ts';
import create from '../../../src/actions/sqlite/create.ts';
import { systemClock } from '../../../src/base/clock.ts';
import { createContexts, failureOf, perform, textOf } from '../../support/action-context.ts';
import { endHolder, startHolder } from '../../support/holder.ts';
import { addOrders, breakHeader, breakPages, countOrders, makeDatabase } from '../../support/sqlite-files.ts';

const contexts = createContexts();
const running: ChildProcess[] = [];
afterEach(async () => {
  await Promise.all(running.splice(0).map(endHolder));
});
afterAll(() => contexts.stop());

describe('sqlite.backup', () => {
  it.each(['wal', 'delete'] as const)(
    'F58: backs up a live database in journal mode %s, checks the copy and leaves nothing else',
    async (mode) => {
      const { folder, path, backups } = makeDatabase(contexts.folder, mode);
      running.push(await startHolder(contexts.folder, { path, does: 'open' }));
      addOrders(path, 7);
      const outputs = await perform(backup, { path, backups }, contexts.make());
      expect(outputs).toMatchObject({ checked: true, reason: '' });
      expect(outputs['bytes']).toBeGreaterThan(0);
      expect(readdirSync(backups)).toHaveLength(1);
      expect(textOf(outputs, 'path')).toMatch(/\/orders-\d{8}T\d{9}Z\.db$/);
      expect(countOrders(textOf(outputs, 'path'))).toBe(507);
      expect(readdirSync(folder)).toContain('orders.db');
    },
  );

  /** `free`: most of it is free pages; `full`: none is; both too large to be copied at once. */
  const makeLarge = (mode: 'wal' | 'delete', kind: 'free' | 'full'): { path: string; backups: string } => {
    const { path, backups } = makeDatabase(contexts.folder, mode);
    const file = new Database(path);
    file.exec('CREATE TABLE notes (what TEXT); CREATE TABLE ballast (what BLOB)');
    for (const what of ['one', 'two', 'three', 'four']) file.prepare('INSERT INTO notes VALUES (?)').run(what);
    file.exec("DELETE FROM notes WHERE what = 'two'; PRAGMA user_version = 7; PRAGMA application_id = 99");
    const insert = file.prepare('INSERT INTO ballast VALUES (randomblob(1000000))');
    for (let megabyte = 0; megabyte < 20; megabyte += 1) insert.run();
    if (kind === 'free') file.exec('DROP TABLE ballast');
    file.close();
    return { path, backups };
  };
  const contentOf = (path: string): unknown => {
    const file = new Database(path, { readonly: true });
    try {
      return {
        notes: file.prepare('SELECT rowid, what FROM notes').all(),
        orders: file.prepare('SELECT * FROM orders').all(),
        schema: file.prepare('SELECT type, name, sql FROM sqlite_schema ORDER BY name').all(),
        ballast: file.prepare("SELECT count(*) AS n FROM sqlite_schema WHERE name = 'ballast'").get(),
        ...Object.fromEntries(
          ['user_version', 'application_id', 'journal_mode', 'page_size', 'encoding', 'auto_vacuum'].map((name) => [
            name,
            file.pragma(name, { simple: true }),
          ]),
        ),
      };
    } finally {
      file.close();
    }
  };

  it.each([
    ['wal', 'free', 1_000_000],
    ['wal', 'full', 40_000_000],
    ['delete', 'free', 40_000_000],
    ['delete', 'full', 40_000_000],
  ] as const)(
    'F58: a large database in journal mode %s, its pages %s, is backed up with every row, row id and setting; free pages beside a WAL are left out',
    async (mode, kind, most) => {
      const { path, backups } = makeLarge(mode, kind);
      const outputs = await perform(backup, { path, backups }, contexts.make());
      expect(outputs).toMatchObject({ checked: true, reason: '' });
      expect(outputs['bytes']).toBeLessThan(most);
      expect(readdirSync(backups)).toHaveLength(1);
      expect(contentOf(textOf(outputs, 'path'))).toEqual(contentOf(path));
    },
    30_000,
  );

  it('F58: a small database is copied page by page, as it stands in the middle of somebody else writing', async () => {
    const { path, backups } = makeDatabase(contexts.folder, 'wal', 20);
    running.push(await startHolder(contexts.folder, { path, does: 'write' }));
    const outputs = await perform(backup, { path, backups }, contexts.make());
    expect(readFileSync(textOf(outputs, 'path')).subarray(100).equals(readFileSync(path).subarray(100))).toBe(true);
    expect(countOrders(textOf(outputs, 'path'))).toBe(20);
  });

  it('keeps the newest ones and touches no other file in the folder', async () => {
    const { path, backups } = makeDatabase(contexts.folder, 'wal', 1);
    mkdirSync(backups);
    for (const name of ['other-20260101T000000000Z.db', 'orders-notes.db', 'orders.db'])
      writeFileSync(join(backups, name), 'mine');
    let ahead = 0;
    const clock = { ...systemClock, now: () => systemClock.now() + ahead };
    for (let run = 0; run < 4; run += 1) {
      ahead += 1_000;
      await perform(backup, { path, backups, keep: 2 }, contexts.make({ clock }));
    }
    expect(listBackups(backups, path)).toHaveLength(2);
    expect(readdirSync(backups).toSorted()).toEqual(
      expect.arrayContaining(['orders-notes.db', 'orders.db', 'other-20260101T000000000Z.db']),
    );
    expect(readdirSync(backups)).toHaveLength(5);
  });

  it.each([
    ['its header', breakHeader],
    ['its pages', breakPages],
    ['all of its content', (path: string) => writeFileSync(path, '')],
  ])(
    'F58: a database broken in %s never becomes a backup; as evidence it is kept apart, if asked for',
    async (_what, damage) => {
      const { path, backups } = makeDatabase(contexts.folder, 'delete');
      await perform(backup, { path, backups, keep: 1 }, contexts.make());
      damage(path);
      const error = await failureOf(perform(backup, { path, backups, keep: 1 }, contexts.make()));
      expect(error.kind).toBe('permanent');
      expect(readdirSync(backups)).toHaveLength(1);
      const outputs = await perform(backup, { path, backups, keep: 1, raw_ok: true }, contexts.make());
      expect(outputs).toMatchObject({ checked: false, path: expect.stringMatching(/\.db\.damaged$/) });
      expect(readFileSync(textOf(outputs, 'path')).equals(readFileSync(path))).toBe(true);
      // The sound one is still there: damage does not drive it out.
      expect(listBackups(backups, path)).toHaveLength(1);
    },
  );

  it('F58: a missing database is no success', async () => {
    const { path, backups } = makeDatabase(contexts.folder, 'delete', 1);
    rmSync(path);
    expect(await failureOf(perform(backup, { path, backups, raw_ok: true }, contexts.make()))).toMatchObject({
      kind: 'permanent',
      message: expect.stringContaining('does not exist'),
    });
  });

  it('D4: a locked database is no damage: another try may help, nothing is left behind', async () => {
    const { path, backups } = makeDatabase(contexts.folder, 'delete');
    running.push(await startHolder(contexts.folder, { path, does: 'exclusive' }));
    const error = await failureOf(perform(backup, { path, backups, raw_ok: true, busy: '100ms' }, contexts.make()));
    expect(error.kind).toBe('retryable');
    expect(readdirSync(backups)).toEqual([]);
  });
});

describe('sqlite.checkpoint', () => {
  it('D6: a large WAL is written into the database and cut down', async () => {
    const { path } = makeDatabase(contexts.folder, 'wal');
    running.push(await startHolder(contexts.folder, { path, does: 'open' }));
    addOrders(path, 2_000);
    const before = statSync(`${path}-wal`).size;
    expect(before).toBeGreaterThan(100_000);
    const outputs = await perform(checkpoint, { path }, contexts.make());
    expect(outputs).toMatchObject({ busy: false, wal_bytes_before: before, wal_bytes: 0 });
    expect(statSync(`${path}-wal`).size).toBe(0);
    expect(countOrders(path)).toBe(2_500);
  });

  it('D6: a reader in the way makes it retryable, with what was reached', async () => {
    const { path } = makeDatabase(contexts.folder, 'wal');
    running.push(await startHolder(contexts.folder, { path, does: 'read' }));
    addOrders(path, 100);
    const error = await failureOf(perform(checkpoint, { path, busy: '50ms' }, contexts.make()));
    expect(error).toMatchObject({ kind: 'retryable', outputs: { busy: true } });
  });

  it('D6: a missing or damaged database is refused, and none is made', async () => {
    const { path } = makeDatabase(contexts.folder, 'delete');
    breakHeader(path);
    expect(await failureOf(perform(checkpoint, { path }, contexts.make()))).toMatchObject({ kind: 'permanent' });
    rmSync(path);
    expect(await failureOf(perform(checkpoint, { path }, contexts.make()))).toMatchObject({ kind: 'permanent' });
    expect(existsSync(path)).toBe(false);
  });
});

describe('sqlite.create', () => {
  const schemaFile = join(contexts.folder, 'schema.sql');
  writeFileSync(schemaFile, 'PRAGMA journal_mode = WAL; CREATE TABLE orders (id INTEGER PRIMARY KEY, what TEXT);');

  it('D2: makes a database from the schema where there is none', async () => {
    const { folder, path } = makeDatabase(contexts.folder, 'delete', 1);
    rmSync(path);
    await perform(create, { path, schema_file: schemaFile }, contexts.make());
    expect(countOrders(path)).toBe(0);
    expect(readdirSync(folder)).toEqual(['orders.db']);
  });

  it('D2: never over an existing one, be it empty or broken, and not beside a WAL that would be read into it', async () => {
    const { folder, path } = makeDatabase(contexts.folder, 'delete', 3);
    const input = { path, schema_file: schemaFile };
    const context = contexts.make();
    expect(await failureOf(perform(create, input, context))).toMatchObject({
      kind: 'permanent',
      message: expect.stringContaining('exists'),
    });
    expect(countOrders(path)).toBe(3);
    rmSync(path);
    writeFileSync(`${path}-wal`, 'frames');
    expect(await failureOf(perform(create, input, context))).toMatchObject({
      kind: 'permanent',
      message: expect.stringContaining('orders.db-wal'),
    });
    expect(context.beganCount()).toBe(0);
    expect(readdirSync(folder)).toEqual(['orders.db-wal']);
  });

  it('D2: a schema that is missing, or is no SQL, leaves nothing behind', async () => {
    const { folder, path } = makeDatabase(contexts.folder, 'delete', 1);
    rmSync(path);
    const bad = join(contexts.folder, 'bad.sql');
    writeFileSync(bad, 'this is no SQL');
    expect(await failureOf(perform(create, { path, schema_file: bad }, contexts.make()))).toMatchObject({
      kind: 'permanent',
    });
    expect(
      await failureOf(perform(create, { path, schema_file: join(contexts.folder, 'none.sql') }, contexts.make())),
    ).toMatchObject({ kind: 'permanent' });
    expect(readdirSync(folder)).toEqual([]);
  });
});
