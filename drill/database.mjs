// SQLite files that go missing, break, hang locked, answer late and let their WAL grow; the figures are those of the
// source runbook for lost database connections.
import { closeSync, copyFileSync, fsyncSync, mkdirSync, openSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { endHolder, startHolder } from '../test/support/holder.ts';
import { breakHeader, breakPages, countOrders, makeDatabase } from '../test/support/sqlite-files.ts';

const ROWS = 500;
const SOURCE = 'database-connection-lost';
/** Given back by itself in the middle of the tries at 1, 2 and 4 s. */
const LATE_MS = 2_000;

export const available = () =>
  process.platform === 'linux' ? null : 'locks are found by the tables of a Linux kernel';

export const prepare = async ({ folder }) => {
  const { path, backups, folder: own } = makeDatabase(folder, 'wal', ROWS);
  mkdirSync(backups);
  const backup = join(backups, 'orders-20260101T000000000Z.db');
  copyFileSync(path, backup);
  writeFileSync(join(own, 'schema.sql'), 'CREATE TABLE orders (id INTEGER PRIMARY KEY, what TEXT);');

  const sound = () => {
    const file = new Database(path, { fileMustExist: true });
    try {
      if (file.pragma('integrity_check', { simple: true }) !== 'ok') return false;
      file.exec('BEGIN IMMEDIATE; ROLLBACK');
      return true;
    } catch {
      return false;
    } finally {
      file.close();
    }
  };
  const whole = () => sound() && countOrders(path) === ROWS;
  const gone = () => {
    for (const end of ['', '-wal', '-shm']) rmSync(`${path}${end}`, { force: true });
  };

  let holder = null;
  const hold = async (name) => {
    holder = await startHolder(folder, { path, does: 'write' }, name);
  };
  const letGo = async () => {
    if (holder !== null) await endHolder(holder);
    holder = null;
  };
  let reader = null;
  /** Beside a reader that lets nothing be written into the database: a megabyte that changes all the time, or ever more. */
  const grow = (kind) => () => {
    reader = new Database(path);
    reader.pragma('wal_autocheckpoint = 0');
    reader.exec('CREATE TABLE ballast (what BLOB)');
    const insert = reader.prepare('INSERT INTO ballast VALUES (randomblob(1000000))');
    for (let megabyte = 0; megabyte < 101; megabyte += 1) {
      if (kind === 'rewritten') reader.exec('DELETE FROM ballast');
      insert.run();
    }
    reader.exec('DROP TABLE ballast');
    // The alert comes a minute later: the kernel has written it to the disk by then.
    const file = openSync(`${path}-wal`, 'r+');
    fsyncSync(file);
    closeSync(file);
  };
  const walBytes = () => statSync(`${path}-wal`, { throwIfNoEntry: false })?.size ?? 0;
  /** Growth leaves free pages and copies of 100 MB behind: each fault begins with a small, sound file. */
  const clean = async () => {
    await letGo();
    reader?.close();
    reader = null;
    gone();
    rmSync(backups, { recursive: true, force: true });
    mkdirSync(backups);
    const file = new Database(path);
    file.pragma('journal_mode = wal');
    file.close();
    gone();
    copyFileSync(backup.replace(backups, folder), path);
    copyFileSync(backup.replace(backups, folder), backup);
  };
  copyFileSync(backup, backup.replace(backups, folder));

  const faults = [
    {
      name: 'missing',
      strategy: 'restore-backup',
      alertname: 'DatabaseMissing',
      figureMs: 500,
      break: gone,
      healthy: whole,
    },
    {
      name: 'header gone',
      strategy: 'restore-backup',
      alertname: 'DatabaseCorrupt',
      figureMs: 800,
      break: () => breakHeader(path),
      healthy: whole,
    },
    {
      name: 'pages damaged',
      strategy: 'restore-backup',
      alertname: 'DatabaseCorrupt',
      figureMs: 800,
      break: () => breakPages(path),
      healthy: whole,
    },
    {
      name: 'lock held',
      strategy: 'release-lock',
      alertname: 'DatabaseLocked',
      figureMs: 200,
      note: 'looks who holds it, backs up, and makes sure twice',
      break: () => hold('lock-holder'),
      // The alert comes of a probe that waited for the lock in vain.
      shows: { probe: 'drill_orders', output: 'locked' },
      healthy: whole,
    },
    {
      name: 'late answer',
      strategy: 'retry-connection',
      alertname: 'DatabaseTimeout',
      figureMs: 7_000,
      async break() {
        await hold('busy-writer');
        const held = holder;
        setTimeout(() => void endHolder(held), LATE_MS);
      },
      healthy: whole,
    },
    ...[
      ['WAL of 100 MB, rewritten', 'rewritten'],
      ['WAL of 100 MB, all new', 'new'],
    ].map(([name, kind]) => ({
      name,
      strategy: 'checkpoint-wal',
      alertname: 'WalTooLarge',
      figureMs: 300,
      note: 'with a backup of the whole before it',
      break: grow(kind),
      healthy: () => whole() && walBytes() === 0,
    })),
  ].map((fault) => ({ target: 'orders', source: SOURCE, after: clean, ...fault }));
  await clean();

  return {
    component: {
      inventory: {
        static: [
          {
            target: 'orders',
            connect: { path, backups, holders: ['lock-holder'], schema_file: join(own, 'schema.sql') },
          },
        ],
      },
      allow: { actions: ['sqlite.*', 'locks.*', 'inbox.*'] },
    },
    allow: { paths: [folder] },
    degradedModes: { database_unavailable: { available: ['reading'], unavailable: ['ordering'], impact: 'no orders' } },
    probes: [{ name: 'drill_orders', uses: 'sqlite.check', target: 'orders', every: '5s', with: { path, busy: '1s' } }],
    faults,
    async close() {
      await letGo();
      reader?.close();
    },
  };
};
