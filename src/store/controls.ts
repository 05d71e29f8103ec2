// The one row that holds the switches and the latest time, and the versions of the components' histories.
import { sql } from 'kysely';
import type { Controls } from '../port/record.ts';
import type { Demotion, Disabled, Halt } from '../run/history.ts';
import { prepared } from './prepared.ts';
import { toDisabled } from './rows.ts';
import type { Queries, Row } from './tables.ts';

const controls = prepared((queries) => queries.selectFrom('controls').selectAll().where('id', '=', 1));
const nowSeen = prepared((queries, given: { now: number }) =>
  queries
    .updateTable('controls')
    .set({ highest_now: sql`case when highest_now < ${given.now} then ${given.now} else highest_now end` })
    .where('id', '=', 1)
    .returning('highest_now'),
);
const versionOf = prepared((queries, given: { component: string }) =>
  queries.selectFrom('components').select('version').where('name', '=', given.component),
);
const nextVersion = prepared((queries, given: { component: string }) =>
  queries
    .insertInto('components')
    .values({ name: given.component, version: 1 })
    .onConflict((conflict) => conflict.column('name').doUpdateSet({ version: sql`components.version + 1` })),
);
/** Of rules, those that hold at that time. */
const demotionsAt = prepared((queries, given: { now: number }) =>
  queries
    .selectFrom('demotions')
    .selectAll()
    .where((where) => where.or([where('until', 'is', null), where('until', '>', given.now)])),
);

export const controlsRow = (queries: Queries): Promise<Row<'controls'>> => controls.one(queries, {});

export const toHalt = (row: Row<'controls'>): Halt => ({
  on: row.halt_on === 1,
  by: row.halt_by,
  reason: row.halt_reason,
  at: row.halt_at,
  until: row.halt_until,
  hard: row.halt_hard === 1,
  past: JSON.parse(row.halt_spans) as ReadonlyArray<readonly [number, number]>,
});

/** While it lies ahead: after an accepted empty history nothing starts without a human. */
export const approvalOnlyUntil = (row: Row<'controls'>, now: number): number | null =>
  row.empty_history_until !== null && row.empty_history_until > now ? row.empty_history_until : null;

/** While it lies ahead: the wall clock jumped, and nothing starts without a human. */
export const clockSuspectUntil = (row: Row<'controls'>, now: number): number | null =>
  row.clock_suspect_until !== null && row.clock_suspect_until > now ? row.clock_suspect_until : null;

/** Time that never goes back, over restarts too: a clock that is set back must not loosen a cap. */
export const effectiveNow = async (queries: Queries, given: number): Promise<number> =>
  Math.max(given, (await controlsRow(queries)).highest_now);

/** The same, and nothing may be decided at an earlier time from now on. */
export const advanceNow = async (queries: Queries, given: number): Promise<number> =>
  (await nowSeen.one(queries, { now: given })).highest_now;

export const historyVersion = async (queries: Queries, component: string): Promise<number> =>
  (await versionOf.first(queries, { component }))?.version ?? 0;

export const bumpVersion = async (queries: Queries, component: string): Promise<void> => {
  await nextVersion.run(queries, { component });
};

/** A rule may serve any component. */
export const bumpAllVersions = async (queries: Queries): Promise<void> => {
  await queries
    .updateTable('components')
    .set({ version: sql`version + 1` })
    .execute();
};

/** Of rules, those that hold at that time; null: at the latest that the store knows. */
export const readDemotions = async (queries: Queries, now: number | null): Promise<ReadonlyMap<string, Demotion>> => {
  const rows = await demotionsAt.all(queries, { now: now ?? (await controlsRow(queries)).highest_now });
  return new Map(rows.map(({ rule, mode, until, reason, since }) => [rule, { mode, until, reason, since }]));
};

export const readControls = async (queries: Queries, wallNow: number): Promise<Controls> => {
  const row = await controlsRow(queries);
  const now = Math.max(wallNow, row.highest_now);
  const rows = await queries
    .selectFrom('disabled')
    .selectAll()
    .where((where) => where.or([where('until', 'is', null), where('until', '>', now)]))
    .execute();
  const of = (scope: Row<'disabled'>['scope']): ReadonlyMap<string, Disabled> =>
    new Map(rows.filter((entry) => entry.scope === scope).map((entry) => [entry.name, toDisabled(entry)]));
  return {
    now,
    halt: toHalt(row),
    components: of('component'),
    rules: of('rule'),
    demotions: await readDemotions(queries, now),
    approvalOnlyUntil: approvalOnlyUntil(row, now),
    clockSuspectUntil: clockSuspectUntil(row, now),
  };
};
