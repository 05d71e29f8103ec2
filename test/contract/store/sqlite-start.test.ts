// What a start refuses rather than forget: a damaged, missing, foreign, newer or owned database.
import { describe, expect, it } from '@jest/globals';
import Database from 'better-sqlite3';
import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, readdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { sha256 } from '../../../src/base/json.ts';
import { MIGRATIONS, migrate } from '../../../src/store/migrate.ts';
import { auditHash } from '../../../src/store/audit.ts';
import { openSqliteStore } from '../../../src/store/sqlite.ts';
import type { SqliteOptions } from '../../../src/store/sqlite.ts';
import { startChild } from './children.ts';
import {
  DAY,
  START,
  deliveryOf,
  everything,
  givenRun,
  heldClock,
  historyOf,
  ids,
  newFolder,
  silentLog,
} from './given.ts';

const open = (folder: string, said: Partial<SqliteOptions> = {}) =>
  openSqliteStore({
    folder,
    clock: heldClock(),
    ids,
    log: silentLog,
    owner: 'amends on test',
    acceptEmptyHistory: false,
    ...said,
  });

const refusal = (message: RegExp, mend: RegExp) => ({
  name: 'StoreRefused',
  exitCode: 78,
  message: expect.stringMatching(message),
  mend: expect.stringMatching(mend),
});

/** A folder in which a store has worked and was closed. */
const usedFolder = async (): Promise<string> => {
  const folder = newFolder();
  const store = await open(folder);
  await store.receive([deliveryOf(Array.from({ length: 300 }, (_, index) => ({ name: `a${index}` })))]);
  await givenRun(store);
  await store.close();
  return folder;
};

const hashes = (folder: string): Record<string, string> =>
  Object.fromEntries(
    readdirSync(folder)
      .filter((name) => name.startsWith('amends.db') && !name.endsWith('-shm'))
      .map((name): [string, Buffer] => [name, readFileSync(join(folder, name))])
      // A look at a file leaves an empty log beside it.
      .filter(([name, bytes]) => !name.endsWith('-wal') || bytes.length > 0)
      .map(([name, bytes]) => [name, sha256(bytes)]),
  );

const overwrite = (file: string, from: number, bytes: Buffer): void => {
  const whole = readFileSync(file);
  bytes.copy(whole, from);
  writeFileSync(file, whole);
};

const damages: Readonly<Record<string, (file: string) => void>> = {
  'an empty file': (file) => truncateSync(file, 0),
  'half a file': (file) => truncateSync(file, Math.floor(readFileSync(file).length / 2 / 4_096) * 4_096),
  'a file cut inside a page': (file) => truncateSync(file, readFileSync(file).length - 1_000),
  'garbage from end to end': (file) => writeFileSync(file, randomBytes(50_000)),
  'a garbage header': (file) => overwrite(file, 0, randomBytes(100)),
  'a page of zeros': (file) => overwrite(file, 4_096 * 3, Buffer.alloc(4_096)),
  'flipped pages': (file) => {
    for (let page = 2; page < 12; page += 1) overwrite(file, 4_096 * page, randomBytes(64));
  },
  'text in place of a database': (file) => writeFileSync(file, 'moved to the new host\n'),
  "another program's database": (file) => {
    rmSync(file);
    const other = new Database(file);
    other.exec('create table orders (id integer)');
    other.close();
  },
};

describe('a start', () => {
  it.each(Object.keys(damages))('refuses %s, keeps it as it is and says how to restore (F19)', async (name) => {
    const folder = await usedFolder();
    damages[name]?.(join(folder, 'amends.db'));
    const before = hashes(folder);
    const refused = refusal(/amends\.db is damaged/, /put a copy .* in its place/);
    await expect(open(folder)).rejects.toMatchObject(refused);
    await expect(open(folder, { acceptEmptyHistory: true })).rejects.toMatchObject(refused);
    expect(hashes(folder)).toEqual(before);
  });

  it('refuses a missing database that once was there, until an empty history is accepted, and then asks a human for a day (F20)', async () => {
    const folder = await usedFolder();
    rmSync(join(folder, 'amends.db'));
    writeFileSync(join(folder, 'amends.db-wal'), 'left behind');
    await expect(open(folder)).rejects.toMatchObject(
      refusal(/is missing, and .*amends\.created says/, /--storage\.accept-empty-history/),
    );
    expect(existsSync(join(folder, 'amends.db'))).toBe(false);
    const store = await open(folder, { acceptEmptyHistory: true });
    expect((await store.controls()).approvalOnlyUntil).toBe(START + DAY);
    expect((await historyOf(store, START)).approvalOnlyUntil).toBe(START + DAY);
    expect((await store.list('audit', everything)).items).toMatchObject([{ action: 'store.empty_history_accepted' }]);
    await store.close();
    expect(readFileSync(join(folder, `amends.db-wal.lost-${START}`), 'utf8')).toBe('left behind');
    const again = await open(folder);
    expect((await historyOf(again, START + DAY - 1)).approvalOnlyUntil).toBe(START + DAY);
    expect((await historyOf(again, START + DAY)).approvalOnlyUntil).toBeNull();
    await again.close();
  });

  it('needs no acceptance for its first database, and remembers everything over a restart', async () => {
    const folder = await usedFolder();
    const store = await open(folder, { acceptEmptyHistory: true });
    expect((await store.controls()).approvalOnlyUntil).toBeNull();
    expect((await store.activeRuns()).length).toBe(1);
    expect((await store.figures()).undecided).toBe(300);
    await store.close();
  });

  it('is refused beside a living owner, who is named, and possible as soon as that one is dead (F21)', async () => {
    const folder = newFolder();
    const child = startChild(['own', folder]);
    await child.hears('open');
    await expect(open(folder)).rejects.toMatchObject(
      refusal(new RegExp(`belongs to another process: a child, process ${child.process.pid} on `), /stop that process/),
    );
    child.process.kill('SIGKILL');
    await child.ended;
    const store = await open(folder);
    await expect(open(folder)).rejects.toMatchObject(
      refusal(new RegExp(`amends on test, process ${process.pid} `), /--storage.path/),
    );
    await store.close();
    await (await open(folder)).close();
  });

  it('refuses a schema that is newer than it knows (F24)', async () => {
    const folder = await usedFolder();
    const database = new Database(join(folder, 'amends.db'));
    database.exec('insert into schema_version values (999, 0)');
    database.close();
    const before = hashes(folder);
    await expect(open(folder)).rejects.toMatchObject(
      refusal(/has schema 999, and this amends knows up to \d+/, /newer amends/),
    );
    expect(hashes(folder)).toEqual(before);
  });

  it.each(MIGRATIONS.slice(0, -1).map(({ version }) => version))(
    'opens a database of schema %i, with all that is in it, and keeps a copy (F24)',
    async (version) => {
      const folder = newFolder();
      const file = join(folder, 'amends.db');
      const old = new Database(file);
      old.pragma('journal_mode = wal');
      migrate(old, file, START, MIGRATIONS.slice(0, version));
      const row = {
        seq: 1,
        at: START,
        actor: 'ann',
        action: 'halt',
        subject: 'all',
        detail: '{}',
        prev: '0'.repeat(64),
      };
      old
        .prepare('insert into audit values (@seq, @at, @actor, @action, @subject, @detail, @prev, @hash)')
        .run({ ...row, hash: auditHash(row) });
      old
        .prepare(
          `insert into deliveries (id, at, source, body, group_size, truncated_alerts, unknown_fields) values ('d', 1, 's', x'7b7d', 0, 0, 0)`,
        )
        .run();
      old.close();
      const store = await open(folder);
      expect(await store.verifyAudit()).toMatchObject({ ok: true, rows: 1, archives: 0 });
      expect(await store.delivery('d')).toMatchObject({ id: 'd', source: 's' });
      await store.close();
      expect(existsSync(`${file}.before-schema-${version + 1}`)).toBe(true);
    },
  );

  it('finds the old schema or the new one, whichever statement of an upgrade it was killed at (F24)', async () => {
    for (let statement = 0; statement <= 4; statement += 1) {
      const folder = await usedFolder();
      const child = startChild(['migrate', folder, statement]);
      expect(await child.ended).toMatchObject({ signal: 'SIGKILL' });
      expect(child.told).toEqual([]);
      const database = new Database(join(folder, 'amends.db'));
      expect(database.prepare('select max(version) from schema_version').pluck().get()).toBe(MIGRATIONS.length);
      expect(database.prepare(`select count(*) from sqlite_master where name = 'more'`).pluck().get()).toBe(0);
      database.close();
      const copy = new Database(join(folder, `amends.db.before-schema-${MIGRATIONS.length + 1}`), { readonly: true });
      expect(copy.pragma('integrity_check', { simple: true })).toBe('ok');
      expect(copy.prepare('select count(*) from alerts').pluck().get()).toBe(300);
      copy.close();
      const store = await open(folder);
      expect((await store.activeRuns()).length).toBe(1);
      await store.close();
    }
  });
});
