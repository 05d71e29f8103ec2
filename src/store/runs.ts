// Runs under a lease with a fence: claimed by one worker at a time, changed only by the one whose fence is the newest.
import { sql } from 'kysely';
import { LeaseLost } from '../base/failure.ts';
import type { RunRow } from '../port/record.ts';
import type { Claimed, Lease, Projection, RunChange, RunAlone, RunView, SettlingRun, Store } from '../port/store.ts';
import type { StoredEvent } from '../run/events.ts';
import type { Plan } from '../run/plan.ts';
import { appendAudit } from './audit.ts';
import { bumpVersion, controlsRow } from './controls.ts';
import { readHistory, settling } from './history.ts';
import { prepared } from './prepared.ts';
import { toRunRow, toSettlingRun, toStoredEvent } from './rows.ts';
import type { Queries, Row } from './tables.ts';
import { appendEvents, applyWrites } from './writes.ts';

const underWay = sql<boolean>`state <> 'done'`;

export type StoredRun = { readonly run: RunRow; readonly plan: Plan; readonly events: readonly StoredEvent[] };

const runById = prepared((queries, given: { id: string }) =>
  queries.selectFrom('runs').selectAll().where('id', '=', given.id),
);
const eventsOf = prepared((queries, given: { id: string }) =>
  queries.selectFrom('run_events').select(['seq', 'at', 'event']).where('run_id', '=', given.id).orderBy('seq'),
);
const nextOpen = (queries: Queries) =>
  queries
    .selectFrom('runs')
    .selectAll()
    .where(underWay)
    .where('state', '<>', 'awaiting_approval')
    .orderBy('created_at')
    .orderBy('id')
    .limit(1);
const nextLeft = prepared((queries, given: { now: number }) => nextOpen(queries).where('lease_until', '<', given.now));
const nextDue = prepared((queries, given: { now: number }) =>
  nextOpen(queries).where('lease_until', 'is', null).where('not_before', '<=', given.now),
);
const leased = prepared(
  (queries, given: { id: string; owner: string; until: number; fence: number; recoveries: number }) =>
    queries
      .updateTable('runs')
      .set({
        lease_owner: given.owner,
        lease_until: given.until,
        fence: given.fence,
        recoveries: given.recoveries,
      })
      .where('id', '=', given.id),
);
const released = prepared((queries, given: { id: string }) =>
  queries.updateTable('runs').set({ lease_owner: null, lease_until: null }).where('id', '=', given.id),
);
const projected = prepared((queries, given: Projection & { id: string }) =>
  queries
    .updateTable('runs')
    .set({
      state: given.state,
      outcome: given.outcome,
      cause: given.cause,
      not_before: given.notBefore,
      started_at: given.startedAt,
      first_step_at: given.firstStepAt,
      verified_at: given.verifiedAt,
      ended_at: given.endedAt,
      settle_until: given.settleUntil,
    })
    .where('id', '=', given.id),
);

const withEvents = async (queries: Queries, row: Row<'runs'>): Promise<StoredRun> => {
  const events = await eventsOf.all(queries, { id: row.id });
  return { run: toRunRow(row), plan: JSON.parse(row.plan) as Plan, events: events.map(toStoredEvent) };
};

export const readRun = async (queries: Queries, id: string): Promise<StoredRun | null> => {
  const row = await runById.first(queries, { id });
  return row === undefined ? null : withEvents(queries, row);
};

const aloneOf = async (queries: Queries, row: Row<'runs'>, now: number): Promise<RunAlone> => ({
  ...(await withEvents(queries, row)),
  now,
});

const viewOf = async (queries: Queries, row: Row<'runs'>, now: number): Promise<RunView> => {
  const stored = await withEvents(queries, row);
  const { policy, limits } = stored.plan;
  const { component, kind, target, rule, strategy, episodeId } = stored.run;
  const window = Math.max(
    0,
    ...[...policy.attempts, ...limits.attempts, ...policy.budget, ...(policy.fleet?.attempts ?? [])].map(
      (limit) => limit.per,
    ),
  );
  return {
    ...stored,
    now,
    history: await readHistory(
      queries,
      {
        component,
        kind,
        target,
        rule,
        strategy,
        episodeId,
        ledger: 'live',
        window,
        stormWindow: policy.storm.window,
        componentsWindow: policy.storm.componentsWindow,
      },
      now,
    ),
  };
};

/** Work that a dead worker left comes first: it holds a target. While halted nothing is handed out. */
const nextRun = async (queries: Queries, given: number): Promise<Row<'runs'> | undefined> => {
  const controls = await controlsRow(queries);
  if (controls.halt_on === 1) return undefined;
  const now = Math.max(given, controls.highest_now);
  return (await nextLeft.first(queries, { now })) ?? (await nextDue.first(queries, { now }));
};

export const hasWork = async (queries: Queries, now: number): Promise<boolean> =>
  (await nextRun(queries, now)) !== undefined;

export const claimRun = async (
  queries: Queries,
  owner: string,
  now: number,
  leaseMs: number,
): Promise<Claimed | null> => {
  const row = await nextRun(queries, now);
  if (row === undefined) return null;
  const lease: Lease = { owner, fence: row.fence + 1, until: now + leaseMs };
  const { id, recoveries: before } = row;
  const recoveries = before + (row.lease_until === null ? 0 : 1);
  await leased.run(queries, { ...lease, id, recoveries });
  const taken = { ...row, lease_owner: owner, lease_until: lease.until, fence: lease.fence, recoveries };
  return { lease, view: await aloneOf(queries, taken, now) };
};

export const renewLease = async (
  queries: Queries,
  runId: string,
  lease: Lease,
  now: number,
  leaseMs: number,
): Promise<Lease> => {
  const renewed: Lease = { ...lease, until: now + leaseMs };
  const held = await queries
    .updateTable('runs')
    .set({ lease_until: renewed.until })
    .where('id', '=', runId)
    .where('lease_owner', '=', lease.owner)
    .where('fence', '=', lease.fence)
    .returning('id')
    .executeTakeFirst();
  if (held === undefined) throw new LeaseLost(`the run ${runId} is no longer ${lease.owner}'s`);
  return renewed;
};

const change = async <View extends RunAlone, T>(
  queries: Queries,
  runId: string,
  lease: Lease | null,
  now: number,
  viewOfRun: (queries: Queries, row: Row<'runs'>, now: number) => Promise<View>,
  decide: (view: View) => RunChange<T> | null,
): Promise<T | null> => {
  const row = await runById.first(queries, { id: runId });
  if (row === undefined) return null;
  if (lease !== null && (row.fence !== lease.fence || row.lease_owner !== lease.owner)) {
    throw new LeaseLost(`the run ${runId} is no longer ${lease.owner}'s`);
  }
  const view = await viewOfRun(queries, row, now);
  const answer = decide(view);
  if (answer === null) return null;
  await appendEvents(queries, runId, view.events.at(-1)?.seq ?? 0, answer.events, now);
  if (answer.release) await released.run(queries, { id: runId });
  if (answer.projection !== null) {
    await projected.run(queries, { ...answer.projection, id: runId });
    await bumpVersion(queries, row.component);
  }
  await applyWrites(queries, answer.writes, now);
  return answer.answer;
};

type Deciding<View> = <T>(
  queries: Queries,
  runId: string,
  lease: Lease | null,
  now: number,
  decide: (view: View) => RunChange<T> | null,
) => Promise<T | null>;

export const changeRun: Deciding<RunView> = (queries, runId, lease, now, decide) =>
  change(queries, runId, lease, now, viewOf, decide);
export const extendRun: Deciding<RunAlone> = (queries, runId, lease, now, decide) =>
  change(queries, runId, lease, now, aloneOf, decide);

const allOpen = prepared((queries) =>
  queries.selectFrom('runs').selectAll().where(underWay).orderBy('created_at').orderBy('id'),
);

export const readActiveRuns = async (queries: Queries): Promise<readonly RunRow[]> =>
  (await allOpen.all(queries, {})).map(toRunRow);

const watched = (queries: Queries) =>
  queries
    .selectFrom('runs')
    .select(['id', 'component', 'kind', 'target', 'strategy', 'rule', 'episode_id', 'verified_at', 'settle_until'])
    .where(settling);
const watchedUntil = prepared((queries, given: { now: number }) =>
  watched(queries).where('settle_until', '<=', given.now).orderBy('settle_until').orderBy('id'),
);

/** A parameter each; SQLite takes 32,766. */
const NAMES_A_QUERY = 500;
/** Up to so many are looked up one by one: to build a query for them costs more. */
const FEW = 10;

const watchedOn = {
  target: prepared((queries, given: { name: string }) =>
    watched(queries).where('target', '=', given.name).orderBy('created_at').orderBy('id'),
  ),
  episode_id: prepared((queries, given: { name: string }) =>
    watched(queries).where('episode_id', '=', given.name).orderBy('created_at').orderBy('id'),
  ),
};

export const readSettlingRuns = async (
  queries: Queries,
  { targets, episodes }: Parameters<Store['settlingRuns']>[0],
): Promise<readonly SettlingRun[]> => {
  const found = new Map<string, SettlingRun>();
  const find = async (column: 'target' | 'episode_id', names: readonly string[]): Promise<void> => {
    if (names.length <= FEW) {
      for (const name of names)
        for (const row of await watchedOn[column].all(queries, { name })) found.set(row.id, toSettlingRun(row));
      return;
    }
    for (let from = 0; from < names.length; from += NAMES_A_QUERY) {
      const some = names.slice(from, from + NAMES_A_QUERY);
      for (const row of await watched(queries).where(column, 'in', some).orderBy('created_at').orderBy('id').execute())
        found.set(row.id, toSettlingRun(row));
    }
  };
  await find('target', targets);
  await find('episode_id', episodes);
  return [...found.values()];
};

export const readSettledRuns = async (queries: Queries, now: number): Promise<readonly SettlingRun[]> =>
  (await watchedUntil.all(queries, { now })).map(toSettlingRun);

export const endSettling = async (queries: Queries, runId: string, now: number): Promise<void> => {
  await queries.updateTable('runs').set({ settle_ended: 1 }).where('id', '=', runId).execute();
  const detail = { run: { settled: true } };
  await appendAudit(queries, { type: 'audit', actor: 'amends', action: 'run.settled', subject: runId, detail }, now);
};
