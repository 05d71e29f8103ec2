// Runs under a lease with a fence: claimed by one worker at a time, changed only by the one whose fence is the newest.
import { sql } from 'kysely';
import { LeaseLost } from '../base/failure.ts';
import type { Lease, Projection, RunChange, RunRow, RunAlone, RunView, SettlingRun } from '../port/store.ts';
import type { StoredEvent } from '../run/events.ts';
import type { Plan } from '../run/plan.ts';
import { bumpVersion, controlsRow } from './controls.ts';
import { readHistory, settling } from './history.ts';
import { toRunRow, toSettlingRun, toStoredEvent } from './rows.ts';
import type { Queries, Row } from './tables.ts';
import { appendEvents, applyWrites } from './writes.ts';

const underWay = sql<boolean>`state <> 'done'`;

export type StoredRun = { readonly run: RunRow; readonly plan: Plan; readonly events: readonly StoredEvent[] };

const findRun = (queries: Queries, id: string): Promise<Row<'runs'> | undefined> =>
  queries.selectFrom('runs').selectAll().where('id', '=', id).executeTakeFirst();

const withEvents = async (queries: Queries, row: Row<'runs'>): Promise<StoredRun> => {
  const events = await queries
    .selectFrom('run_events')
    .select(['seq', 'at', 'event'])
    .where('run_id', '=', row.id)
    .orderBy('seq')
    .execute();
  return { run: toRunRow(row), plan: JSON.parse(row.plan) as Plan, events: events.map(toStoredEvent) };
};

export const readRun = async (queries: Queries, id: string): Promise<StoredRun | null> => {
  const row = await findRun(queries, id);
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
const nextRun = async (queries: Queries, now: number): Promise<Row<'runs'> | undefined> => {
  if ((await controlsRow(queries)).halt_on === 1) return undefined;
  const open = queries
    .selectFrom('runs')
    .selectAll()
    .where(underWay)
    .where('state', '<>', 'awaiting_approval')
    .orderBy('created_at')
    .orderBy('id')
    .limit(1);
  const left = await open.where('lease_until', '<', now).executeTakeFirst();
  return left ?? (await open.where('lease_until', 'is', null).where('not_before', '<=', now).executeTakeFirst());
};

export const hasWork = async (queries: Queries, now: number): Promise<boolean> =>
  (await nextRun(queries, now)) !== undefined;

export const claimRun = async (
  queries: Queries,
  owner: string,
  now: number,
  leaseMs: number,
): Promise<{ lease: Lease; view: RunAlone } | null> => {
  const row = await nextRun(queries, now);
  if (row === undefined) return null;
  const lease: Lease = { owner, fence: row.fence + 1, until: now + leaseMs };
  const taken = {
    lease_owner: owner,
    lease_until: lease.until,
    fence: lease.fence,
    recoveries: row.recoveries + (row.lease_until === null ? 0 : 1),
  };
  await queries.updateTable('runs').set(taken).where('id', '=', row.id).execute();
  return { lease, view: await aloneOf(queries, { ...row, ...taken }, now) };
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

const projectionColumns = (projection: Projection): Partial<Row<'runs'>> => ({
  state: projection.state,
  outcome: projection.outcome,
  cause: projection.cause,
  not_before: projection.notBefore,
  started_at: projection.startedAt,
  first_step_at: projection.firstStepAt,
  verified_at: projection.verifiedAt,
  ended_at: projection.endedAt,
  settle_until: projection.settleUntil,
});

const change = async <View extends RunAlone, T>(
  queries: Queries,
  runId: string,
  lease: Lease | null,
  now: number,
  viewOfRun: (queries: Queries, row: Row<'runs'>, now: number) => Promise<View>,
  decide: (view: View) => RunChange<T> | null,
): Promise<T | null> => {
  const row = await findRun(queries, runId);
  if (row === undefined) return null;
  if (lease !== null && (row.fence !== lease.fence || row.lease_owner !== lease.owner)) {
    throw new LeaseLost(`the run ${runId} is no longer ${lease.owner}'s`);
  }
  const view = await viewOfRun(queries, row, now);
  const answer = decide(view);
  if (answer === null) return null;
  await appendEvents(queries, runId, view.events.at(-1)?.seq ?? 0, answer.events, now);
  const set: Partial<Row<'runs'>> = {
    ...(answer.projection === null ? {} : projectionColumns(answer.projection)),
    ...(answer.release ? { lease_owner: null, lease_until: null } : {}),
  };
  if (Object.keys(set).length > 0) await queries.updateTable('runs').set(set).where('id', '=', runId).execute();
  if (answer.projection !== null) await bumpVersion(queries, row.component);
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

export const readActiveRuns = async (queries: Queries): Promise<readonly RunRow[]> =>
  (await queries.selectFrom('runs').selectAll().where(underWay).orderBy('created_at').orderBy('id').execute()).map(
    toRunRow,
  );

export const readSettlingRuns = async (queries: Queries): Promise<readonly SettlingRun[]> =>
  (
    await queries
      .selectFrom('runs')
      .select(['id', 'component', 'kind', 'target', 'strategy', 'rule', 'episode_id', 'verified_at', 'settle_until'])
      .where(settling)
      .orderBy('created_at')
      .orderBy('id')
      .execute()
  ).map(toSettlingRun);

export const endSettling = async (queries: Queries, runId: string): Promise<void> => {
  await queries.updateTable('runs').set({ settle_ended: 1 }).where('id', '=', runId).execute();
};
