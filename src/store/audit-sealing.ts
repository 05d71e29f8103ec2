// Moves old rows of the audit out of the table, a slice at a time: a file is on the disk before it is sealed, and sealed
// before a row leaves the table. A death between any two of these leaves each row in one place or in both, never in none.
import { join } from 'node:path';
import type { ArchiveSlice } from '../port/store.ts';
import { appendAudit, auditRows, BEGINNING, problemOf } from './audit.ts';
import type { AuditHead } from './audit.ts';
import {
  archiveFolder,
  archiveLine,
  archiveName,
  lastSeal,
  readArchive,
  removeUnfinished,
  sealDetail,
  writeArchive,
} from './audit-archive.ts';
import type { Seal } from './audit-archive.ts';
import { effectiveNow } from './controls.ts';
import { sql } from 'kysely';
import type { Queries, Row } from './tables.ts';

/** What one file holds at most, so that a slice is some tens of milliseconds of work, most of it beside the event loop. */
const MOST_ROWS = 5_000;
const MOST_BYTES = 4 * 1_024 * 1_024;
/** Rows that leave the table in one transaction. */
const REMOVED_AT_ONCE = 1_000;
const DAY_MS = 86_400_000;

export type SealingGates = {
  readonly storage: string;
  reading<T>(work: (queries: Queries) => Promise<T>): Promise<T>;
  writing<T>(work: (queries: Queries) => Promise<T>): Promise<T>;
};

export type Sealing = {
  archive(given: { readonly before: number; readonly compress: boolean }, now: number): Promise<ArchiveSlice>;
};

export const createSealing = (gates: SealingGates): Sealing => {
  const folder = archiveFolder(gates.storage);
  /** The file whose bytes were found to be those of its seal. */
  let confirmed: string | null = null;

  const confirm = async (seal: Seal): Promise<string | null> => {
    if (confirmed === seal.file) return null;
    const archive = await readArchive(join(folder, seal.file));
    if (archive === null) return `the archive ${seal.file} is missing: its rows stay in the table`;
    if (archive.digest !== seal.digest)
      return `the archive ${seal.file} is not the one that was sealed: its rows stay in the table`;
    confirmed = seal.file;
    return null;
  };

  const remove = async (seal: Seal): Promise<ArchiveSlice> => {
    const problem = await confirm(seal);
    if (problem !== null) return { did: 'refused', problem };
    const rows = await gates.writing(async (queries) => {
      const result = await sql`delete from audit where seq in (
        select seq from audit where seq <= ${seal.last_seq} order by seq limit ${REMOVED_AT_ONCE})`.execute(queries);
      return Number(result.numAffectedRows ?? 0n);
    });
    return { did: 'removed', rows };
  };

  return {
    async archive({ before, compress }, now) {
      const [seal, lowest] = await gates.reading(async (queries) => [
        await lastSeal(queries),
        await lowestSeq(queries),
      ]);
      if (seal !== undefined && lowest !== null && lowest <= seal.last_seq) return remove(seal);
      const head = seal === undefined ? BEGINNING : { seq: seal.last_seq, hash: seal.last_hash };
      if (!(await gates.reading((queries) => isWorthwhile(queries, head.seq, before)))) return { did: 'nothing' };
      const slice = await gates.reading((queries) => readSlice(queries, head, before));
      if (slice.problem !== null) return { did: 'refused', problem: `${slice.problem}: nothing is archived any more` };
      const [first, last] = [slice.rows[0], slice.rows.at(-1)];
      if (first === undefined || last === undefined) return { did: 'nothing' };
      const file = archiveName(first, last, compress);
      try {
        const written = await writeArchive(folder, file, slice.lines, now);
        const problem = await readBack(join(folder, file), head, last);
        if (problem !== null) return { did: 'refused', problem: `${file} cannot be read back: ${problem}` };
        const said = { first_seq: first.seq, last_seq: last.seq, last_hash: last.hash, ...written };
        await gates.writing((queries) => putSeal(queries, { ...said, file }, now));
        confirmed = file;
        return { did: 'sealed', file, first: first.seq, last: last.seq };
      } catch (error) {
        await removeUnfinished(folder, file).catch(() => undefined);
        throw error;
      }
    },
  };
};

const lowestSeq = async (queries: Queries): Promise<number | null> =>
  (await queries.selectFrom('audit').select('seq').orderBy('seq').limit(1).executeTakeFirst())?.seq ?? null;

/**
 * A file for nothing but the seal of the one before would beget the next one, for ever. In the order of time, of which there
 * is an index: by their places all rows of a month would be gone through in vain.
 */
const isWorthwhile = async (queries: Queries, after: number, before: number): Promise<boolean> =>
  (await queries
    .selectFrom('audit')
    .select('seq')
    .where('at', '<', before)
    .where('seq', '>', after)
    .where('action', '<>', 'audit.sealed')
    .orderBy('at')
    .limit(1)
    .executeTakeFirst()) !== undefined;

type Slice = {
  readonly rows: readonly Row<'audit'>[];
  readonly lines: readonly string[];
  readonly problem: string | null;
};

/** Rows of one UTC day, each of which follows the one before. */
const readSlice = async (queries: Queries, from: AuditHead, before: number): Promise<Slice> => {
  const rows: Row<'audit'>[] = [];
  const lines: string[] = [];
  let head = from;
  let bytes = 0;
  for await (const row of auditRows(queries, from.seq)) {
    const day = Math.floor((rows[0] ?? row).at / DAY_MS);
    if (row.at >= before || Math.floor(row.at / DAY_MS) !== day) break;
    const problem = problemOf(row, head);
    if (problem !== null) return { rows: [], lines: [], problem };
    head = { seq: row.seq, hash: row.hash };
    const line = archiveLine(row);
    rows.push(row);
    lines.push(line);
    bytes += line.length;
    if (rows.length >= MOST_ROWS || bytes >= MOST_BYTES) break;
  }
  return { rows, lines, problem: null };
};

/** Before a row leaves the table, what was written is read as whoever checks it will. */
const readBack = async (file: string, from: AuditHead, last: AuditHead): Promise<string | null> => {
  let head = from;
  const archive = await readArchive(file);
  if (archive === null) return 'it is gone';
  for await (const line of archive.lines()) {
    if (line.row === null) return `line ${line.line}: ${line.problem}`;
    const problem = problemOf(line.row, head);
    if (problem !== null) return problem;
    head = { seq: line.row.seq, hash: line.row.hash };
  }
  return head.seq === last.seq && head.hash === last.hash ? null : `it ends at row ${head.seq}`;
};

const putSeal = async (queries: Queries, seal: Omit<Seal, 'seal_seq'>, now: number): Promise<void> => {
  const told = { type: 'audit', actor: 'amends', action: 'audit.sealed', subject: seal.file } as const;
  const place = await appendAudit(queries, { ...told, detail: sealDetail(seal) }, await effectiveNow(queries, now));
  await queries
    .insertInto('audit_seals')
    .values({ ...seal, seal_seq: place })
    .execute();
};
