// Lists: newest first, a page at a time, by a cursor that stays right while rows are added.
import { sql } from 'kysely';
import type { RawBuilder } from 'kysely';
import { canonical } from '../base/json.ts';
import type { ListQuery, Page, Rows } from '../port/record.ts';
import { toAuditRow } from './audit.ts';
import { toAlertRow, toDecisionRow, toEpisodeRow, toInboxRow, toOutboxRow, toRunRow } from './rows.ts';
import type { Queries, Row, Tables } from './tables.ts';

const MOST_ROWS = 1_000;

/** What can be compared, by the name it has outside; the last word on how it is called within. */
type Listing<Name extends keyof Rows> = {
  readonly time: string;
  readonly key: string;
  readonly filters: Readonly<Record<string, string>>;
  /** By column: what to ask in place of a comparison that no index serves. */
  readonly lookups?: Readonly<Record<string, (value: string | number) => RawBuilder<boolean>>>;
  toRow(row: Row<Name>): Rows[Name];
};

const columns = (...names: readonly string[]): Readonly<Record<string, string>> =>
  Object.fromEntries(names.map((name) => [name, name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)]));

const LISTINGS: { readonly [Name in keyof Rows]: Listing<Name> } = {
  alerts: {
    time: 'at',
    key: 'id',
    filters: columns('id', 'deliveryId', 'status', 'episodeId', 'change', 'decided'),
    toRow: toAlertRow,
  },
  episodes: {
    time: 'opened_at',
    key: 'id',
    filters: columns('id', 'key', 'source', 'state', 'component', 'kind', 'target', 'hadRun', 'exhausted'),
    toRow: toEpisodeRow,
  },
  decisions: {
    time: 'at',
    key: 'id',
    filters: columns(
      'id',
      'origin',
      'reason',
      'caller',
      'alertId',
      'deliveryId',
      'episodeId',
      'component',
      'target',
      'rule',
      'strategy',
      'runId',
    ),
    // The indexes on alerts are split, so that the one that every alert pays for is the one that keeps its decision unique.
    lookups: {
      alert_id: (alert) =>
        sql<boolean>`id in (
          select id from decisions where alert_id = ${alert} and origin = 'delivery'
          union all
          select id from decisions where alert_id = ${alert} and alert_id is not null and origin <> 'delivery')`,
      delivery_id: (delivery) =>
        sql<boolean>`id in (
          select decisions.id from alerts join decisions on decisions.alert_id = alerts.id and decisions.origin = 'delivery'
          where alerts.delivery_id = ${delivery})`,
    },
    toRow: toDecisionRow,
  },
  runs: {
    time: 'created_at',
    key: 'id',
    filters: columns(
      'id',
      'decisionId',
      'episodeId',
      'component',
      'kind',
      'target',
      'strategy',
      'rule',
      'state',
      'outcome',
      'cause',
      'leaseOwner',
    ),
    toRow: toRunRow,
  },
  inbox: {
    time: 'at',
    key: 'id',
    filters: columns('id', 'kind', 'status', 'severity', 'component', 'target', 'runId', 'episodeId', 'closedBy'),
    toRow: toInboxRow,
  },
  audit: { time: 'at', key: 'seq', filters: columns('seq', 'actor', 'action', 'subject'), toRow: toAuditRow },
  outbox: {
    time: 'at',
    key: 'id',
    filters: columns('id', 'topic', 'receiver', 'severity', 'component', 'target', 'runId', 'status'),
    toRow: toOutboxRow,
  },
};

const FLAGS: ReadonlySet<string> = new Set(['decided', 'had_run', 'exhausted']);

type Place = readonly [number, string | number];

const readCursor = (cursor: string): Place => {
  try {
    const place = JSON.parse(Buffer.from(cursor, 'base64url').toString()) as unknown;
    if (
      Array.isArray(place) &&
      place.length === 2 &&
      Number.isSafeInteger(place[0]) &&
      ['string', 'number'].includes(typeof place[1])
    ) {
      return place as unknown as Place;
    }
  } catch {
    // Said below, like every other text that is no cursor.
  }
  throw new RangeError('the cursor is not one that a list has given out');
};

const filterValue = (column: string, text: string): string | number => {
  if (FLAGS.has(column)) {
    if (text !== 'true' && text !== 'false') throw new RangeError(`'${text}' is neither true nor false`);
    return text === 'true' ? 1 : 0;
  }
  return column === 'seq' ? Number(text) : text;
};

/** Throws a RangeError for a filter, a limit or a cursor that cannot be. */
export const listRows = async <Name extends keyof Rows>(
  queries: Queries,
  kind: Name,
  query: ListQuery,
): Promise<Page<Rows[Name]>> => {
  const listing: Listing<Name> = LISTINGS[kind];
  if (!Number.isInteger(query.limit) || query.limit < 1)
    throw new RangeError(`a limit is a whole number from 1 to ${MOST_ROWS}`);
  const limit = Math.min(query.limit, MOST_ROWS);
  const { dynamic } = queries;
  const time = sql.ref<number>(listing.time);
  const key = sql.ref<string | number>(listing.key);
  let select = queries.selectFrom(kind as keyof Tables).selectAll();
  for (const [name, text] of Object.entries(query.filters)) {
    const column = Object.hasOwn(listing.filters, name) ? listing.filters[name] : undefined;
    if (column === undefined)
      throw new RangeError(`${kind} has no filter '${name}': it is one of ${Object.keys(listing.filters).join(', ')}`);
    const value = filterValue(column, text);
    select = select.where(listing.lookups?.[column]?.(value) ?? sql<boolean>`${sql.ref(column)} = ${value}`);
  }
  if (query.since !== null) select = select.where(sql<boolean>`${time} >= ${query.since}`);
  if (query.cursor !== null) {
    const [at, last] = readCursor(query.cursor);
    select = select.where(sql<boolean>`(${time}, ${key}) < (${at}, ${last})`);
  }
  const found = (await select
    .orderBy(dynamic.ref(listing.time), 'desc')
    .orderBy(dynamic.ref(listing.key), 'desc')
    .limit(limit + 1)
    .execute()) as unknown as Row<Name>[];
  const shown = found.slice(0, limit);
  const last = shown.at(-1) as Readonly<Record<string, unknown>> | undefined;
  const next =
    found.length > limit && last !== undefined
      ? Buffer.from(canonical([last[listing.time], last[listing.key]])).toString('base64url')
      : null;
  return { items: shown.map((row) => listing.toRow(row)), next };
};

export const countRows = async (queries: Queries, kind: keyof Rows, from: number, to: number): Promise<number> => {
  const time = sql.ref<number>(LISTINGS[kind].time);
  const found = await queries
    .selectFrom(kind as keyof Tables)
    .select(sql<number>`count(*)`.as('rows'))
    .where(sql<boolean>`${time} >= ${from} and ${time} < ${to}`)
    .executeTakeFirst();
  return found?.rows ?? 0;
};
