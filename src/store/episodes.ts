// Episodes over time: which are due for another look, and which have ended.
import { sql } from 'kysely';
import type { EpisodeRow } from '../port/record.ts';
import type { Statements } from './driver.ts';
import { toEpisodeRow } from './rows.ts';
import { prepared } from './prepared.ts';
import type { Queries } from './tables.ts';
import { addToTally } from './tally.ts';

const firing = sql<boolean>`state = 'firing'`;
const notClosed = sql<boolean>`state <> 'closed'`;

/** A parameter each; SQLite takes 32,766. */
const IDS_A_QUERY = 500;
/** Up to so many are looked up one by one: to build a query for them costs more. */
const FEW = 10;

const byId = prepared((queries, given: { id: string }) =>
  queries.selectFrom('episodes').selectAll().where('id', '=', given.id),
);

export const readEpisodes = async (
  queries: Queries,
  ids: readonly string[],
): Promise<ReadonlyMap<string, EpisodeRow>> => {
  const found = new Map<string, EpisodeRow>();
  if (ids.length <= FEW) {
    for (const id of ids) {
      const row = await byId.first(queries, { id });
      if (row !== undefined) found.set(id, toEpisodeRow(row));
    }
    return found;
  }
  for (let from = 0; from < ids.length; from += IDS_A_QUERY) {
    const rows = await queries
      .selectFrom('episodes')
      .selectAll()
      .where('id', 'in', ids.slice(from, from + IDS_A_QUERY))
      .execute();
    for (const row of rows) found.set(row.id, toEpisodeRow(row));
  }
  return found;
};

const due = prepared((queries, given: { now: number; limit: number }) =>
  queries
    .selectFrom('episodes')
    .selectAll()
    .where(firing)
    .where('next_evaluation_at', 'is not', null)
    .where('next_evaluation_at', '<=', given.now)
    .where((where) =>
      where.not(
        where.exists(
          where
            .selectFrom('runs')
            .select('runs.id')
            .whereRef('runs.episode_id', '=', 'episodes.id')
            .where(sql<boolean>`runs.state <> 'done'`),
        ),
      ),
    )
    .orderBy('next_evaluation_at')
    .limit(given.limit),
);

/** Only those that fire: one that is quiet is looked at again when it reopens. */
export const dueEpisodes = async (queries: Queries, now: number, limit: number): Promise<readonly EpisodeRow[]> =>
  (await due.all(queries, { now, limit })).map(toEpisodeRow);

type Lengths = (component: string | null) => number;

/** Within an open transaction, `statements` of the same. Closing comes first, so that an episode that expires now is quiet for its whole hold. */
export const sweepEpisodes = async (
  queries: Queries,
  statements: Statements,
  now: number,
  holdOf: Lengths,
  ttlOf: Lengths,
): Promise<{ closed: readonly string[]; expired: readonly string[] }> => {
  const components = await queries.selectFrom('episodes').select('component').distinct().where(notClosed).execute();
  const closed: string[] = [];
  const expired: string[] = [];
  for (const { component } of components) {
    const ended = await queries
      .updateTable('episodes')
      .set({ state: 'closed', closed_at: now, next_evaluation_at: null })
      .where(notClosed)
      .where('state', '=', 'quiet')
      .where('component', 'is', component)
      .where('resolved_at', '<=', now - holdOf(component))
      .returning('id')
      .execute();
    closed.push(...ended.map((row) => row.id));
    const silent = await queries
      .updateTable('episodes')
      .set({ state: 'quiet', resolved_at: now })
      .where(firing)
      .where('component', 'is', component)
      .where('last_firing_at', '<=', now - ttlOf(component))
      .returning('id')
      .execute();
    expired.push(...silent.map((row) => row.id));
  }
  addToTally(statements, 'episodes_open', -closed.length);
  return { closed, expired };
};
