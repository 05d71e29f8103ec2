// What is put together from many rows: the log of a run, how runs ended, what a day brought, the draft of a post-mortem.
import { rfc3339 } from '../base/clock.ts';
import type { Clock } from '../base/clock.ts';
import type { KeptFile, ListQuery, Page, Rows, RunRow } from '../port/record.ts';
import type { Store } from '../port/store.ts';
import { draftPostmortem } from '../replay/postmortem.ts';
import type { Postmortem } from '../replay/postmortem.ts';
import { tell } from '../run/story.ts';
import type { FiguresContext } from './figures.ts';
import type { RunLog } from './run-log.ts';

const PAGE = 1_000;
/** So many of the newest runs are summed up; ten an hour for a month are fewer. */
const MOST_SUMMED = 10_000;

/** The newest rows since then, newest first, and whether there were more. */
const newest = async <K extends keyof Rows>(
  store: Store,
  kind: K,
  filters: Readonly<Record<string, string>>,
  since: number | null,
  most = MOST_SUMMED,
): Promise<{ readonly rows: readonly Rows[K][]; readonly cut: boolean }> => {
  const rows: Rows[K][] = [];
  let cursor: string | null = null;
  do {
    const page: Page<Rows[K]> = await store.list(kind, {
      limit: Math.min(PAGE, most - rows.length),
      cursor,
      filters,
      since,
    });
    rows.push(...page.items);
    cursor = page.next;
  } while (cursor !== null && rows.length < most);
  return { rows, cut: cursor !== null };
};

// ---- the log of a run ------------------------------------------------------------------------------------------

export type RunLogLine = {
  readonly at: number;
  /** `record`: from the run's events, kept for good; `log`: what amends and its actions logged, kept while it runs. */
  readonly source: 'record' | 'log';
  readonly level: string;
  readonly step: string | null;
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>>;
};

const LONGEST_FIELDS = 4_096;

/** Oldest first; null when there is no such run. */
export const readRunLog = async (
  { store }: Pick<FiguresContext, 'store'>,
  runLog: RunLog,
  runId: string,
): Promise<readonly RunLogLine[] | null> => {
  const found = await store.run(runId);
  if (found === null) return null;
  const recorded = found.events.map((stored): RunLogLine => {
    const { event } = stored;
    const said = 'outputs' in event ? { outputs: event.outputs } : 'input' in event ? { input: event.input } : {};
    return { source: 'record', ...tell(stored), fields: bounded(said) };
  });
  const logged = runLog
    .of(runId)
    .map(({ fields, ...line }): RunLogLine => ({ source: 'log', step: null, ...line, fields: bounded(fields) }));
  return [...recorded, ...logged].toSorted((left, right) => left.at - right.at);
};

const bounded = (fields: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> => {
  const text = JSON.stringify(fields);
  return text.length <= LONGEST_FIELDS
    ? fields
    : { cut: text.slice(0, LONGEST_FIELDS), bytes: Buffer.byteLength(text) };
};

// ---- the journal -----------------------------------------------------------------------------------------------

/** As a line of a journal file says it (`amends journal export`). */
export type JournalLine = {
  readonly type: 'delivery';
  readonly at: string;
  readonly source: string;
  readonly body: unknown;
};

const PIECE = 10;
/** A page ends early behind bodies of more than this, so that nobody's memory is filled by a few large ones. */
const PAGE_BYTES = 8 * 1_024 * 1_024;

export const readJournalPage = async (
  { store }: Pick<FiguresContext, 'store'>,
  query: ListQuery,
): Promise<Page<JournalLine>> => {
  const items: JournalLine[] = [];
  let { cursor } = query;
  for (let bytes = 0, looked = 0; bytes < PAGE_BYTES && looked < query.limit; looked += PIECE) {
    const page: Page<Rows['alerts']> = await store.list('alerts', {
      ...query,
      cursor,
      limit: Math.min(PIECE, query.limit - looked),
    });
    for (const { deliveryId, index } of page.items) {
      const delivery = index === 0 ? await store.delivery(deliveryId) : null;
      if (delivery === null) continue;
      bytes += delivery.body.length;
      const body: unknown = JSON.parse(delivery.body.toString('utf8'));
      items.push({ type: 'delivery', at: rfc3339(delivery.at), source: delivery.source, body });
    }
    cursor = page.next;
    if (cursor === null) break;
  }
  return { items, next: cursor };
};

// ---- the texts of a configuration ------------------------------------------------------------------------------

const TEXTS_AT_ONCE = 50;

/** Pages end early behind large texts, as those of the journal do. */
export const readConfigurationFiles = async (
  { store }: Pick<FiguresContext, 'store'>,
  all: readonly KeptFile[],
  query: Readonly<Record<string, unknown>>,
): Promise<Page<KeptFile & { readonly text: string }>> => {
  const files = query['digest'] === undefined ? all : all.filter(({ digest }) => digest === query['digest']);
  const limit = typeof query['limit'] === 'number' ? query['limit'] : files.length;
  const items: Array<KeptFile & { readonly text: string }> = [];
  let at = Math.max(0, Math.floor(Number(query['cursor'] ?? 0)) || 0);
  for (let length = 0; at < files.length && items.length < limit && length < PAGE_BYTES;) {
    const some = files.slice(at, at + Math.min(TEXTS_AT_ONCE, limit - items.length));
    const texts = await store.configurationTexts([...new Set(some.map(({ digest }) => digest))]);
    for (const file of some) {
      const text = texts.get(file.digest) ?? '';
      items.push({ ...file, text });
      length += text.length;
    }
    at += some.length;
  }
  return { items, next: at < files.length ? String(at) : null };
};

// ---- how runs ended --------------------------------------------------------------------------------------------

export type Sum = {
  readonly total: number;
  readonly resolved: number;
  readonly unresolved: number;
  readonly stuck: number;
  readonly withdrawn: number;
  readonly underWay: number;
  /** Of those that were tried to their end; null when there were none. */
  readonly successShare: number | null;
  /** Milliseconds from the alert, and from the start of the run, to verified. */
  readonly fromAlertMs: Times | null;
  readonly fromStartMs: Times | null;
};
export type Times = { readonly mean: number; readonly median: number; readonly p95: number; readonly most: number };
export type RunsSummary = Sum & {
  readonly since: number;
  readonly component: string | null;
  /** There were more than were summed up. */
  readonly cut: boolean;
  readonly byStrategy: ReadonlyArray<Sum & { readonly component: string; readonly strategy: string }>;
  readonly byCause: Readonly<Record<string, number>>;
};

export const readRunsSummary = async (
  { store }: Pick<FiguresContext, 'store'>,
  { since, component }: { readonly since: number; readonly component: string | null },
): Promise<RunsSummary> => {
  const { rows, cut } = await newest(store, 'runs', component === null ? {} : { component }, since);
  const groups = grouped(rows, (run) => JSON.stringify([run.component, run.strategy]));
  const causes = new Map<string, number>();
  for (const { cause } of rows) if (cause !== null) causes.set(cause, (causes.get(cause) ?? 0) + 1);
  return {
    since,
    component,
    cut,
    ...sumOf(rows),
    byStrategy: [...groups.values()]
      .map((runs) => ({ component: runs[0]?.component ?? '', strategy: runs[0]?.strategy ?? '', ...sumOf(runs) }))
      .toSorted(
        (left, right) => left.component.localeCompare(right.component) || left.strategy.localeCompare(right.strategy),
      ),
    byCause: Object.fromEntries(causes),
  };
};

const grouped = <Key>(runs: readonly RunRow[], keyOf: (run: RunRow) => Key): ReadonlyMap<Key, readonly RunRow[]> => {
  const groups = new Map<Key, RunRow[]>();
  for (const run of runs) {
    const group = groups.get(keyOf(run));
    if (group === undefined) groups.set(keyOf(run), [run]);
    else group.push(run);
  }
  return groups;
};

const sumOf = (runs: readonly RunRow[]): Sum => {
  const count = (outcome: RunRow['outcome']): number => runs.filter((run) => run.outcome === outcome).length;
  const [resolved, unresolved, stuck] = [count('resolved'), count('unresolved'), count('stuck')];
  const tried = resolved + unresolved + stuck;
  const verified = runs.filter((run) => run.outcome === 'resolved' && run.verifiedAt !== null);
  const since = (from: (run: RunRow) => number | null): Times | null =>
    timesOf(
      verified.flatMap((run) => {
        const start = from(run);
        return start === null ? [] : [Math.max(0, (run.verifiedAt ?? 0) - start)];
      }),
    );
  return {
    total: runs.length,
    resolved,
    unresolved,
    stuck,
    withdrawn: count('withdrawn'),
    underWay: count(null),
    successShare: tried === 0 ? null : resolved / tried,
    fromAlertMs: since((run) => run.alertStartedAt),
    fromStartMs: since((run) => run.startedAt),
  };
};

const timesOf = (given: readonly number[]): Times | null => {
  if (given.length === 0) return null;
  const sorted = given.toSorted((left, right) => left - right);
  const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.ceil(sorted.length * share) - 1)] ?? 0;
  const mean = Math.round(sorted.reduce((sum, one) => sum + one, 0) / sorted.length);
  return { mean, median: at(0.5), p95: at(0.95), most: sorted.at(-1) ?? 0 };
};

// ---- day by day ------------------------------------------------------------------------------------------------

const DAY_MS = 86_400_000;
const COUNTED = ['alerts', 'episodes', 'decisions', 'inbox', 'outbox', 'audit'] as const;
export type Day = {
  /** `2026-01-31`, UTC. */
  readonly day: string;
  readonly alerts: number;
  readonly episodes: number;
  readonly decisions: number;
  /** Entries for people. */
  readonly inbox: number;
  /** Messages to people. */
  readonly notifications: number;
  readonly audit: number;
  readonly runs: Pick<Sum, 'total' | 'resolved' | 'unresolved' | 'stuck' | 'withdrawn' | 'underWay'>;
};

/** Newest day first. Days that are over are counted once: nothing is added to them. */
export const createUsage = ({ store, clock }: { readonly store: Store; readonly clock: Pick<Clock, 'now'> }) => {
  const known = new Map<number, Readonly<Record<(typeof COUNTED)[number], number>>>();
  const countDay = async (start: number): Promise<Readonly<Record<(typeof COUNTED)[number], number>>> => {
    const before = known.get(start);
    if (before !== undefined) return before;
    const counts = { alerts: 0, episodes: 0, decisions: 0, inbox: 0, outbox: 0, audit: 0 };
    for (const kind of COUNTED) counts[kind] = await store.count(kind, start, start + DAY_MS);
    if (start + DAY_MS < clock.now() - DAY_MS) known.set(start, counts);
    if (known.size > 400) known.clear();
    return counts;
  };
  return async (days: number): Promise<readonly Day[]> => {
    const today = Math.floor(clock.now() / DAY_MS) * DAY_MS;
    const { rows } = await newest(store, 'runs', {}, today - (days - 1) * DAY_MS, MOST_SUMMED * 3);
    const runs = grouped(rows, (run) => Math.floor(run.createdAt / DAY_MS) * DAY_MS);
    const answer: Day[] = [];
    for (let back = 0; back < days; back += 1) {
      const start = today - back * DAY_MS;
      const { outbox, ...counts } = await countDay(start);
      const { total, resolved, unresolved, stuck, withdrawn, underWay } = sumOf(runs.get(start) ?? []);
      answer.push({
        day: rfc3339(start).slice(0, 10),
        ...counts,
        notifications: outbox,
        runs: { total, resolved, unresolved, stuck, withdrawn, underWay },
      });
    }
    return answer;
  };
};

// ---- the draft of a post-mortem --------------------------------------------------------------------------------

const MOST_RUNS = 50;
const MOST_ROWS = 300;

/** Of an episode, or of a run and, where it has one, its episode. Null when there is neither by that id. */
export const readPostmortem = async (
  { store, clock, loaded }: FiguresContext,
  id: string,
): Promise<Postmortem | null> => {
  const asked = await store.run(id);
  const episode = await store.episode(asked?.run.episodeId ?? (asked === null ? id : ''));
  if (asked === null && episode === null) return null;
  const ofEpisode =
    episode === null ? [] : (await newest(store, 'runs', { episodeId: episode.id }, null, MOST_RUNS)).rows;
  const ids = [...new Set([...ofEpisode.map((run) => run.id), ...(asked === null ? [] : [asked.run.id])])];
  const runs = (await Promise.all(ids.map((runId) => store.run(runId)))).filter((run) => run !== null);
  runs.sort((left, right) => left.run.createdAt - right.run.createdAt);
  const since = Math.min(episode?.openedAt ?? Infinity, ...runs.map(({ run }) => run.createdAt));
  const own = new Set(ids);
  const rowsOf = async <K extends 'inbox' | 'outbox'>(kind: K): Promise<readonly Rows[K][]> =>
    (await Promise.all(ids.map((runId) => newest(store, kind, { runId }, null, MOST_ROWS)))).flatMap(
      ({ rows }) => rows,
    );
  const [decisions, inbox, inboxOfEpisode, told, audit] = await Promise.all([
    episode === null
      ? []
      : newest(store, 'decisions', { episodeId: episode.id }, null, MOST_ROWS).then(({ rows }) => rows),
    rowsOf('inbox'),
    episode === null ? [] : newest(store, 'inbox', { episodeId: episode.id }, null, MOST_ROWS).then(({ rows }) => rows),
    rowsOf('outbox'),
    newest(store, 'audit', {}, since).then(({ rows }) => rows),
  ]);
  const entries = new Map([...inbox, ...inboxOfEpisode].map((entry) => [entry.id, entry]));
  return draftPostmortem({
    episode,
    runs,
    decisions: decisions.filter(({ reason }) => reason !== 'duplicate'),
    inbox: [...entries.values()],
    audit: audit
      .filter(
        ({ subject, detail }) =>
          own.has(subject) ||
          (typeof detail['run_id'] === 'string' && own.has(detail['run_id'])) ||
          entries.has(subject),
      )
      .toReversed(),
    told,
    modes: loaded().config.degradedModes,
    now: clock.now(),
  });
};
