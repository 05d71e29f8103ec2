import { afterAll, afterEach, describe, expect, it } from '@jest/globals';
import type { ChildProcess } from 'node:child_process';
import { mkdirSync, readFileSync, readdirSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import check from '../../../src/actions/sqlite/check.ts';
import { createContexts, failureOf, perform } from '../../support/action-context.ts';
import { endHolder, startHolder } from '../../support/holder.ts';
import { addOrders, breakHeader, breakPages, makeDatabase } from '../../support/sqlite-files.ts';

const contexts = createContexts();
let holder: ChildProcess | null = null;
afterEach(async () => {
  if (holder !== null) await endHolder(holder);
  holder = null;
});
afterAll(() => contexts.stop());

describe('sqlite.check', () => {
  it.each(['wal', 'delete'] as const)(
    'D1: passes all six layers of a sound database in journal mode %s and leaves nothing beside it',
    async (mode) => {
      const { folder, path } = makeDatabase(contexts.folder, mode);
      const before = readFileSync(path);
      const outputs = await perform(check, { path, integrity: 'full' }, contexts.make());
      expect(outputs).toMatchObject({
        ok: true,
        layer_exists: 1,
        layer_readable: 1,
        layer_opens: 1,
        layer_integrity: 1,
        layer_query: 1,
        layer_wal_size: 1,
        failed_layer: '',
        locked: false,
        wal_bytes: 0,
      });
      expect(readdirSync(folder)).toEqual(['orders.db']);
      expect(readFileSync(path).equals(before)).toBe(true);
    },
  );

  it('D1 D2: a missing file fails the first layer and is not created', async () => {
    const path = join(contexts.folder, 'missing.db');
    const error = await failureOf(perform(check, { path }, contexts.make()));
    expect(error.kind).toBe('permanent');
    expect(error.outputs).toMatchObject({ ok: false, layer_exists: 0, layer_opens: 0, failed_layer: 'exists' });
    expect(readdirSync(contexts.folder)).not.toContain('missing.db');
  });

  it('D1: a folder in the place of the file fails the layer readable', async () => {
    const path = join(contexts.folder, 'folder.db');
    mkdirSync(path);
    expect((await failureOf(perform(check, { path }, contexts.make()))).outputs).toMatchObject({
      layer_exists: 1,
      layer_readable: 0,
      failed_layer: 'readable',
    });
  });

  it('D1 F58: an empty file, which SQLite takes for an empty database, fails the layer opens', async () => {
    const path = join(contexts.folder, 'empty.db');
    writeFileSync(path, '');
    expect((await failureOf(perform(check, { path }, contexts.make()))).outputs).toMatchObject({
      failed_layer: 'opens',
      error: expect.stringContaining('empty'),
    });
  });

  it.each(['wal', 'delete'] as const)('D3: a header of garbage fails the layer opens (%s)', async (mode) => {
    const { path } = makeDatabase(contexts.folder, mode);
    breakHeader(path);
    const error = await failureOf(perform(check, { path }, contexts.make()));
    expect(error.outputs).toMatchObject({ layer_readable: 1, layer_opens: 0, failed_layer: 'opens', locked: false });
    expect(error.kind).toBe('permanent');
  });

  it.each(['wal', 'delete'] as const)(
    'D3: pages full of noise fail the layer integrity or one before it (%s)',
    async (mode) => {
      const { path } = makeDatabase(contexts.folder, mode);
      breakPages(path);
      const error = await failureOf(perform(check, { path }, contexts.make()));
      expect(error.outputs).toMatchObject({ layer_opens: 1, layer_integrity: 0, failed_layer: 'integrity' });
    },
  );

  it('D3: pages that belong to nothing any more fail the full check', async () => {
    const { path } = makeDatabase(contexts.folder, 'delete', 20);
    const file = new Database(path);
    file.unsafeMode(true);
    file.pragma('writable_schema = ON');
    file.exec("DELETE FROM sqlite_schema WHERE name = 'by_what'");
    file.close();
    const again = new Database(path);
    again.exec("INSERT INTO orders (what) VALUES ('not in the index')");
    again.close();
    expect((await failureOf(perform(check, { path, integrity: 'full' }, contexts.make()))).outputs).toMatchObject({
      failed_layer: 'integrity',
    });
  });

  it('D3: a truncated file fails', async () => {
    const { path } = makeDatabase(contexts.folder, 'delete');
    truncateSync(path, 3 * 4_096 + 17);
    expect((await failureOf(perform(check, { path }, contexts.make()))).outputs).toMatchObject({
      ok: false,
      layer_exists: 1,
    });
  });

  it.each([
    ['wal', 'write'],
    ['delete', 'write'],
    ['delete', 'exclusive'],
    ['wal', 'exclusive'],
  ] as const)(
    'D4 V2: in journal mode %s a process that holds %s is seen as a lock, not as damage',
    async (mode, does) => {
      const { folder, path } = makeDatabase(contexts.folder, mode);
      holder = await startHolder(folder, { path, does });
      const error = await failureOf(perform(check, { path, busy: '100ms' }, contexts.make()));
      expect(error.kind).toBe('retryable');
      expect(error.outputs).toMatchObject({ locked: true, ok: false, error: expect.stringContaining('locked') });
    },
  );

  it('D1: a check that is out of time says what it saw until then, and that it knows of no damage', async () => {
    const { folder, path } = makeDatabase(contexts.folder, 'delete');
    holder = await startHolder(folder, { path, does: 'exclusive' });
    const error = await failureOf(perform(check, { path, busy: '10s' }, contexts.make({ timeout: 500 })));
    expect(error.kind).toBe('retryable');
    expect(error.outputs).toEqual({
      ok: false,
      layer_exists: 1,
      layer_readable: 1,
      layer_opens: 0,
      layer_integrity: 0,
      layer_query: 0,
      layer_wal_size: 0,
      failed_layer: 'opens',
      transient: true,
      error: 'time is up',
    });
  });

  it('D1: an application that only has the file open is no lock', async () => {
    const { folder, path } = makeDatabase(contexts.folder, 'wal');
    holder = await startHolder(folder, { path, does: 'read' });
    expect(await perform(check, { path, busy: '100ms' }, contexts.make())).toMatchObject({ ok: true, locked: false });
  });

  it('D6: a WAL above the limit fails the last layer, and only that', async () => {
    const { folder, path } = makeDatabase(contexts.folder, 'wal');
    holder = await startHolder(folder, { path, does: 'read' });
    addOrders(path, 500);
    const error = await failureOf(perform(check, { path, max_wal: '4KiB' }, contexts.make()));
    expect(error.outputs).toMatchObject({ failed_layer: 'wal_size', layer_query: 1, layer_wal_size: 0 });
  });

  it('C8: a database that this process itself has open is refused, since closing it would drop its locks', async () => {
    const { path } = makeDatabase(contexts.folder, 'delete', 1);
    const file = new Database(path);
    const error = await failureOf(perform(check, { path }, contexts.make()));
    file.close();
    expect(error).toMatchObject({ kind: 'permanent', message: expect.stringContaining('open in amends itself') });
  });

  it('C8: a link in place of the file, and a path outside of allow.paths, are refused with the mend', async () => {
    const { folder, path } = makeDatabase(contexts.folder, 'delete', 1);
    symlinkSync(path, join(folder, 'link.db'));
    expect((await failureOf(perform(check, { path: join(folder, 'link.db') }, contexts.make()))).message).toMatch(
      /symbolic link/,
    );
    symlinkSync('/etc', join(folder, 'elsewhere'));
    expect(
      (await failureOf(perform(check, { path: join(folder, 'elsewhere', 'passwd') }, contexts.make()))).message,
    ).toMatch(/not allowed/);
    expect((await failureOf(perform(check, { path }, contexts.make({ allow: { paths: [] } })))).message).toContain(
      `add "${folder}" to allow.paths`,
    );
    expect((await failureOf(perform(check, { path }, contexts.make({ allow: { paths: ['/'] } })))).message).toMatch(
      /not allowed/,
    );
  });
});
