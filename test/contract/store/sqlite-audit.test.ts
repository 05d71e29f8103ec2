// Whoever has the files can change them: the chain has to tell where, in the table and in the archives alike.
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { systemClock } from '../../../src/base/clock.ts';
import { auditHash, auditHead } from '../../../src/store/audit.ts';
import { archiveLine, readArchiveLine } from '../../../src/store/audit-archive.ts';
import type { NotedHead } from '../../../src/store/audit-verify.ts';
import { verifyAudit } from '../../../src/store/audit-verify.ts';
import { openConnection } from '../../../src/store/connection.ts';
import type { Connection } from '../../../src/store/connection.ts';
import { openSqliteStore } from '../../../src/store/sqlite.ts';
import type { Row } from '../../../src/store/tables.ts';
import { DAY, START, ids, newFolder, silentLog } from './given.ts';

const TODAY = Math.floor(START / DAY) * DAY;
/** Two days of these are archived, as rows 1 to 6 and 7 to 12; of today are 13 to 18, and two seals. */
const A_DAY = 6;
const ARCHIVED = 2 * A_DAY;
const ROWS = 3 * A_DAY + 2;

let folder: string;
let connection: Connection;
let files: readonly string[];
let originals: ReadonlyMap<string, Buffer>;
let head: NotedHead;
/** Whether an archive is to be put back. */
let touched = false;

beforeEach(async () => {
  folder = newFolder();
  const store = await openSqliteStore({
    folder,
    clock: systemClock,
    ids,
    log: silentLog,
    owner: 'test',
    acceptEmptyHistory: false,
  });
  for (let index = 0; index < 3 * A_DAY; index += 1) {
    const detail = { run: ids.next(), note: index % 2 === 0 ? 'für Ω 😀' : '', lone: '\ud800', number: index };
    const at = TODAY - (2 - Math.floor(index / A_DAY)) * DAY + index;
    await store.write(
      [{ type: 'audit', actor: `anna\u0000\udfff${index}`, action: 'run.approve', subject: ids.next(), detail }],
      at,
    );
  }
  while ((await store.archiveAudit({ before: TODAY, compress: true }, TODAY + DAY)).did !== 'nothing');
  expect(await store.verifyAudit()).toMatchObject({ ok: true, rows: ROWS, archives: 2, unchecked: 0 });
  await store.close();
  files = readdirSync(join(folder, 'audit')).toSorted();
  originals = new Map(files.map((file) => [file, readFileSync(path(file))]));
  connection = openConnection(join(folder, 'amends.db'), systemClock, { writes: true, maxPages: null });
  head = await auditHead(connection.queries);
});
afterEach(() => void connection.database.close());

const path = (file: string): string => join(folder, 'audit', file);
const verify = (noted?: NotedHead) =>
  verifyAudit(connection.queries, { archives: join(folder, 'audit'), ...(noted === undefined ? {} : { noted }) });

/** Without the triggers, as an intruder would. */
const withoutTriggers = (): void => {
  const names = connection.database.prepare(`select name from sqlite_master where type = 'trigger'`).pluck().all();
  for (const name of names) connection.database.exec(`drop trigger ${String(name)}`);
};

/** Everything is taken back afterwards. */
const tampered = async (tamper: () => void, noted?: NotedHead) => {
  connection.database.exec('begin immediate');
  try {
    tamper();
    return await verify(noted);
  } finally {
    connection.database.exec('rollback');
    if (touched) for (const [file, bytes] of originals) writeFileSync(path(file), bytes);
    touched = false;
  }
};

const rowAt = (seq: number) =>
  connection.database.prepare('select * from audit where seq = ?').get(seq) as Row<'audit'>;
const put = (row: Row<'audit'>): void =>
  void connection.database
    .prepare(
      'insert into audit (seq, at, actor, action, subject, detail, prev, hash) values (@seq, @at, @actor, @action, @subject, @detail, @prev, @hash)',
    )
    .run(row);
const shiftFrom = (seq: number): void => {
  for (let at = ROWS; at >= seq; at -= 1)
    connection.database.prepare('update audit set seq = seq + 1 where seq = ?').run(at);
};
const flipBit = (bytes: Buffer, bit: number): Buffer => {
  const at = Math.floor(bit / 8) % bytes.length;
  bytes[at] = (bytes[at] ?? 0) ^ (1 << (bit % 8));
  return bytes;
};

const TEXTS = ['actor', 'action', 'subject', 'detail', 'prev', 'hash'] as const;
const SEAL = ['first_seq', 'last_hash', 'file', 'digest', 'bytes', 'seal_seq'] as const;
const inTable = fc.integer({ min: ARCHIVED + 1, max: ROWS });
const below = (count: number) => fc.nat({ max: count - 1 });
const bit = fc.nat({ max: 1_000_000 });

/** What an intruder may do, and what has to be said of it. */
const crimes = fc.oneof(
  fc.record({ crime: fc.constant('flip'), seq: inTable, column: fc.constantFrom(...TEXTS), bit }),
  fc.record({ crime: fc.constant('time'), seq: inTable, by: fc.integer({ min: 1, max: 2 ** 30 }) }),
  fc.record({ crime: fc.constant('swap'), seq: inTable, other: inTable }),
  fc.record({ crime: fc.constant('cut'), seq: inTable, close: fc.boolean() }),
  fc.record({ crime: fc.constant('insert'), seq: inTable, forged: fc.boolean() }),
  fc.record({ crime: fc.constant('tail'), seq: inTable }),
  fc.record({ crime: fc.constant('flip in a file'), file: below(2), bit }),
  fc.record({ crime: fc.constant('flip in a line'), file: below(2), line: below(A_DAY), bit }),
  fc.record({ crime: fc.constant('swap lines'), file: below(2), line: below(A_DAY), other: below(A_DAY) }),
  fc.record({ crime: fc.constant('cut a line'), file: below(2), line: below(A_DAY) }),
  fc.record({ crime: fc.constant('insert a line'), file: below(2), line: below(A_DAY), forged: fc.boolean() }),
  fc.record({ crime: fc.constant('cut a file'), file: below(2), left: below(300) }),
  fc.record({ crime: fc.constant('lose a file'), file: below(2) }),
  fc.record({ crime: fc.constant('swap files') }),
  fc.record({
    crime: fc.constant('change a seal'),
    file: below(2),
    column: fc.constantFrom(...SEAL),
    by: fc.integer({ min: 1, max: 99 }),
  }),
  fc.record({ crime: fc.constant('take a seal'), file: below(2) }),
);
type Crime = { readonly crime: string } & Partial<
  Record<'seq' | 'other' | 'bit' | 'by' | 'file' | 'line' | 'left', number> &
    Record<'close' | 'forged', boolean> &
    Record<'column', string>
>;

const linesOf = (file: string): string[] =>
  gunzipSync(originals.get(file) ?? '')
    .toString()
    .split('\n')
    .slice(0, -1);
const rewrite = (file: string, bytes: Buffer | string): void => writeFileSync(path(file), gzipSync(bytes));

/** Does it, and says what the verdict has to name; null: it was none, such as a swap of a row with itself. */
const commit = (given: Crime): object | null => {
  const { database } = connection;
  const { crime, seq = 0, other = 0, line = 0, by = 1, column = '' } = given;
  const file = files[given.file ?? 0] ?? '';
  const first = (given.file ?? 0) * A_DAY + 1;
  touched = crime.includes('file') || crime.includes('line');
  switch (crime) {
    case 'flip': {
      const bytes = database
        .prepare(`select cast(${column} as blob) from audit where seq = ?`)
        .pluck()
        .get(seq) as Buffer;
      database
        .prepare(`update audit set ${column} = cast(? as text) where seq = ?`)
        .run(flipBit(bytes, given.bit ?? 0), seq);
      return { seq, file: null };
    }
    case 'time':
      database.prepare('update audit set at = at + ? where seq = ?').run(by, seq);
      return { seq, file: null };
    case 'swap': {
      if (seq === other) return null;
      database.prepare('update audit set seq = 0 where seq = ?').run(seq);
      database.prepare('update audit set seq = ? where seq = ?').run(seq, other);
      database.prepare('update audit set seq = ? where seq = 0').run(other);
      return { seq: Math.min(seq, other), file: null };
    }
    case 'cut':
      database.prepare('delete from audit where seq = ?').run(seq);
      for (let at = seq + 1; given.close === true && at <= ROWS; at += 1)
        database.prepare('update audit set seq = seq - 1 where seq = ?').run(at);
      return { seq };
    case 'insert': {
      const { prev, hash } = rowAt(seq);
      shiftFrom(seq);
      const row = { seq, at: START, actor: 'eve', action: 'run.approve', subject: 'mine', detail: '{}', prev };
      put({ ...row, hash: given.forged === true ? auditHash(row) : hash });
      // One that was made to fit gives itself away by the row behind it, in the place of the last by the noted head.
      return { seq: given.forged === true && seq < ROWS ? seq + 1 : seq };
    }
    case 'tail':
      database.prepare('delete from audit where seq >= ?').run(seq);
      return { seq };
    case 'flip in a file':
      writeFileSync(path(file), flipBit(Buffer.from(originals.get(file) ?? ''), given.bit ?? 0));
      return { file };
    case 'flip in a line': {
      const lines = linesOf(file).map((text) => Buffer.from(`${text}\n`));
      flipBit(lines[line] ?? Buffer.alloc(1), given.bit ?? 0);
      rewrite(file, Buffer.concat(lines));
      return { file, line: line + 1, seq: first + line };
    }
    case 'swap lines': {
      if (line === other) return null;
      const lines = linesOf(file);
      [lines[line], lines[other]] = [lines[other] ?? '', lines[line] ?? ''];
      rewrite(file, lines.map((text) => `${text}\n`).join(''));
      return { file, line: Math.min(line, other) + 1, seq: first + Math.min(line, other) };
    }
    case 'cut a line': {
      const lines = linesOf(file).toSpliced(line, 1);
      rewrite(file, lines.map((text) => `${text}\n`).join(''));
      return { file, line: line + 1 === A_DAY ? null : line + 1, seq: first + line };
    }
    case 'insert a line': {
      const lines = linesOf(file);
      const row = readArchiveLine(lines[line] ?? '') as Row<'audit'>;
      const made = { ...row, actor: 'eve' };
      const hash = given.forged === true ? auditHash(made) : row.hash;
      rewrite(
        file,
        lines
          .toSpliced(line, 0, archiveLine({ ...made, hash }))
          .map((text) => `${text}\n`)
          .join(''),
      );
      const at = given.forged === true ? line + 1 : line;
      return { file, line: at + 1, seq: first + at };
    }
    case 'cut a file':
      writeFileSync(path(file), (originals.get(file) ?? Buffer.alloc(0)).subarray(0, given.left));
      return { file };
    case 'lose a file':
      rmSync(path(file));
      return { file, seq: first };
    case 'swap files':
      renameSync(path(files[0] ?? ''), path('between'));
      renameSync(path(files[1] ?? ''), path(files[0] ?? ''));
      renameSync(path('between'), path(files[1] ?? ''));
      return { seq: 1, file: files[0], line: 1 };
    case 'change a seal': {
      const number = ['first_seq', 'bytes', 'seal_seq'].includes(column);
      database
        .prepare(
          `update audit_seals set ${column} = ${number ? `${column} + ?` : `${column} || ?`} where first_seq = ?`,
        )
        .run(number ? by : String(by), first);
      return {};
    }
    case 'take a seal':
      database.prepare('delete from audit_seals where first_seq = ?').run(first);
      return {};
    default:
      throw new Error(`no crime ${crime}`);
  }
};

describe('a tampered audit', () => {
  it('C16: cannot be made through amends: rows are neither changed nor deleted, nor is a seal', async () => {
    for (const statement of [
      `update audit set actor = 'x' where seq = 15`,
      'delete from audit where seq > 12',
      `delete from audit`,
      `insert or replace into audit select * from audit where seq = 15`,
      `insert or replace into audit select 1, at, actor, action, subject, detail, prev, hash from audit where seq = 15`,
    ]) {
      expect(() => connection.database.exec(statement)).toThrow('audit is append-only');
    }
    for (const statement of [
      'update audit_seals set last_seq = 18 where last_seq = 12',
      'delete from audit_seals',
      'insert or replace into audit_seals select * from audit_seals where last_seq = 12',
    ]) {
      expect(() => connection.database.exec(statement)).toThrow(/append-only|a seal needs its row/);
    }
    expect(await verify()).toMatchObject({ ok: true, rows: ROWS });
  });

  it('R22: no row leaves the table behind a seal that its own row in the chain does not vouch for', () => {
    const seal = { last_seq: 15, first_seq: 13, last_hash: rowAt(15).hash, file: 'f', digest: 'sha256:0', bytes: 1 };
    const insert = connection.database.prepare(
      'insert into audit_seals (last_seq, first_seq, last_hash, file, digest, bytes, seal_seq) values (@last_seq, @first_seq, @last_hash, @file, @digest, @bytes, @seal_seq)',
    );
    for (const sealSeq of [13, 18, 19, ROWS, ROWS + 1])
      expect(() => insert.run({ ...seal, seal_seq: sealSeq })).toThrow('a seal needs its row in the audit');
    expect(() => connection.database.exec('delete from audit where seq = 13')).toThrow('audit is append-only');
  });

  it('C16: 10,000 flips, swaps, cuts and inserts, in table and archives: every one is found, at its first row', async () => {
    withoutTriggers();
    await fc.assert(
      fc.asyncProperty(crimes, async (crime: Crime) => {
        let expected: object | null = null;
        const verdict = await tampered(() => (expected = commit(crime)), head);
        if (expected === null) expect(verdict.ok).toBe(true);
        else expect(verdict).toMatchObject({ ok: false, ...(expected as object) });
      }),
      { numRuns: 10_000, seed: 16 },
    );
    expect(await verify(head)).toMatchObject({ ok: true, rows: ROWS });
  }, 180_000);

  it('C16: a head that was noted is held against the row it names, and its hash alone is enough', async () => {
    withoutTriggers();
    const rewritten = await tampered(() => {
      const row = { ...rowAt(ROWS), actor: 'eve' };
      connection.database
        .prepare('update audit set actor = ?, hash = ? where seq = ?')
        .run('eve', auditHash(row), ROWS);
    }, head);
    expect(rewritten).toMatchObject({ ok: false, seq: ROWS });
    // Noted before there was a row: there was nothing to lose.
    expect(await verify({ seq: 0, hash: '0'.repeat(16) })).toMatchObject({ ok: true });
    const [row] = linesOf(files[0] ?? '').map((line) => readArchiveLine(line));
    const beginning = { seq: null, hash: row?.hash.slice(0, 16) ?? '' };
    expect(await verify(beginning)).toMatchObject({ ok: true });
    expect(await verify({ ...beginning, seq: 1 })).toMatchObject({ ok: true });
    expect(await verify({ ...beginning, seq: 2 })).toMatchObject({ ok: false, seq: 2, file: files[0], line: 2 });
    expect(await verify({ seq: null, hash: 'f'.repeat(16) })).toMatchObject({ ok: false, seq: ROWS + 1 });
  });

  it('R22: the oldest archives may lie elsewhere, if that is accepted; their seals and the rest are checked', async () => {
    const given = { archives: join(folder, 'audit'), acceptMissing: true };
    rmSync(path(files[0] ?? ''));
    expect(await verify()).toMatchObject({
      ok: false,
      seq: 1,
      file: files[0],
      problem: expect.stringContaining('missing') as unknown,
    });
    expect(await verifyAudit(connection.queries, given)).toMatchObject({ ok: true, rows: ROWS, unchecked: A_DAY });
    writeFileSync(path(files[0] ?? ''), originals.get(files[0] ?? '') ?? '');
    rmSync(path(files[1] ?? ''));
    expect(await verifyAudit(connection.queries, given)).toMatchObject({ ok: false, seq: A_DAY + 1, file: files[1] });
  });
});
