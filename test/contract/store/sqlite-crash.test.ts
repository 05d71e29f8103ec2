// Processes that race for one file, and processes that are killed while they write to it.
import { describe, expect, it } from '@jest/globals';
import Database from 'better-sqlite3';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { systemClock } from '../../../src/base/clock.ts';
import { openAuditFile } from '../../../src/store/audit-file.ts';
import { openSqliteStore } from '../../../src/store/sqlite.ts';
import { startChild } from './children.ts';
import { DAY, START, everything, ids, newFolder, silentLog } from './given.ts';
import { tallied } from './tallied.ts';

const open = (folder: string) =>
  openSqliteStore({ folder, clock: systemClock, ids, log: silentLog, owner: 'test', acceptEmptyHistory: false });

const halted = () => ({ type: 'audit', actor: 'ann', action: 'halt', subject: 'all', detail: {} }) as const;

const rows = (folder: string, query: string): unknown[] => {
  const database = new Database(join(folder, 'amends.db'), { readonly: true });
  try {
    return database.prepare(query).pluck().all();
  } finally {
    database.close();
  }
};

/** What is open, as it is told at a scrape and as it is counted. */
const expectTallied = (folder: string): void => {
  const database = new Database(join(folder, 'amends.db'), { readonly: true });
  try {
    const { kept, counted } = tallied(database);
    expect(kept).toEqual(counted);
  } finally {
    database.close();
  }
};

describe('processes on one file', () => {
  it('admit exactly the cap when four of them race for it (I1)', async () => {
    const folder = newFolder();
    await (await open(folder)).close();
    const children = Array.from({ length: 4 }, () => startChild(['race', folder, 60, 120]));
    const told = await Promise.all(children.map((child) => child.hears('admitted')));
    await Promise.all(children.map((child) => child.ended));
    expect(told.reduce((sum, message) => sum + Number(message['admitted']), 0)).toBe(120);
    expect(rows(folder, `select count(*) from attempts`)).toEqual([120]);
    expect(rows(folder, `select count(*) from runs`)).toEqual([120]);
    expect(rows(folder, `select reason || ' ' || count(*) from decisions group by reason order by 1`)).toEqual([
      'admitted 120',
      'attempts_used_up 120',
    ]);
    expectTallied(folder);
    const store = await open(folder);
    expect(await store.verifyAudit()).toMatchObject({ ok: true, rows: 120 });
    await store.close();
  }, 120_000);
});

describe('kill -9', () => {
  it('R22 I8: while archiving: at every moment each row of the audit is in a file, in the table, or in both', async () => {
    const today = Math.floor(START / DAY) * DAY;
    const died: unknown[] = [];
    for (let k = 1; ; k += 1) {
      const folder = newFolder();
      const given = await open(folder);
      // Two transactions take the rows of the first day out of the table.
      await given.write(Array.from({ length: 1_001 }, halted), today - 2 * DAY);
      await given.write([halted(), halted()], today - DAY);
      await given.write([halted()], today);
      await given.close();
      const child = startChild(['archive', folder, today, k]);
      const { signal } = await child.ended;
      const file = openAuditFile(folder, systemClock);
      expect([k, await file.verify({})]).toMatchObject([k, { ok: true, unchecked: 0 }]);
      file.close();
      const store = await open(folder);
      while ((await store.archiveAudit({ before: today, compress: true }, START)).did !== 'nothing');
      expect([k, await store.verifyAudit()]).toMatchObject([k, { ok: true, rows: 1_006, archives: 2 }]);
      await store.close();
      const again = openAuditFile(folder, systemClock);
      const seen: number[] = [];
      for await (const { seq } of again.rows((missing) => expect(missing).toBeNull())) seen.push(seq);
      again.close();
      expect(seen).toEqual(Array.from({ length: 1_006 }, (_, index) => index + 1));
      expect(rows(folder, 'select seq from audit order by seq')).toEqual([1_004, 1_005, 1_006]);
      expect(readdirSync(join(folder, 'audit')).toSorted()).toEqual(
        rows(folder, 'select file from audit_seals order by 1'),
      );
      if (signal === null) break;
      died.push(...child.told.flatMap((told) => told['died'] ?? []));
    }
    expect(died.filter((moment) => moment === 'before commit')).toHaveLength(5);
    expect(new Set(died)).toEqual(
      new Set([
        'mkdir',
        'open',
        'handle.writeFile',
        'handle.sync',
        'handle.close',
        'readFile',
        'rename',
        'before commit',
        'after commit',
      ]),
    );
  }, 240_000);

  it('while receiving: what was acknowledged is there, and every delivery is whole or absent (F1, I9)', async () => {
    const folder = newFolder();
    const acknowledged: unknown[] = [];
    const sent: unknown[] = [];
    for (const turn of [1, 2, 3, 5, 8, 13, 21, 34]) {
      const child = startChild(['receive', folder, 2_000]);
      await child.hears('turn', (told) => Number(told['turn']) >= turn);
      child.process.kill('SIGKILL');
      expect(await child.ended).toMatchObject({ signal: 'SIGKILL' });
      acknowledged.push(...child.told.flatMap((told) => told['acknowledged'] ?? []));
      sent.push(...child.told.flatMap((told) => told['sending'] ?? []));
    }
    const store = await open(folder);
    await store.close();
    const kept = rows(folder, 'select id from deliveries');
    expect(kept).toEqual(expect.arrayContaining(acknowledged));
    expect(sent).toEqual(expect.arrayContaining(kept));
    expect(rows(folder, 'select distinct count(*) from alerts group by delivery_id')).toEqual(
      kept.length === 0 ? [] : [2_000],
    );
    expect(rows(folder, 'select count(*) from deliveries where id not in (select delivery_id from alerts)')).toEqual([
      0,
    ]);
    expect(rows(folder, 'pragma integrity_check')).toEqual(['ok']);
    expectTallied(folder);
  }, 120_000);

  it('while deciding: decision, run, attempt and audit row are all there or all absent (F3, I8)', async () => {
    const folder = newFolder();
    const decided: unknown[] = [];
    for (const turn of [1, 2, 3, 5, 8, 13]) {
      const child = startChild(['decide', folder, 100]);
      await child.hears('turn', (told) => Number(told['turn']) >= turn);
      child.process.kill('SIGKILL');
      await child.ended;
      decided.push(...child.told.flatMap((told) => told['decided'] ?? []));
    }
    const store = await open(folder);
    expect((await store.verifyAudit()).ok).toBe(true);
    const audited = (await store.list('audit', { ...everything, limit: 1 })).items[0]?.seq ?? 0;
    await store.close();
    const runs = rows(folder, 'select id from runs order by id');
    expect(runs).toEqual(expect.arrayContaining(decided));
    expect(runs.length % 100).toBe(0);
    expect(rows(folder, 'select run_id from decisions order by run_id')).toEqual(runs);
    expect(rows(folder, 'select run_id from attempts order by run_id')).toEqual(runs);
    expectTallied(folder);
    expect(audited).toBe(runs.length);
  }, 120_000);
});
