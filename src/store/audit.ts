// The audit chain: each row's hash covers the row and the hash before it, so that a changed, moved, added or missing row
// shows. A cut tail shows only against a head that was noted elsewhere.
import type { JsonObject } from '../base/json.ts';
import { canonical, sha256 } from '../base/json.ts';
import type { AuditRow } from '../port/record.ts';
import type { Write } from '../run/writes.ts';
import { prepared } from './prepared.ts';
import type { Queries, Row } from './tables.ts';

export type AuditHead = { readonly seq: number; readonly hash: string };

/** What stands before the first row. */
export const BEGINNING: AuditHead = { seq: 0, hash: '0'.repeat(64) };

/** `detail` enters as the text that is stored, not as what it means: another spelling is another row. */
export const auditHash = (row: Omit<Row<'audit'>, 'hash'>): string =>
  sha256(row.prev + canonical([row.seq, row.at, row.actor, row.action, row.subject, row.detail]));

const lastRow = prepared((queries) =>
  queries.selectFrom('audit').select(['seq', 'hash']).orderBy('seq', 'desc').limit(1),
);
const newRow = prepared((queries, given: Row<'audit'>) => queries.insertInto('audit').values(given));

export const auditHead = async (queries: Queries): Promise<AuditHead> =>
  (await lastRow.first(queries, {})) ?? BEGINNING;

/** Lone surrogates come back from the database as U+FFFD: the hash has to cover what comes back. */
const storable = (text: string): string => Buffer.from(text).toString();

/** Answers the row's place. */
export const appendAudit = async (
  queries: Queries,
  write: Extract<Write, { type: 'audit' }>,
  now: number,
): Promise<number> => {
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
  return row.seq;
};

export const toAuditRow = (row: Row<'audit'>): AuditRow => ({ ...row, detail: JSON.parse(row.detail) as JsonObject });

/** What is wrong with the next row, or null; `before` is the row it has to follow. */
export const problemOf = (row: Row<'audit'>, before: AuditHead): string | null => {
  if (row.seq !== before.seq + 1) return `row ${before.seq + 1} is missing`;
  if (row.prev !== before.hash) return `row ${row.seq} does not follow row ${before.seq}`;
  return auditHash(row) === row.hash ? null : `row ${row.seq} was changed`;
};

const PAGE = 500;

/** The rows of the table behind `after`, oldest first; the event loop gets a turn between pages. */
export async function* auditRows(queries: Queries, after: number): AsyncGenerator<Row<'audit'>> {
  let last = after;
  for (;;) {
    const select = queries.selectFrom('audit').selectAll().where('seq', '>', last).orderBy('seq').limit(PAGE);
    const page = await select.execute();
    yield* page;
    const end = page.at(-1);
    if (end === undefined || page.length < PAGE) return;
    last = end.seq;
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
}
