// Whoever has the file can change it: the chain has to tell where.
import { describe, expect, it } from '@jest/globals';
import { randomBytes, randomInt } from 'node:crypto';
import { join } from 'node:path';
import { systemClock } from '../../../src/base/clock.ts';
import { auditHash, verifyAudit } from '../../../src/store/audit.ts';
import { openConnection } from '../../../src/store/connection.ts';
import type { Connection } from '../../../src/store/connection.ts';
import { openSqliteStore } from '../../../src/store/sqlite.ts';
import type { Row } from '../../../src/store/tables.ts';
import { START, everything, ids, newFolder, silentLog } from './given.ts';

const ROWS = 40;

const audited = async (): Promise<string> => {
  const folder = newFolder();
  const store = await openSqliteStore({
    folder,
    clock: systemClock,
    ids,
    log: silentLog,
    owner: 'test',
    acceptEmptyHistory: false,
  });
  for (let index = 0; index < ROWS; index += 1) {
    const detail = { run: ids.next(), note: index % 2 === 0 ? 'für Ω 😀' : '', lone: '\ud800', number: index };
    await store.write(
      [{ type: 'audit', actor: `anna\u0000\udfff${index}`, action: 'run.approve', subject: ids.next(), detail }],
      START + index,
    );
  }
  expect(await store.verifyAudit()).toMatchObject({ ok: true, rows: ROWS });
  expect((await store.list('audit', everything)).items.length).toBe(ROWS);
  await store.close();
  return join(folder, 'amends.db');
};

/** Without the triggers, as an intruder would; everything is taken back afterwards. */
const tampered = async (
  connection: Connection,
  tamper: () => void,
  noted: { seq: number; hash: string } | null = null,
) => {
  const { database } = connection;
  database.exec('begin immediate');
  try {
    database.exec('drop trigger audit_no_update; drop trigger audit_no_delete; drop trigger audit_in_order');
    tamper();
    return await verifyAudit(connection.queries, noted);
  } finally {
    database.exec('rollback');
  }
};

const TEXTS = ['actor', 'action', 'subject', 'detail', 'prev', 'hash'] as const;

describe('a tampered audit', () => {
  it('cannot be made through amends: rows are neither changed nor deleted (C16)', async () => {
    const connection = openConnection(await audited(), systemClock, { writes: true, maxPages: null });
    for (const statement of [
      `update audit set actor = 'x' where seq = 1`,
      'delete from audit',
      `insert or replace into audit select * from audit where seq = 1`,
    ]) {
      expect(() => connection.database.exec(statement)).toThrow('audit is append-only');
    }
    connection.database.close();
  });

  it('is found at its first bad row: flips, swaps, deletes, inserts (C16)', async () => {
    const connection = openConnection(await audited(), systemClock, { writes: true, maxPages: null });
    const { database } = connection;
    const rowAt = (seq: number) => database.prepare('select * from audit where seq = ?').get(seq) as Row<'audit'>;
    const head = { seq: ROWS, hash: rowAt(ROWS).hash };
    const shiftFrom = (seq: number) => {
      for (let at = ROWS; at >= seq; at -= 1) database.prepare('update audit set seq = seq + 1 where seq = ?').run(at);
    };
    const put = (row: Row<'audit'>) =>
      database
        .prepare(
          'insert into audit (seq, at, actor, action, subject, detail, prev, hash) values (@seq, @at, @actor, @action, @subject, @detail, @prev, @hash)',
        )
        .run(row);
    for (let round = 0; round < 400; round += 1) {
      const seq = randomInt(1, ROWS + 1);
      const column = TEXTS[randomInt(TEXTS.length)] ?? 'detail';
      const flip = await tampered(connection, () => {
        const bytes = database
          .prepare(`select cast(${column} as blob) from audit where seq = ?`)
          .pluck()
          .get(seq) as Buffer;
        const at = randomInt(bytes.length);
        bytes[at] = (bytes[at] ?? 0) ^ (1 << randomInt(8));
        database.prepare(`update audit set ${column} = cast(? as text) where seq = ?`).run(bytes, seq);
      });
      expect([column, flip]).toEqual([column, expect.objectContaining({ ok: false, seq })]);
    }
    for (let round = 0; round < 100; round += 1) {
      const seq = randomInt(1, ROWS);
      const later = randomInt(seq + 1, ROWS + 1);
      const time = await tampered(connection, () =>
        database.prepare('update audit set at = at + ? where seq = ?').run(1 << randomInt(30), seq),
      );
      expect(time).toMatchObject({ ok: false, seq });
      const swap = await tampered(connection, () => {
        database.prepare('update audit set seq = 0 where seq = ?').run(seq);
        database.prepare('update audit set seq = ? where seq = ?').run(seq, later);
        database.prepare('update audit set seq = ? where seq = 0').run(later);
      });
      expect(swap).toMatchObject({ ok: false, seq });
      const gone = await tampered(connection, () => database.prepare('delete from audit where seq = ?').run(seq));
      expect(gone).toMatchObject({ ok: false, seq });
      const closed = await tampered(connection, () => {
        database.prepare('delete from audit where seq = ?').run(seq);
        for (let at = seq + 1; at <= ROWS; at += 1)
          database.prepare('update audit set seq = seq - 1 where seq = ?').run(at);
      });
      expect(closed).toMatchObject({ ok: false, seq });
      const crude = await tampered(connection, () => {
        shiftFrom(seq);
        put({ ...rowAt(seq + 1), seq, hash: randomBytes(32).toString('hex') });
      });
      expect(crude).toMatchObject({ ok: false, seq });
      const forged = await tampered(connection, () => {
        const { prev } = rowAt(seq);
        shiftFrom(seq);
        const row = { seq, at: START, actor: 'eve', action: 'run.approve', subject: 'mine', detail: '{}', prev };
        put({ ...row, hash: auditHash(row) });
      });
      expect(forged).toMatchObject({ ok: false, seq: seq + 1 });
      const cut = await tampered(connection, () => database.prepare('delete from audit where seq > ?').run(seq), head);
      expect(cut).toMatchObject({ ok: false, seq: seq + 1 });
    }
    const rewritten = await tampered(
      connection,
      () => {
        const row = { ...rowAt(ROWS), actor: 'eve' };
        database.prepare('update audit set actor = ?, hash = ? where seq = ?').run('eve', auditHash(row), ROWS);
      },
      head,
    );
    expect(rewritten).toMatchObject({ ok: false, seq: ROWS });
    expect(await verifyAudit(connection.queries, head)).toMatchObject({ ok: true, rows: ROWS });
    database.close();
  }, 60_000);
});
