// sqlite.force-unlock, vacuum and migrate-down: real processes hold real locks, and every committed row is there after it.
import { afterAll, afterEach, describe, expect, it } from '@jest/globals';
import type { ChildProcess } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  readdirSync,
  readFileSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import backup from '../../../src/actions/sqlite/backup.ts';
import check from '../../../src/actions/sqlite/check.ts';
import forceUnlock from '../../../src/actions/sqlite/force-unlock.ts';
import migrateDown from '../../../src/actions/sqlite/migrate-down.ts';
import restore from '../../../src/actions/sqlite/restore.ts';
import vacuum from '../../../src/actions/sqlite/vacuum.ts';
import type { JsonObject } from '../../../src/base/json.ts';
import type { TestContext } from '../../support/action-context.ts';
import { createContexts, eventually, failureOf, perform, textOf } from '../../support/action-context.ts';
import { endHolder, startHolder } from '../../support/holder.ts';
import type { HolderOptions } from '../../support/holder.ts';
import { addOrders, breakPages, countOrders, makeDatabase } from '../../support/sqlite-files.ts';

const contexts = createContexts();
const running: ChildProcess[] = [];
const context = (commands: readonly string[] = []): TestContext => contexts.make({ allow: { commands } });
afterEach(async () => {
  await Promise.all(running.splice(0).map(endHolder));
});
afterAll(() => contexts.stop());

const hold = async (options: HolderOptions, name = 'lock-holder'): Promise<ChildProcess> => {
  const child = await startHolder(contexts.folder, options, name);
  running.push(child);
  return child;
};
const gone = ({ exitCode, signalCode }: ChildProcess): boolean => exitCode !== null || signalCode !== null;
const only = ['lock-holder'];
/** Every row, as text. */
const rowsOf = (path: string): string => {
  const file = new Database(path, { readonly: true });
  try {
    return JSON.stringify(file.prepare('SELECT * FROM orders ORDER BY id').all());
  } finally {
    file.close();
  }
};

describe('a lock that is forced', () => {
  it.each([
    ['wal', 'write', false],
    ['wal', 'exclusive', true],
    ['delete', 'write', true],
    ['delete', 'exclusive', false],
    ['delete', 'read', false],
  ] as const)(
    'V6 F58 in mode %s, held by %s (ignores TERM: %s): backed up, let go of, and not one committed row is lost',
    async (mode, does, ignoreTerm) => {
      const { path, backups } = makeDatabase(contexts.folder, mode);
      const before = rowsOf(path);
      const holder = await hold({ path, does, ignoreTerm });
      const done = await perform(forceUnlock, { path, backups, only, busy: '100ms', grace: '200ms' }, context());
      expect(done).toMatchObject({
        force_unlock_successful: true,
        processes_terminated: [holder.pid],
        processes_killed: ignoreTerm ? 1 : 0,
        stopped: [{ pid: holder.pid, name: 'lock-holder' }],
      });
      await eventually(() => gone(holder));
      expect(rowsOf(path)).toBe(before);
      expect(rowsOf(textOf(done, 'backup_created'))).toBe(before);
      expect(await perform(check, { path, integrity: 'full' }, context())).toMatchObject({ layer_integrity: 1 });
      addOrders(path, 1);
      expect(countOrders(path)).toBe(501);
    },
  );

  it('V6 that is free again by itself is left alone: no backup, no process ended', async () => {
    const { path, backups } = makeDatabase(contexts.folder, 'wal');
    const bystander = await hold({ path, does: 'open' });
    expect(await perform(forceUnlock, { path, backups, only }, context())).toEqual({
      force_unlock_successful: true,
      processes_terminated: [],
      processes_killed: 0,
      backup_created: '',
      stopped: [],
    });
    expect(gone(bystander)).toBe(false);
    expect(existsSync(backups)).toBe(false);
  });

  it('V6 F31: by a process that nobody declared, or by more than declared, is left to a human', async () => {
    const { path, backups } = makeDatabase(contexts.folder, 'delete');
    const stranger = await hold({ path, does: 'exclusive' }, 'migration');
    const failed = await failureOf(perform(forceUnlock, { path, backups, only, busy: '50ms' }, context()));
    expect(failed).toMatchObject({ kind: 'permanent', message: expect.stringContaining('(migration)') });
    expect(failed.outputs).toMatchObject({ force_unlock_successful: false, processes_terminated: [] });
    expect(gone(stranger)).toBe(false);
    expect(existsSync(backups)).toBe(false);
    const shared = makeDatabase(contexts.folder, 'delete');
    const readers = [await hold({ path: shared.path, does: 'read' }), await hold({ path: shared.path, does: 'read' })];
    const many = await failureOf(
      perform(forceUnlock, { path: shared.path, backups, only, busy: '50ms', max: 1 }, context()),
    );
    expect(many).toMatchObject({ kind: 'permanent', message: expect.stringContaining('more than max (1)') });
    expect(readers.some(gone)).toBe(false);
  });

  it.each(['write', 'exclusive'] as const)(
    'F58: when no sound backup can be made, the holder (%s) goes on and nothing is ended',
    async (does) => {
      const { path, backups } = makeDatabase(contexts.folder, 'delete');
      const holder = await hold({ path, does });
      breakPages(path);
      const failed = await failureOf(perform(forceUnlock, { path, backups, only, busy: '50ms' }, context()));
      expect(failed).toMatchObject({ kind: 'permanent', message: expect.stringContaining('no sound backup') });
      expect(gone(holder)).toBe(false);
      // Not left standing still either.
      expect(/^State:\s+([A-Z])/m.exec(readFileSync(`/proc/${holder.pid}/status`, 'utf8'))?.[1]).not.toBe('T');
      expect(readdirSync(backups).filter((name) => name.endsWith('.db'))).toEqual([]);
    },
  );
});

describe('a vacuum', () => {
  it('V13 gives back the room of deleted rows and keeps the others', async () => {
    const { path } = makeDatabase(contexts.folder, 'wal', 5_000);
    const file = new Database(path);
    file.exec('DELETE FROM orders WHERE id > 100');
    file.close();
    const before = rowsOf(path);
    const size = statSync(path).size;
    const done = await perform(vacuum, { path }, context());
    expect(done).toMatchObject({ bytes_before: size });
    expect(done['freed_bytes']).toBeGreaterThan(size / 2);
    expect(statSync(path).size).toBe(done['bytes_after']);
    expect(rowsOf(path)).toBe(before);
  });

  it('does nothing to a database that is locked, damaged or not there', async () => {
    const locked = makeDatabase(contexts.folder, 'delete');
    await hold({ path: locked.path, does: 'exclusive' });
    expect(await failureOf(perform(vacuum, { path: locked.path, busy: '50ms' }, context()))).toMatchObject({
      kind: 'retryable',
    });
    const damaged = makeDatabase(contexts.folder, 'delete');
    breakPages(damaged.path);
    const before = readFileSync(damaged.path);
    expect(await failureOf(perform(vacuum, { path: damaged.path }, context()))).toMatchObject({ kind: 'permanent' });
    expect(readFileSync(damaged.path)).toEqual(before);
    expect(await failureOf(perform(vacuum, { path: join(contexts.folder, 'none.db') }, context()))).toMatchObject({
      kind: 'permanent',
    });
  });
});

describe('a migration taken back', () => {
  const command = join(contexts.folder, 'migrate');
  writeFileSync(
    command,
    `#!${process.execPath}
const [, , path, does] = process.argv;
const { createRequire } = require('node:module');
const Database = createRequire(${JSON.stringify(import.meta.url)})('better-sqlite3');
const file = new Database(path);
if (does === 'down') { file.exec('ALTER TABLE orders DROP COLUMN note'); file.pragma('user_version = 1'); console.log('Running downgrade 2 -> 1'); }
if (does === 'half') { file.exec('CREATE TABLE half (x)'); console.error('column is in use'); process.exit(3); }
if (does === 'none') { console.error('no such revision'); process.exit(4); }
`,
  );
  chmodSync(command, 0o755);
  const migrated = (): ReturnType<typeof makeDatabase> => {
    const made = makeDatabase(contexts.folder, 'wal');
    const file = new Database(made.path);
    file.exec("ALTER TABLE orders ADD COLUMN note TEXT; UPDATE orders SET note = 'n'");
    file.pragma('user_version = 2');
    file.close();
    return made;
  };
  const saved = async ({ path, backups }: JsonObject & { path: string; backups: string }): Promise<string> =>
    textOf(await perform(backup, { path, backups }, context()), 'path');
  const down = (path: string, kept: string, does = 'down', more: JsonObject = {}): Promise<JsonObject> =>
    perform(migrateDown, { path, backup: kept, argv: [command, path, does], ...more }, context([command]));

  it('P5 runs the declared command after a check of the backup, and says what both did; the backup brings the state before back', async () => {
    const { path, backups } = migrated();
    const before = rowsOf(path);
    const kept = await saved({ path, backups });
    expect(await down(path, kept)).toEqual({
      backup: kept,
      exit_code: 0,
      stdout: 'Running downgrade 2 -> 1\n',
      stderr: '',
      schema_changed: true,
    });
    expect(rowsOf(path)).not.toContain('note');
    expect(countOrders(path)).toBe(500);
    await perform(restore, { path, backups, even_if_healthy: true }, context());
    expect(rowsOf(path)).toBe(before);
  });

  it('F58: does not run without a backup, nor with one that is empty, stale or damaged', async () => {
    const { path, backups, folder } = migrated();
    const before = rowsOf(path);
    const kept = await saved({ path, backups });
    const spoiled = join(folder, 'spoiled.db');
    const spoil: ReadonlyArray<readonly [string, () => void]> = [
      ['is not there', () => undefined],
      ['is empty (0 bytes)', () => writeFileSync(spoiled, '')],
      ['s old', () => (copyFileSync(kept, spoiled), utimesSync(spoiled, 1_000_000, 1_000_000))],
      ['spoiled.db', () => (copyFileSync(kept, spoiled), breakPages(spoiled))],
    ];
    for (const [reason, spoilIt] of spoil) {
      spoilIt();
      const refused = context([command]);
      const failed = await failureOf(
        perform(migrateDown, { path, backup: spoiled, argv: [command, path, 'down'] }, refused),
      );
      expect([failed.kind, failed.message]).toEqual(['permanent', expect.stringContaining(reason)]);
      expect(failed.message).toContain('no migration was taken back');
      expect(refused.beganCount()).toBe(0);
    }
    expect(rowsOf(path)).toBe(before);
  });

  it('a command that fails says whether it has gone half of its way; one that nobody declared is not run', async () => {
    const { path, backups } = migrated();
    const kept = await saved({ path, backups });
    expect(await failureOf(down(path, kept, 'none'))).toMatchObject({
      kind: 'permanent',
      message: expect.stringContaining('no such revision'),
      outputs: { exit_code: 4, schema_changed: false },
    });
    expect(await failureOf(down(path, kept, 'half'))).toMatchObject({
      kind: 'indeterminate',
      outputs: { exit_code: 3, schema_changed: true },
    });
    expect(await failureOf(down(path, kept, 'down', { argv: ['/bin/true', path] }))).toMatchObject({
      kind: 'permanent',
      message: expect.stringContaining('allow.commands'),
    });
  });
});
