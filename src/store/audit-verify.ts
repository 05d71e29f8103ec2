// Whether the audit is as it was written: archive files and table are one chain, held against the seals, which are rows
// of that chain themselves, and against a head that was noted elsewhere.
import { join } from 'node:path';
import { isObject } from '../base/json.ts';
import { auditRows, BEGINNING, problemOf } from './audit.ts';
import type { AuditHead } from './audit.ts';
import { readArchive, readSeals, sealDetail } from './audit-archive.ts';
import type { Seal } from './audit-archive.ts';
import type { Queries, Row } from './tables.ts';

/** One that was told of: `hash` may be its beginning alone, `seq` may have been left out. */
export type NotedHead = { readonly seq: number | null; readonly hash: string };

export type AuditVerdict =
  | {
      readonly ok: true;
      readonly rows: number;
      readonly head: AuditHead;
      readonly archives: number;
      /** Of the first so many rows only the seals of their archives are known. */
      readonly unchecked: number;
    }
  | {
      readonly ok: false;
      readonly seq: number;
      readonly problem: string;
      /** The archive and the line in it; null for the table. */
      readonly file: string | null;
      readonly line: number | null;
    };

export type Verification = {
  /** Where the archive files lie. */
  readonly archives: string;
  readonly noted?: NotedHead;
  /** The oldest archives may have been taken elsewhere: their seals are believed. */
  readonly acceptMissing?: boolean;
  /** Told of each row that was found to be as it was written. */
  readonly onRow?: (row: Row<'audit'>) => void;
};

class Broken extends Error {
  readonly verdict: Extract<AuditVerdict, { ok: false }>;
  constructor(seq: number, problem: string, file: string | null = null, line: number | null = null) {
    super(problem);
    this.verdict = { ok: false, seq, problem, file, line };
  }
}

/** Within one transaction, or on a file that nobody writes: rows and seals have to be of one moment. */
export const verifyAudit = async (queries: Queries, given: Verification): Promise<AuditVerdict> => {
  try {
    return await verified(queries, given);
  } catch (error) {
    if (error instanceof Broken) return error.verdict;
    throw error;
  }
};

const verified = async (queries: Queries, given: Verification): Promise<AuditVerdict> => {
  const walk = createWalk(given);
  const seals = await readSeals(queries);
  for (const seal of seals) await walkArchive(walk, seal, given);
  const archived = walk.head();
  const left = createLeft(archived);
  for await (const row of auditRows(queries, Number.MIN_SAFE_INTEGER)) {
    if (row.seq <= archived.seq) left.take(row);
    else {
      left.end();
      walk.take(row, null, null);
    }
  }
  left.end();
  walk.end();
  matchSeals(seals, walk);
  const head = walk.head();
  return { ok: true, rows: head.seq, head, archives: seals.length, unchecked: walk.unchecked() };
};

type Walk = ReturnType<typeof createWalk>;

const createWalk = ({ noted, onRow }: Verification) => {
  let head = BEGINNING;
  let unchecked = 0;
  const sealing = new Map<string, Row<'audit'>>();
  const meets = ({ seq, hash }: AuditHead): boolean =>
    noted !== undefined && (noted.seq === null || noted.seq === seq) && hash.startsWith(noted.hash);
  let met = meets(BEGINNING);
  const pass = (row: AuditHead, file: string | null, line: number | null): void => {
    if (noted !== undefined && noted.seq === row.seq && !meets(row))
      throw new Broken(row.seq, `row ${row.seq} is not the one that was noted`, file, line);
    met ||= meets(row);
    head = { seq: row.seq, hash: row.hash };
  };
  return {
    head: () => head,
    unchecked: () => unchecked,
    sealing: sealing as ReadonlyMap<string, Row<'audit'>>,
    take(row: Row<'audit'>, file: string | null, line: number | null): void {
      const problem = problemOf(row, head);
      if (problem !== null) throw new Broken(head.seq + 1, problem, file, line);
      pass(row, file, line);
      if (row.action === 'audit.sealed') sealing.set(row.subject, row);
      onRow?.(row);
    },
    /** Believes the seal of an archive that lies elsewhere. */
    believe({ last_seq: seq, last_hash: hash }: Seal): void {
      pass({ seq, hash }, null, null);
      unchecked = seq;
    },
    end(): void {
      if (noted === undefined || met) return;
      const { seq, hash } = noted;
      if (seq === null)
        throw new Broken(head.seq + 1, `no row has the hash ${hash} that was noted: the end was cut off`);
      if (seq > head.seq) throw new Broken(head.seq + 1, `rows ${head.seq + 1} to ${seq} were cut off`);
      throw new Broken(seq, `row ${seq} was noted, and stands in an archive that is not there`);
    },
  };
};

const walkArchive = async (walk: Walk, seal: Seal, given: Verification): Promise<void> => {
  const { file, first_seq: first, last_seq: last } = seal;
  const before = walk.head();
  if (first !== before.seq + 1 || last < first)
    throw new Broken(before.seq + 1, `the seal of ${file} tells of rows ${first} to ${last}, behind row ${before.seq}`);
  const archive = await readArchive(join(given.archives, file));
  if (archive === null) {
    if (given.acceptMissing !== true || walk.unchecked() !== before.seq)
      throw new Broken(first, `the archive with the rows ${first} to ${last} is missing`, file);
    walk.believe(seal);
    return;
  }
  for await (const line of archive.lines()) {
    const next = walk.head().seq + 1;
    if (line.row === null) throw new Broken(next, `row ${next} cannot be read: ${line.problem}`, file, line.line);
    if (next > last) throw new Broken(next, `there are rows behind the last that was sealed, ${last}`, file, line.line);
    walk.take(line.row, file, line.line);
  }
  const head = walk.head();
  if (head.seq !== last)
    throw new Broken(head.seq + 1, `the rows ${head.seq + 1} to ${last} are missing at its end`, file);
  if (head.hash !== seal.last_hash) throw new Broken(last, `row ${last} is not the one that was sealed`, file);
  if (archive.digest !== seal.digest) throw new Broken(first, 'the file is not the one that was sealed', file);
};

/** Rows that are archived and not yet out of the table: they have to be the last ones of the archive. */
const createLeft = (archived: AuditHead) => {
  let last: AuditHead | null = null;
  return {
    take(row: Row<'audit'>): void {
      const problem = problemOf(row, last ?? { seq: row.seq - 1, hash: row.prev });
      if (problem !== null) throw new Broken((last?.seq ?? row.seq - 1) + 1, problem);
      last = { seq: row.seq, hash: row.hash };
    },
    end(): void {
      if (last === null || (last.seq === archived.seq && last.hash === archived.hash)) return;
      const seq = Math.min(last.seq + 1, archived.seq);
      throw new Broken(seq, `row ${seq} is archived, and the table goes from row ${last.seq} to another one`);
    },
  };
};

/** Each seal has its row in the chain, which says the same, and the other way round. */
const matchSeals = (seals: readonly Seal[], walk: Walk): void => {
  for (const seal of seals) {
    if (seal.seal_seq <= walk.unchecked()) continue;
    const row = walk.sealing.get(seal.file);
    if (row?.seq !== seal.seal_seq)
      throw new Broken(seal.seal_seq, `row ${seal.seal_seq} does not seal ${seal.file}, as its seal says`);
    const said = JSON.parse(row.detail) as unknown;
    for (const [name, value] of Object.entries(sealDetail(seal)))
      if (!isObject(said) || said[name] !== value)
        throw new Broken(row.seq, `row ${row.seq} seals ${seal.file} otherwise than it is kept: ${name}`);
  }
  const kept = new Set(seals.map(({ file }) => file));
  for (const [file, { seq }] of walk.sealing)
    if (!kept.has(file)) throw new Broken(seq, `row ${seq} seals ${file}, of which no seal is kept`);
};
