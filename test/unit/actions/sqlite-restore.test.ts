import { afterAll, afterEach, describe, expect, it } from '@jest/globals';
import { spawnSync } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { compiled } from '../../../src/actions/compiled.ts';
import backup from '../../../src/actions/sqlite/backup.ts';
import restore from '../../../src/actions/sqlite/restore.ts';
import { RESTORE_STEPS } from '../../../src/actions/sqlite/restoring.ts';
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

/** A database of 500 orders with a backup of them, and 9 more since. */
const withBackup = async (mode: 'wal' | 'delete'): Promise<ReturnType<typeof makeDatabase>> => {
  const made = makeDatabase(contexts.folder, mode);
  await perform(backup, { path: made.path, backups: made.backups }, contexts.make());
  addOrders(made.path, 9);
  return made;
};

const integrityOf = (path: string): unknown => {
  const file = new Database(path, { fileMustExist: true });
  try {
    return file.pragma('integrity_check', { simple: true });
  } finally {
    file.close();
  }
};

describe('sqlite.restore', () => {
  it.each([
    ['wal', 'missing', (path: string) => rmSync(path)],
    ['wal', 'with a broken header', breakHeader],
    ['delete', 'with broken pages', breakPages],
    ['delete', 'empty', (path: string) => writeFileSync(path, '')],
  ] as const)(
    'D2 D3: a database (%s) that is %s is restored from its backup, and what was there is kept',
    async (mode, _what, damage) => {
      const { folder, path, backups } = await withBackup(mode);
      damage(path);
      const damaged = existsSync(path) ? readFileSync(path) : null;
      const outputs = await perform(restore, { path, backups }, contexts.make());
      expect(outputs).toMatchObject({
        restored: true,
        restored_from: expect.stringContaining('/orders-'),
        skipped_backups: [],
        open_by: [],
      });
      expect(countOrders(path)).toBe(500);
      expect(readdirSync(folder).toSorted()).toEqual(['backups', 'orders.db']);
      const kept = join(textOf(outputs, 'replaced_to'), 'orders.db');
      if (damaged !== null) expect(readFileSync(kept).equals(damaged)).toBe(true);
    },
  );

  it('D3 F58: newer backups that do not pass the check themselves are skipped and named', async () => {
    const { path, backups } = await withBackup('delete');
    const [sound] = readdirSync(backups);
    const newer = [
      'orders-29990101T000000000Z.db',
      'orders-29990102T000000000Z.db',
      'orders-29990103T000000000Z.db',
      'orders-29990104T000000000Z.db',
    ].map((name) => join(backups, name));
    writeFileSync(newer[0] ?? '', '');
    copyFileSync(join(backups, sound ?? ''), newer[1] ?? '');
    breakPages(newer[1] ?? '');
    writeFileSync(newer[2] ?? '', 'not a database');
    symlinkSync('/etc/passwd', newer[3] ?? '');
    breakHeader(path);
    const outputs = await perform(restore, { path, backups }, contexts.make());
    expect(outputs).toMatchObject({ restored_from: join(backups, sound ?? '') });
    expect((outputs['skipped_backups'] as Array<{ path: string }>).map((skipped) => skipped.path)).toEqual(
      newer.toReversed(),
    );
    expect(countOrders(path)).toBe(500);
  });

  it('D3: without a backup that passes, nothing is touched', async () => {
    const { folder, path, backups } = makeDatabase(contexts.folder, 'delete');
    mkdirSync(backups);
    writeFileSync(join(backups, 'orders-29990101T000000000Z.db'), 'not a database');
    breakHeader(path);
    const before = readFileSync(path);
    const context = contexts.make();
    const error = await failureOf(perform(restore, { path, backups }, context));
    expect(error).toMatchObject({ kind: 'permanent', outputs: { restored: false } });
    expect(context.beganCount()).toBe(0);
    expect(readFileSync(path).equals(before)).toBe(true);
    expect(readdirSync(folder).toSorted()).toEqual(['backups', 'orders.db']);
  });

  it('D3: a sound database is left as it is, so that doing it twice loses nothing; unless it is wanted in any case', async () => {
    const { path, backups } = await withBackup('wal');
    const context = contexts.make();
    expect(await perform(restore, { path, backups }, context)).toMatchObject({ restored: false });
    expect(context.beganCount()).toBe(0);
    expect(countOrders(path)).toBe(509);
    const outputs = await perform(restore, { path, backups, even_if_healthy: true }, contexts.make());
    expect(countOrders(path)).toBe(500);
    expect(countOrders(join(textOf(outputs, 'replaced_to'), 'orders.db'))).toBe(509);
  });

  it('C8: a file that another process has open is replaced only with allow_open, which then names who needs a restart', async () => {
    const { path, backups } = await withBackup('wal');
    const holder = await startHolder(contexts.folder, { path, does: 'open' });
    running.push(holder);
    breakPages(path);
    expect(await failureOf(perform(restore, { path, backups }, contexts.make()))).toMatchObject({
      kind: 'retryable',
      message: expect.stringContaining(String(holder.pid)),
    });
    const outputs = await perform(restore, { path, backups, allow_open: true }, contexts.make());
    expect(outputs).toMatchObject({ restored: true, open_by: [{ pid: holder.pid }] });
    expect(countOrders(path)).toBe(500);
  });

  it('C8: a stale -wal beside the database is never read into the restored one', async () => {
    const { folder, path, backups } = await withBackup('wal');
    // A WAL with valid frames of the old database, as a crashed application leaves it.
    const holder = await startHolder(contexts.folder, { path, does: 'open' });
    addOrders(path, 1_000);
    await endHolder(holder);
    const wal = readFileSync(`${path}-wal`);
    expect(wal.length).toBeGreaterThan(0);
    rmSync(path);
    const outputs = await perform(restore, { path, backups }, contexts.make());
    expect(countOrders(path)).toBe(500);
    expect(integrityOf(path)).toBe('ok');
    expect(readFileSync(join(textOf(outputs, 'replaced_to'), 'orders.db-wal')).equals(wal)).toBe(true);
    expect(readdirSync(folder).toSorted()).toEqual(['backups', 'orders.db']);
  });

  it('D3: a header that the WAL can still mend loses nothing: no older backup is put in its place', async () => {
    const { path, backups } = await withBackup('wal');
    const holder = await startHolder(contexts.folder, { path, does: 'open' });
    addOrders(path, 1_000);
    await endHolder(holder);
    breakHeader(path);
    expect(await perform(restore, { path, backups }, contexts.make())).toMatchObject({ restored: false });
    expect(countOrders(path)).toBe(1_509);
  });

  it('C8: the restored file has the mode of the one it replaces', async () => {
    const { path, backups } = await withBackup('delete');
    breakHeader(path);
    const mode = statSync(path).mode;
    await perform(restore, { path, backups }, contexts.make());
    expect(statSync(path).mode).toBe(mode);
  });

  const kill = (made: { readonly path: string; readonly backups: string }, steps: number): void => {
    const input = {
      path: made.path,
      backups: made.backups,
      at: systemClock.now(),
      allowOpen: false,
      evenIfHealthy: true,
    };
    const program = `
      import { prepareRestore, RESTORE_STEPS } from ${JSON.stringify(compiled('../../../src/actions/sqlite/restoring.ts', import.meta.url).href)};
      const restore = prepareRestore(${JSON.stringify(input)});
      for (const step of RESTORE_STEPS.slice(0, ${steps})) step.run(restore);
      process.kill(process.pid, 'SIGKILL');`;
    expect(
      spawnSync(process.execPath, ['--input-type=module', '-e', program], { stdio: ['ignore', 'ignore', 'inherit'] })
        .signal,
    ).toBe('SIGKILL');
  };

  it.each([0, ...RESTORE_STEPS.keys()].map((_, index) => index))(
    'C8: after kill -9 behind step %d the old or the new database opens and is sound, and a second restore completes',
    async (steps) => {
      const made = await withBackup('wal');
      // Acknowledged orders that stand in the WAL alone: the application crashed with them.
      const holder = await startHolder(contexts.folder, { path: made.path, does: 'open' });
      addOrders(made.path, 11);
      await endHolder(holder);
      kill(made, steps);
      expect(integrityOf(made.path)).toBe('ok');
      expect([520, 500]).toContain(countOrders(made.path));
      const outputs = await perform(
        restore,
        { path: made.path, backups: made.backups, even_if_healthy: true },
        contexts.make(),
      );
      expect(outputs).toMatchObject({ restored: true });
      expect(countOrders(made.path)).toBe(500);
      expect(readdirSync(made.folder).toSorted()).toEqual(['backups', 'orders.db']);
    },
  );

  it('C8: after kill -9 amid the restore of a broken database a second restore completes', async () => {
    for (let steps = 0; steps <= RESTORE_STEPS.length; steps += 1) {
      const made = await withBackup('wal');
      breakPages(made.path);
      kill(made, steps);
      await perform(restore, { path: made.path, backups: made.backups }, contexts.make());
      expect(countOrders(made.path)).toBe(500);
      expect(integrityOf(made.path)).toBe('ok');
    }
  });
});
