// The audit chain: each row's hash covers the row and the hash before it, so that a changed, moved, added or missing row
// shows. A cut tail shows only against a head that was noted elsewhere.
import type { JsonObject } from '../base/json.ts';
import { canonical, sha256 } from '../base/json.ts';
import type { AuditRow } from '../port/store.ts';
import type { Write } from '../run/writes.ts';
import { prepared } from './prepared.ts';
import type { Queries, Row } from './tables.ts';

/** What stands before the first row. */
const GENESIS = '0'.repeat(64);

export type AuditHead = { readonly seq: number; readonly hash: string };
export type AuditVerdict =
  | { readonly ok: true; readonly rows: number; readonly head: AuditHead }
  | { readonly ok: false; readonly seq: number; readonly problem: string };

/** `detail` enters as the text that is stored, not as what it means: another spelling is another row. */
export const auditHash = (row: Omit<Row<'audit'>, 'hash'>): string =>
  sha256(row.prev + canonical([row.seq, row.at, row.actor, row.action, row.subject, row.detail]));

const lastRow = prepared((queries) =>
  queries.selectFrom('audit').select(['seq', 'hash']).orderBy('seq', 'desc').limit(1),
);
const newRow = prepared((queries, given: Row<'audit'>) => queries.insertInto('audit').values(given));

export const auditHead = async (queries: Queries): Promise<AuditHead> =>
  (await lastRow.first(queries, {})) ?? { seq: 0, hash: GENESIS };

/** Lone surrogates come back from the database as U+FFFD: the hash has to cover what comes back. */
const storable = (text: string): string => Buffer.from(text).toString();

export const appendAudit = async (
  queries: Queries,
  write: Extract<Write, { type: 'audit' }>,
  now: number,
): Promise<void> => {
  const last = await auditHead(queries);
  const row = {
    seq: last.seq + 1,
    at: now,
    actor: storable(write.actor),
    action: storable(write.action),
    subject: storable(write.subject),
    detail: canonical(write.detail),
    prev: last.hash,
  };
  await newRow.run(queries, { ...row, hash: auditHash(row) });
};

export const toAuditRow = (row: Row<'audit'>): AuditRow => ({ ...row, detail: JSON.parse(row.detail) as JsonObject });

/** What is wrong with the next row, or null; `before` is the row it has to follow. */
const problemOf = (row: Row<'audit'>, before: AuditHead): string | null => {
  if (row.seq !== before.seq + 1) return `row ${before.seq + 1} is missing`;
  if (row.prev !== before.hash) return `row ${row.seq} does not follow row ${before.seq}`;
  return auditHash(row) === row.hash ? null : `row ${row.seq} was changed`;
};

const PAGE = 1_000;

/** Row by row; `noted` is a head that was seen before (in the log or a metric), which the chain must still contain. */
export const verifyAudit = async (queries: Queries, noted: AuditHead | null = null): Promise<AuditVerdict> => {
  let head: AuditHead = { seq: 0, hash: GENESIS };
  let lowest = Number.MIN_SAFE_INTEGER;
  for (;;) {
    const page = await queries
      .selectFrom('audit')
      .selectAll()
      .where('seq', '>=', lowest)
      .orderBy('seq')
      .limit(PAGE)
      .execute();
    for (const row of page) {
      const problem = problemOf(row, head);
      if (problem !== null) return { ok: false, seq: head.seq + 1, problem };
      head = { seq: row.seq, hash: row.hash };
      if (noted?.seq === row.seq && noted.hash !== row.hash)
        return { ok: false, seq: row.seq, problem: `row ${row.seq} is not the one that was noted` };
    }
    if (page.length < PAGE) break;
    lowest = head.seq + 1;
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
  if (noted !== null && noted.seq > head.seq)
    return { ok: false, seq: head.seq + 1, problem: `rows ${head.seq + 1} to ${noted.seq} were cut off` };
  return { ok: true, rows: head.seq, head };
};
