// What admission and facts look at: the past of a component, read by index lookups only.
import { sql } from 'kysely';
import type { HistoryQuery, Snapshot, SnapshotQuery, StormQuery } from '../port/store.ts';
import type { Attempt, Disabled, History, Ledger } from '../run/history.ts';
import {
  approvalOnlyUntil,
  clockSuspectUntil,
  controlsRow,
  historyVersion,
  readDemotions,
  toHalt,
} from './controls.ts';
import { toActiveRun, toAttempt, toDisabled } from './rows.ts';
import type { Queries } from './tables.ts';

// Literals, not parameters: a partial index is used only when the text of the query matches it.
const underWay = sql<boolean>`state <> 'done'`;
const firing = sql<boolean>`state = 'firing'`;

/** Inside the transaction that will write; `now` is the effective one. */
export const readHistory = async (queries: Queries, query: HistoryQuery, now: number): Promise<History> => {
  const controls = await controlsRow(queries);
  const disabled = await readDisabled(queries, query, now);
  const active = await queries
    .selectFrom('runs')
    .select(['id', 'state', 'component', 'kind', 'target', 'episode_id'])
    .where(underWay)
    .orderBy('created_at')
    .orderBy('id')
    .execute();
  const budget = await queries
    .selectFrom('attempts')
    .select('at')
    .where('ledger', '=', query.ledger)
    .where('released_at', 'is', null)
    .where('at', '>=', now - query.window)
    .orderBy('at')
    .execute();
  return {
    now,
    version: await historyVersion(queries, query.component),
    halt: toHalt(controls),
    approvalOnlyUntil: approvalOnlyUntil(controls, now),
    clockSuspectUntil: clockSuspectUntil(controls, now),
    ...disabled,
    active: active.map(toActiveRun),
    stuck: await stuckRun(queries, query),
    settling: await settlingRun(queries, query, now),
    attempts: await attemptsForCaps(queries, query, now),
    budget: budget.map((row) => row.at),
    breaker: await breakerAttempts(queries, query),
    storm: await readStorm(queries, query, now),
    ...(await readEpisode(queries, query.episodeId, query.ledger)),
  };
};

const readDisabled = async (
  queries: Queries,
  query: HistoryQuery,
  now: number,
): Promise<{ componentDisabled: Disabled | null; ruleDisabled: Disabled | null }> => {
  const rows = await queries
    .selectFrom('disabled')
    .selectAll()
    .where('name', 'in', [query.component, query.rule ?? query.component])
    .where('scope', 'in', ['component', 'rule'])
    .execute();
  const of = (scope: string, name: string | null): Disabled | null => {
    const row = rows.find(
      (entry) => entry.scope === scope && entry.name === name && (entry.until === null || entry.until > now),
    );
    return row === undefined ? null : toDisabled(row);
  };
  return { componentDisabled: of('component', query.component), ruleDisabled: of('rule', query.rule) };
};

const stuckRun = async (queries: Queries, query: HistoryQuery): Promise<string | null> => {
  const row = await queries
    .selectFrom('runs')
    .select('runs.id')
    .where(sql<boolean>`runs.outcome = 'stuck'`)
    .where('runs.kind', '=', query.kind)
    .where('runs.target', '=', query.target)
    .where((where) =>
      where.exists(
        where
          .selectFrom('inbox')
          .select('inbox.id')
          .whereRef('inbox.run_id', '=', 'runs.id')
          .where('inbox.kind', '=', 'escalation')
          .where(sql<boolean>`inbox.status = 'open'`),
      ),
    )
    .limit(1)
    .executeTakeFirst();
  return row?.id ?? null;
};

export const settling = sql<boolean>`state = 'done' and outcome = 'resolved' and settle_until is not null and settle_ended = 0`;

const settlingRun = async (queries: Queries, query: HistoryQuery, now: number): Promise<History['settling']> => {
  const row = await queries
    .selectFrom('runs')
    .select(['id', 'settle_until'])
    .where(settling)
    .where('kind', '=', query.kind)
    .where('target', '=', query.target)
    .where('settle_until', '>', now)
    .orderBy('settle_until', 'desc')
    .limit(1)
    .executeTakeFirst();
  return row === undefined || row.settle_until === null ? null : { runId: row.id, until: row.settle_until };
};

/**
 * The window's, and those that ended last even if they are older: a cooldown may be longer than the window, and where
 * each target has one of its own, another target may have been the last.
 */
const attemptsForCaps = async (queries: Queries, query: HistoryQuery, now: number): Promise<readonly Attempt[]> => {
  const kept = queries
    .selectFrom('attempts')
    .selectAll()
    .where('component', '=', query.component)
    .where('ledger', '=', query.ledger)
    .where('released_at', 'is', null);
  const inWindow = await kept
    .where('at', '>=', now - query.window)
    .orderBy('at')
    .orderBy('id')
    .execute();
  const ended = kept.where('ended_at', 'is not', null).orderBy('ended_at', 'desc').limit(1);
  const last = await ended.executeTakeFirst();
  const here = await ended.where('target', '=', query.target).executeTakeFirst();
  const older = [
    ...new Map([last, here].flatMap((row) => (row === undefined ? [] : [[row.id, row] as const]))).values(),
  ]
    .filter((row) => row.at < now - query.window)
    .toSorted((left, right) => left.at - right.at);
  return [...older, ...inWindow].map(toAttempt);
};

const MOST_BREAKER_ATTEMPTS = 50;

/** Ended ones since a human last closed the breaker, oldest first. */
export const breakerAttempts = async (
  queries: Queries,
  { component, strategy, ledger }: Pick<HistoryQuery, 'component' | 'strategy' | 'ledger'>,
): Promise<readonly Attempt[]> => {
  const closed = await queries
    .selectFrom('breakers')
    .select('closed_at')
    .where('component', '=', component)
    .where('strategy', '=', strategy)
    .executeTakeFirst();
  const rows = await queries
    .selectFrom('attempts')
    .selectAll()
    .where('component', '=', component)
    .where('strategy', '=', strategy)
    .where('ledger', '=', ledger)
    .where('ended_at', 'is not', null)
    .where('ended_at', '>', closed?.closed_at ?? -1)
    .where('released_at', 'is', null)
    .orderBy('ended_at', 'desc')
    .limit(MOST_BREAKER_ATTEMPTS)
    .execute();
  return rows.map(toAttempt).toReversed();
};

const MOST_STORM_EPISODES = 500;

/** What has begun to fire lately, even if it is quiet again: many at once have one cause. */
export const readStorm = async (queries: Queries, query: StormQuery, now: number): Promise<History['storm']> => {
  // Bounded: in a storm of thousands every decision asks this, and a few hundred say the same.
  const lately = queries
    .selectFrom('episodes')
    .select(['target', 'opened_at'])
    .where('component', '=', query.component)
    .where('opened_at', '>=', now - query.stormWindow)
    .orderBy('opened_at')
    .orderBy('id')
    .limit(MOST_STORM_EPISODES);
  const rows = await lately.execute();
  const components = await queries
    .selectFrom('components')
    .select((select) => select.fn.countAll<number>().as('components'))
    .where((where) =>
      where.exists(
        where
          .selectFrom('episodes')
          .select('episodes.id')
          .whereRef('episodes.component', '=', 'components.name')
          .where('episodes.opened_at', '>=', now - query.componentsWindow),
      ),
    )
    .executeTakeFirstOrThrow();
  return {
    targets: new Set(rows.map((row) => row.target)).size,
    firstAt: rows[0]?.opened_at ?? null,
    components: components.components,
  };
};

const readEpisode = async (
  queries: Queries,
  episodeId: string | null,
  ledger: Ledger,
): Promise<{ episode: readonly Attempt[]; exhausted: boolean }> => {
  if (episodeId === null) return { episode: [], exhausted: false };
  const attempts = await queries
    .selectFrom('attempts')
    .selectAll()
    .where('episode_id', '=', episodeId)
    .where('ledger', '=', ledger)
    .orderBy('at')
    .orderBy('id')
    .execute();
  const row = await queries.selectFrom('episodes').select('exhausted').where('id', '=', episodeId).executeTakeFirst();
  return { episode: attempts.map(toAttempt), exhausted: row?.exhausted === 1 };
};

export const readSnapshot = async (queries: Queries, { component, since }: SnapshotQuery): Promise<Snapshot> => {
  if (component === null) return { version: 0, attempts: [], firingTargets: 0, degraded: await degradedModes(queries) };
  const version = await historyVersion(queries, component);
  const attempts = await queries
    .selectFrom('attempts')
    .selectAll()
    .where('component', '=', component)
    .where('released_at', 'is', null)
    .where('at', '>=', since)
    .orderBy('at')
    .orderBy('id')
    .execute();
  const targets = await queries
    .selectFrom('episodes')
    .select((select) => select.fn.count<number>('target').distinct().as('count'))
    .where(firing)
    .where('component', '=', component)
    .executeTakeFirstOrThrow();
  return {
    version,
    attempts: attempts.map(toAttempt),
    firingTargets: targets.count,
    degraded: await degradedModes(queries),
    demotions: await readDemotions(queries, null),
  };
};

const degradedModes = async (queries: Queries): Promise<readonly string[]> =>
  (await queries.selectFrom('degraded').select('mode').distinct().orderBy('mode').execute()).map((row) => row.mode);

export const readAttempts = async (
  queries: Queries,
  query: { readonly component: string | null; readonly ledger: Ledger; readonly since: number },
): Promise<readonly Attempt[]> => {
  const all = queries
    .selectFrom('attempts')
    .selectAll()
    .where('ledger', '=', query.ledger)
    .where('released_at', 'is', null)
    .where('at', '>=', query.since);
  const rows = await (query.component === null ? all : all.where('component', '=', query.component))
    .orderBy('at')
    .orderBy('id')
    .execute();
  return rows.map(toAttempt);
};
