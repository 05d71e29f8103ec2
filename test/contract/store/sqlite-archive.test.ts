// An archive is evidence: it is never written over, never trusted unseen, and what it holds leaves the table only if it is there.
import { describe, expect, it } from '@jest/globals';
import Database from 'better-sqlite3';
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { systemClock } from '../../../src/base/clock.ts';
import { archiveLine, readArchiveLine } from '../../../src/store/audit-archive.ts';
import { openSqliteStore } from '../../../src/store/sqlite.ts';
import { DAY, START, everything, ids, newFolder, silentLog } from './given.ts';

const TODAY = Math.floor(START / DAY) * DAY;
const halted = { type: 'audit', actor: 'ann', action: 'halt', subject: 'all', detail: {} } as const;

const openWith = async (folder: string, rows: number) => {
  const store = await openSqliteStore({
    folder,
    clock: systemClock,
    ids,
    log: silentLog,
    owner: 'test',
    acceptEmptyHistory: false,
  });
  if (rows > 0)
    await store.write(
      Array.from({ length: rows }, () => halted),
      TODAY - DAY,
    );
  return store;
};
const due = { before: TODAY, compress: true } as const;
const change = (folder: string, statement: string): void => {
  const database = new Database(join(folder, 'amends.db'), { timeout: 2_000 });
  for (const name of database.prepare(`select name from sqlite_master where type = 'trigger'`).pluck().all())
    database.exec(`drop trigger ${String(name)}`);
  database.exec(statement);
  database.close();
};

describe('an archive of the audit', () => {
  it('R22: is not written over another one of its name, which is set aside', async () => {
    const folder = newFolder();
    const store = await openWith(folder, 3);
    const name = 'audit-000000000001-000000000003.2026-01-05.ndjson.gz';
    mkdirSync(join(folder, 'audit'));
    writeFileSync(join(folder, 'audit', name), 'of another history');
    expect(await store.archiveAudit(due, START)).toMatchObject({ did: 'sealed', file: name });
    expect(readdirSync(join(folder, 'audit')).toSorted()).toEqual([name, `${name}.unsealed-${START}`]);
    expect(readFileSync(join(folder, 'audit', `${name}.unsealed-${START}`), 'utf8')).toBe('of another history');
    expect(await store.verifyAudit()).toMatchObject({ ok: true, rows: 4, archives: 1 });
    await store.close();
  });

  it.each([
    ['was changed', (file: string) => writeFileSync(file, 'x'), /is not the one that was sealed/],
    ['is gone', (file: string) => rmSync(file), /is missing/],
  ])('R22: keeps its rows in the table when it %s meanwhile', async (_what, harm, problem) => {
    const folder = newFolder();
    const first = await openWith(folder, 3);
    const slice = await first.archiveAudit(due, START);
    await first.close();
    harm(join(folder, 'audit', slice.did === 'sealed' ? slice.file : ''));
    const store = await openWith(folder, 0);
    for (let tries = 0; tries < 2; tries += 1)
      expect(await store.archiveAudit(due, START)).toEqual({
        did: 'refused',
        problem: expect.stringMatching(problem) as unknown,
      });
    expect((await store.list('audit', everything)).items).toHaveLength(4);
    await store.close();
  });

  it.each([
    ['was changed', `update audit set actor = 'eve' where seq = 2`, 2],
    ['was taken out', 'delete from audit where seq = 2', 2],
    ['was taken from the end', 'delete from audit where seq = 3', 3],
  ])('C16: of rows that are archived and still in the table, one that %s is named', async (_what, statement, seq) => {
    const folder = newFolder();
    const store = await openWith(folder, 3);
    await store.archiveAudit(due, START);
    expect(await store.verifyAudit()).toMatchObject({ ok: true, rows: 4 });
    await store.close();
    change(folder, statement);
    const again = await openWith(folder, 0);
    expect(await again.verifyAudit()).toMatchObject({ ok: false, seq, file: null });
    await again.close();
  });

  it('R22: is not begun when its folder cannot be made, and the rows stay', async () => {
    const folder = newFolder();
    const store = await openWith(folder, 3);
    writeFileSync(join(folder, 'audit'), 'a file in its place');
    await expect(store.archiveAudit(due, START)).rejects.toThrow(/EEXIST|ENOTDIR/);
    expect((await store.list('audit', everything)).items).toHaveLength(3);
    rmSync(join(folder, 'audit'));
    expect(await store.archiveAudit(due, START)).toMatchObject({ did: 'sealed' });
    await store.close();
  });

  it('R22: has each row as a line that gives back the row to the byte, whatever its detail is', async () => {
    const folder = newFolder();
    const store = await openWith(folder, 1);
    const detail = { z: [1, { b: null, a: -0.5 }], 'für Ω 😀': '\ud800\n"\\', ['__proto__']: { x: true } };
    await store.write([{ ...halted, actor: 'a\u0000\u2028b', detail }], TODAY - DAY);
    const rows = (await store.list('audit', everything)).items.toReversed();
    const slice = await store.archiveAudit(due, START);
    const file = join(folder, 'audit', slice.did === 'sealed' ? slice.file : '');
    const lines = gunzipSync(readFileSync(file)).toString().trimEnd().split('\n');
    expect(lines.map((line) => JSON.parse(line) as unknown)).toEqual(
      rows.map((row) => JSON.parse(JSON.stringify(row)) as unknown),
    );
    // A detail that is no canonical JSON, as another hand may have written it, is kept as the text it is.
    const odd = { seq: 1, at: 1, actor: '', action: '', subject: '', detail: '{ "b": 1, "a": 2 }', prev: '', hash: '' };
    expect(readArchiveLine(archiveLine(odd))).toEqual(odd);
    await store.close();
  });
});
