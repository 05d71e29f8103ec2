// What keeps the store small and says how it is: pruning, figures, and the outbox.
import { sql } from 'kysely';
import type { OutboxRow, StoreFigures } from '../port/record.ts';
import type { Store } from '../port/store.ts';
import { pruneConfigurations } from './configurations.ts';
import { toOutboxRow } from './rows.ts';
import { prepared } from './prepared.ts';
import type { Queries, TallyName } from './tables.ts';

/** A run keeps its decision for ever, and with it the alert and the delivery that explain it. */
const neededByRun = (decision: string) =>
  sql`exists (select 1 from runs where runs.decision_id = ${sql.ref(decision)})`;
const episodeIsOpen = (episode: string) =>
  sql`exists (select 1 from episodes where episodes.id = ${sql.ref(episode)} and episodes.state <> 'closed')`;

/** A statement each: to build one costs more than to run it. */
const IDS_A_QUERY = 500;

/**
 * Within an open transaction. Alerts go with their decisions, then decisions without an alert, then emptied deliveries;
 * then messages that were sent or given up, what humans closed and no run explains, and incidents that nothing tells of
 * any more. Runs stay, with their events, attempts and incidents: promotions, breakers and post-mortems are made of them.
 */
export const prune = async (queries: Queries, before: number, limit: number): Promise<number> => {
  const alerts = await sql<{ id: string }>`
    select id from alerts
    where at < ${before} and decided = 1 and not ${episodeIsOpen('alerts.episode_id')}
      and not exists (select 1 from decisions where decisions.alert_id = alerts.id and decisions.origin = 'delivery' and ${neededByRun('decisions.id')})
      and not exists (select 1 from decisions where decisions.alert_id = alerts.id and decisions.origin <> 'delivery' and ${neededByRun('decisions.id')})
    order by at, id limit ${limit}`.execute(queries);
  let deleted = 0;
  for (let from = 0; from < alerts.rows.length; from += IDS_A_QUERY) {
    const ids = sql.join(alerts.rows.slice(from, from + IDS_A_QUERY).map(({ id }) => id));
    deleted += await removed(sql`delete from decisions where alert_id in (${ids}) and origin = 'delivery'`, queries);
    deleted += await removed(
      sql`delete from decisions where alert_id in (${ids}) and alert_id is not null and origin <> 'delivery'`,
      queries,
    );
    deleted += await removed(sql`delete from alerts where id in (${ids})`, queries);
  }
  deleted += await removed(
    sql`delete from decisions where id in (
      select id from decisions
      where at < ${before} and alert_id is null and not ${episodeIsOpen('decisions.episode_id')} and not ${neededByRun('decisions.id')}
      order by at, id limit ${limit})`,
    queries,
  );
  deleted += await removed(
    sql`delete from deliveries where id in (
      select id from deliveries
      where at < ${before} and not exists (select 1 from alerts where alerts.delivery_id = deliveries.id)
      order by at limit ${limit})`,
    queries,
  );
  deleted += await pruneConfigurations(queries, before);
  for (const statement of OVER) deleted += await removed(statement(before, limit), queries);
  return deleted;
};

/** Open entries have no index by episode, so they are read once, not once an incident. */
const OVER = [
  (before: number, limit: number) => sql`delete from outbox where id in (
    select id from outbox where at < ${before} and status <> 'pending' order by at, id limit ${limit})`,
  (before: number, limit: number) => sql`delete from inbox where id in (
    select id from inbox where status = 'closed' and at < ${before} and closed_at < ${before} and run_id is null
    order by at, id limit ${limit})`,
  (before: number, limit: number) => sql`delete from episodes where id in (
    select id from episodes
    where opened_at < ${before} and state = 'closed' and had_run = 0
      and id not in (select episode_id from inbox where status = 'open' and episode_id is not null)
      and not exists (select 1 from alerts where alerts.episode_id = episodes.id)
      and not exists (select 1 from decisions where decisions.episode_id = episodes.id)
      and not exists (select 1 from attempts where attempts.episode_id = episodes.id)
      and not exists (select 1 from runs where runs.episode_id = episodes.id)
    order by opened_at, id limit ${limit})`,
];

const removed = async (statement: ReturnType<typeof sql>, queries: Queries): Promise<number> =>
  Number((await statement.execute(queries)).numAffectedRows ?? 0n);

/** The part of a tally that is not split. */
const WHOLE = '*';

// Each is the end of an index: read at every scrape, however many rows there are. What is told earlier waits longer.
const endsOf = prepared((queries) =>
  queries.selectNoFrom((from) => [
    from
      .selectFrom('alerts')
      .select('at')
      .where(sql<boolean>`decided = 0`)
      .orderBy('seq')
      .limit(1)
      .as('oldestUndecidedAt'),
    from
      .selectFrom('outbox')
      .select('at')
      .where(sql<boolean>`status = 'pending'`)
      .orderBy('seq')
      .limit(1)
      .as('oldestOutboxAt'),
    from
      .selectFrom('deliveries')
      .select((select) => select.fn.min('at').as('at'))
      .as('oldestDeliveryAt'),
    from
      .selectFrom('audit_seals')
      .select((select) => select.fn.max('last_seq').as('seq'))
      .as('archivedRows'),
  ]),
);
const allTallies = prepared((queries) => queries.selectFrom('tallies').selectAll());

/** Every part of it takes as long as on an empty store. */
export const readFigures = async (queries: Queries, bytes: number): Promise<StoreFigures> => {
  const ends = await endsOf.one(queries, {});
  const tallies = await allTallies.all(queries, {});
  const partsOf = (name: TallyName) => tallies.filter((tally) => tally.name === name);
  const open = (name: TallyName): number => partsOf(name).find(({ part }) => part === WHOLE)?.value ?? 0;
  return {
    undecided: open('alerts_undecided'),
    oldestUndecidedAt: ends.oldestUndecidedAt,
    outboxDepth: open('outbox_pending'),
    oldestOutboxAt: ends.oldestOutboxAt,
    approvalsWaiting: open('runs_awaiting'),
    openEpisodes: open('episodes_open'),
    inboxOpen: open('inbox_open'),
    openEscalations: partsOf('escalations_open').map(({ part: component, value }) => ({ component, open: value })),
    oldestDeliveryAt: ends.oldestDeliveryAt,
    // An entry about a storm closes itself when the storm is over.
    storms: partsOf('storms_open').flatMap(({ part, value }) => (value > 0 ? [part] : [])),
    bytes,
    archived: { files: open('archives'), rows: ends.archivedRows ?? 0, bytes: open('archived_bytes') },
  };
};

const due = prepared((queries, given: { now: number; limit: number }) =>
  queries
    .selectFrom('outbox')
    .selectAll()
    .where(sql<boolean>`status = 'pending'`)
    .where('next_at', '<=', given.now)
    .where((where) =>
      where.not(
        where.exists(
          where
            .selectFrom('outbox as earlier')
            .select('earlier.seq')
            .where(sql<boolean>`earlier.status = 'pending'`)
            .whereRef('earlier.run_id', '=', 'outbox.run_id')
            .whereRef('earlier.seq', '<', 'outbox.seq')
            .where('earlier.next_at', '>', given.now)
            .where(sql<boolean>`coalesce(earlier.receiver, '') = coalesce(outbox.receiver, '')`),
        ),
      ),
    )
    .orderBy('seq')
    .limit(given.limit),
);

/** What is to be sent now; of one run to one receiver, never before what came earlier. */
export const outboxDue = async (queries: Queries, now: number, limit: number): Promise<readonly OutboxRow[]> =>
  (await due.all(queries, { now, limit })).map(toOutboxRow);

export const outboxDone = async (
  queries: Queries,
  id: string,
  result: Parameters<Store['outboxDone']>[2],
): Promise<void> => {
  const told = result.sent
    ? { status: 'sent' as const, error: null }
    : result.nextAt === null
      ? { status: 'dead' as const, error: result.error }
      : { next_at: result.nextAt, error: result.error };
  await queries
    .updateTable('outbox')
    .set({ ...told, tries: sql<number>`tries + 1` })
    .where('id', '=', id)
    .execute();
};
