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
import { prepared } from './prepared.ts';
import { toActiveRun, toAttempt, toDisabled } from './rows.ts';
import type { Queries } from './tables.ts';

// Literals, not parameters: a partial index is used only when the text of the query matches it.
const underWay = sql<boolean>`state <> 'done'`;
const firing = sql<boolean>`state = 'firing'`;
export const settling = sql<boolean>`state = 'done' and outcome = 'resolved' and settle_until is not null and settle_ended = 0`;

const MOST_BREAKER_ATTEMPTS = 50;
const MOST_STORM_EPISODES = 500;

const switchesOf = prepared((queries, given: { component: string; rule: string }) =>
  queries
    .selectFrom('disabled')
    .selectAll()
    .where('name', 'in', [given.component, given.rule])
    .where('scope', 'in', ['component', 'rule']),
);
const runsUnderWay = prepared((queries) =>
  queries
    .selectFrom('runs')
    .select(['id', 'state', 'component', 'kind', 'target', 'episode_id'])
    .where(underWay)
    .orderBy('created_at')
    .orderBy('id'),
);
const budgetSince = prepared((queries, given: { ledger: Ledger; since: number }) =>
  queries
    .selectFrom('attempts')
    .select('at')
    .where('ledger', '=', given.ledger)
    .where('released_at', 'is', null)
    .where('at', '>=', given.since)
    .orderBy('at'),
);
const stuckOn = prepared((queries, given: { kind: string; target: string }) =>
  queries
    .selectFrom('runs')
    .select('runs.id')
    .where(sql<boolean>`runs.outcome = 'stuck'`)
    .where('runs.kind', '=', given.kind)
    .where('runs.target', '=', given.target)
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
    .limit(1),
);
const settlingOn = prepared((queries, given: { kind: string; target: string; now: number }) =>
  queries
    .selectFrom('runs')
    .select(['id', 'settle_until'])
    .where(settling)
    .where('kind', '=', given.kind)
    .where('target', '=', given.target)
    .where('settle_until', '>', given.now)
    .orderBy('settle_until', 'desc')
    .limit(1),
);

type OfComponent = { component: string; ledger: Ledger };
const keptAttempts = (queries: Queries, { component, ledger }: OfComponent) =>
  queries
    .selectFrom('attempts')
    .selectAll()
    .where('component', '=', component)
    .where('ledger', '=', ledger)
    .where('released_at', 'is', null);
const lastEnded = (queries: Queries, given: OfComponent) =>
  keptAttempts(queries, given).where('ended_at', 'is not', null).orderBy('ended_at', 'desc').limit(1);

const attemptsSince = prepared((queries, given: OfComponent & { since: number }) =>
  keptAttempts(queries, given).where('at', '>=', given.since).orderBy('at').orderBy('id'),
);
const lastEndedAnywhere = prepared(lastEnded);
const lastEndedOn = prepared((queries, given: OfComponent & { target: string }) =>
  lastEnded(queries, given).where('target', '=', given.target),
);
const breakerClosed = prepared((queries, given: { component: string; strategy: string }) =>
  queries
    .selectFrom('breakers')
    .select('closed_at')
    .where('component', '=', given.component)
    .where('strategy', '=', given.strategy),
);
const endedSince = prepared((queries, given: OfComponent & { strategy: string; since: number }) =>
  queries
    .selectFrom('attempts')
    .selectAll()
    .where('component', '=', given.component)
    .where('strategy', '=', given.strategy)
    .where('ledger', '=', given.ledger)
    .where('ended_at', 'is not', null)
    .where('ended_at', '>', given.since)
    .where('released_at', 'is', null)
    .orderBy('ended_at', 'desc')
    .limit(MOST_BREAKER_ATTEMPTS),
);
const openedSince = prepared((queries, given: { component: string; since: number }) =>
  queries
    .selectFrom('episodes')
    .select(['target', 'opened_at'])
    .where('component', '=', given.component)
    .where('opened_at', '>=', given.since)
    .orderBy('opened_at')
    .orderBy('id')
    // In a storm of thousands every decision asks this, and a few hundred say the same.
    .limit(MOST_STORM_EPISODES),
);
const componentsSince = prepared((queries, given: { since: number }) =>
  queries
    .selectFrom('components')
    .select((select) => select.fn.countAll<number>().as('components'))
    .where((where) =>
      where.exists(
        where
          .selectFrom('episodes')
          .select('episodes.id')
          .whereRef('episodes.component', '=', 'components.name')
          .where('episodes.opened_at', '>=', given.since),
      ),
    ),
);
const episodeAttempts = prepared((queries, given: { episodeId: string; ledger: Ledger }) =>
  queries
    .selectFrom('attempts')
    .selectAll()
    .where('episode_id', '=', given.episodeId)
    .where('ledger', '=', given.ledger)
    .orderBy('at')
    .orderBy('id'),
);
const episodeExhausted = prepared((queries, given: { episodeId: string }) =>
  queries.selectFrom('episodes').select('exhausted').where('id', '=', given.episodeId),
);
const attemptsOfAllLedgers = prepared((queries, given: { component: string; since: number }) =>
  queries
    .selectFrom('attempts')
    .selectAll()
    .where('component', '=', given.component)
    .where('released_at', 'is', null)
    .where('at', '>=', given.since)
    .orderBy('at')
    .orderBy('id'),
);
const firingTargets = prepared((queries, given: { component: string }) =>
  queries
    .selectFrom('episodes')
    .select((select) => select.fn.count<number>('target').distinct().as('count'))
    .where(firing)
    .where('component', '=', given.component),
);
const allVersions = prepared((queries) => queries.selectFrom('components').selectAll());
const modesOn = prepared((queries) => queries.selectFrom('degraded').select('mode').distinct().orderBy('mode'));

/** Inside the transaction that will write; `now` is the effective one. */
export const readHistory = async (queries: Queries, query: HistoryQuery, now: number): Promise<History> => {
  const controls = await controlsRow(queries);
  const disabled = await readDisabled(queries, query, now);
  const active = await runsUnderWay.all(queries, {});
  const budget = await budgetSince.all(queries, { ledger: query.ledger, since: now - query.window });
  return {
    now,
    version: await historyVersion(queries, query.component),
    halt: toHalt(controls),
    approvalOnlyUntil: approvalOnlyUntil(controls, now),
    clockSuspectUntil: clockSuspectUntil(controls, now),
    ...disabled,
    active: active.map(toActiveRun),
    stuck: (await stuckOn.first(queries, query))?.id ?? null,
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
  { component, rule }: HistoryQuery,
  now: number,
): Promise<{ componentDisabled: Disabled | null; ruleDisabled: Disabled | null }> => {
  const rows = await switchesOf.all(queries, { component, rule: rule ?? component });
  const of = (scope: string, name: string | null): Disabled | null => {
    const row = rows.find(
      (entry) => entry.scope === scope && entry.name === name && (entry.until === null || entry.until > now),
    );
    return row === undefined ? null : toDisabled(row);
  };
  return { componentDisabled: of('component', component), ruleDisabled: of('rule', rule) };
};

const settlingRun = async (
  queries: Queries,
  { kind, target }: HistoryQuery,
  now: number,
): Promise<History['settling']> => {
  const row = await settlingOn.first(queries, { kind, target, now });
  return row === undefined || row.settle_until === null ? null : { runId: row.id, until: row.settle_until };
};

/**
 * The window's, and those that ended last even if they are older: a cooldown may be longer than the window, and where
 * each target has one of its own, another target may have been the last.
 */
const attemptsForCaps = async (queries: Queries, query: HistoryQuery, now: number): Promise<readonly Attempt[]> => {
  const since = now - query.window;
  const inWindow = await attemptsSince.all(queries, { component: query.component, ledger: query.ledger, since });
  const last = await lastEndedAnywhere.first(queries, query);
  const here = await lastEndedOn.first(queries, query);
  const older = [
    ...new Map([last, here].flatMap((row) => (row === undefined ? [] : [[row.id, row] as const]))).values(),
  ]
    .filter((row) => row.at < since)
    .toSorted((left, right) => left.at - right.at);
  return [...older, ...inWindow].map(toAttempt);
};

/** Ended ones since a human last closed the breaker, oldest first. */
const breakerAttempts = async (
  queries: Queries,
  { component, strategy, ledger }: Pick<HistoryQuery, 'component' | 'strategy' | 'ledger'>,
): Promise<readonly Attempt[]> => {
  const closed = await breakerClosed.first(queries, { component, strategy });
  const rows = await endedSince.all(queries, { component, strategy, ledger, since: closed?.closed_at ?? -1 });
  return rows.map(toAttempt).toReversed();
};

type Pair = { readonly component: string; readonly strategy: string };

/**
 * The same for many breakers, as every scrape asks. Whatever changes a breaker moves its component's version on, so what
 * was read at a version need not be read again.
 */
export const createBreakerReader = () => {
  const known = new Map<string, { readonly version: number; readonly attempts: readonly Attempt[] }>();
  return async (queries: Queries, pairs: readonly Pair[]): Promise<readonly (readonly Attempt[])[]> => {
    const versions = new Map((await allVersions.all(queries, {})).map(({ name, version }) => [name, version]));
    const found: Array<readonly Attempt[]> = [];
    for (const { component, strategy } of pairs) {
      const name = JSON.stringify([component, strategy]);
      const version = versions.get(component) ?? 0;
      let entry = known.get(name);
      if (entry?.version !== version) {
        entry = { version, attempts: await breakerAttempts(queries, { component, strategy, ledger: 'live' }) };
        known.set(name, entry);
      }
      found.push(entry.attempts);
    }
    return found;
  };
};

/** What has begun to fire lately, even if it is quiet again: many at once have one cause. */
export const readStorm = async (queries: Queries, query: StormQuery, now: number): Promise<History['storm']> => {
  const lately = await openedSince.all(queries, { component: query.component, since: now - query.stormWindow });
  const { components } = await componentsSince.one(queries, { since: now - query.componentsWindow });
  return {
    targets: new Set(lately.map((row) => row.target)).size,
    firstAt: lately[0]?.opened_at ?? null,
    components,
  };
};

const readEpisode = async (
  queries: Queries,
  episodeId: string | null,
  ledger: Ledger,
): Promise<{ episode: readonly Attempt[]; exhausted: boolean }> => {
  if (episodeId === null) return { episode: [], exhausted: false };
  const attempts = await episodeAttempts.all(queries, { episodeId, ledger });
  const row = await episodeExhausted.first(queries, { episodeId });
  return { episode: attempts.map(toAttempt), exhausted: row?.exhausted === 1 };
};

export const readSnapshot = async (queries: Queries, { component, since }: SnapshotQuery): Promise<Snapshot> => {
  if (component === null) return { version: 0, attempts: [], firingTargets: 0, degraded: await degradedModes(queries) };
  const version = await historyVersion(queries, component);
  const attempts = await attemptsOfAllLedgers.all(queries, { component, since });
  return {
    version,
    attempts: attempts.map(toAttempt),
    firingTargets: (await firingTargets.one(queries, { component })).count,
    degraded: await degradedModes(queries),
    demotions: await readDemotions(queries, null),
  };
};

const degradedModes = async (queries: Queries): Promise<readonly string[]> =>
  (await modesOn.all(queries, {})).map((row) => row.mode);

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
