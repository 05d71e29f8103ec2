// The feed behind the event stream. Commits are noticed at the store, and only while somebody listens is it read what
// they changed; what was before is read from the record.
import type { Clock } from '../base/clock.ts';
import type { Log } from '../base/log.ts';
import type { EpisodeChange } from '../alert/episode.ts';
import type { Received, Store } from '../port/store.ts';
import { auditChange, episodeChange, inOrder, inboxChange, runChanges, timeOfId } from './change.ts';
import type { Change, EpisodeStep } from './change.ts';

/** `missed` counts changes that are not told one by one: too many at once, or the store could not be read. */
export type Batch = { readonly changes: readonly Change[]; readonly missed: number };
export type Changes = {
  /** The same store; every commit is noticed. */
  watched(store: Store): Store;
  /** Gives back how to hear no more. */
  listen(listener: (batch: Batch) => void): () => void;
  /** The last `most` on record; with `after`, what came after that change, and up to a second before it again. `cut`: there was more. */
  replay(query: Replay): Promise<{ readonly changes: readonly Change[]; readonly cut: boolean }>;
};

export type Replay = { readonly most: number; readonly after: string | null };

/** Commits within it are told together. */
const GATHER_MS = 50;
const MOST_EPISODES = 2_000;
const MOST_RUNS_KNOWN = 1_000;
const OPEN_ENTRIES = 1_000;
/** Rows of a kind that a replay is made of. */
const REPLAYED = 200;
export const MOST_REPLAYED = 500;
/** Commits of one moment may be told in another order than that of their times. */
const OVERLAP_MS = 1_000;

const STEPS: Partial<Readonly<Record<EpisodeChange, EpisodeStep>>> = {
  opened: 'opened',
  reopened: 'reopened',
  resolved: 'quiet',
};

const page = (limit: number, filters: Readonly<Record<string, string>> = {}) => ({
  limit,
  cursor: null,
  filters,
  since: null,
});

type Touched = { readonly runs: Set<string>; readonly episodes: Map<string, Set<EpisodeStep>>; missed: number };
const nothing = (): Touched => ({ runs: new Set(), episodes: new Map(), missed: 0 });

export const createChanges = ({ clock, log }: { readonly clock: Clock; readonly log: Log }): Changes => {
  const listeners = new Set<(batch: Batch) => void>();
  let store: Store | null = null;
  let touched = nothing();
  let look: Look | null = null;
  let looking: Promise<void> | null = null;
  let due = false;

  const told = (): Store => {
    if (store === null) throw new Error('changes are asked for before there is a store');
    return store;
  };
  const turn = async (): Promise<void> => {
    while (due && look !== null) {
      due = false;
      await new Promise<void>((resolve) => void clock.after(GATHER_MS, resolve));
      const [taken, current] = [touched, look];
      touched = nothing();
      try {
        const changes = await current.changes(taken);
        if (changes.length > 0 || taken.missed > 0)
          for (const listener of listeners) listener({ changes, missed: taken.missed });
      } catch (error) {
        log.warn({ error }, 'changes could not be read; who listens is told that some were missed');
        for (const listener of listeners) listener({ changes: [], missed: Math.max(1, taken.missed) });
      }
    }
  };
  const wake = (): void => {
    if (listeners.size === 0) return;
    due = true;
    looking ??= turn().finally(() => {
      looking = null;
      if (due) wake();
    });
  };
  const touchEpisode = (id: string, step: EpisodeStep): void => {
    if (!touched.episodes.has(id) && touched.episodes.size >= MOST_EPISODES) touched.missed += 1;
    else touched.episodes.set(id, (touched.episodes.get(id) ?? new Set()).add(step));
  };

  return {
    watched(inner) {
      store = inner;
      return watchedStore(inner, {
        idle: () => listeners.size === 0,
        run: (id) => void touched.runs.add(id),
        episode: touchEpisode,
        wake,
      });
    },
    listen(listener) {
      if (listeners.size === 0) {
        touched = nothing();
        look = createLook(told(), clock.now());
      }
      listeners.add(listener);
      return () => {
        listeners.delete(listener);
        if (listeners.size > 0) return;
        look = null;
        touched = nothing();
      };
    },
    replay: (query) => readReplay(told(), query),
  };
};

type Noticing = {
  /** Nobody listens: nothing has to be noted. */
  idle(): boolean;
  run(id: string): void;
  episode(id: string, step: EpisodeStep): void;
  wake(): void;
};

const watchedStore = (store: Store, notice: Noticing): Store => {
  const noted = async <T>(work: Promise<T>, note: (result: T) => void): Promise<T> => {
    const result = await work;
    if (!notice.idle()) {
      note(result);
      notice.wake();
    }
    return result;
  };
  const received = (answer: readonly (readonly Received[])[]): void => {
    for (const { episodeId, change } of answer.flat()) {
      const step = STEPS[change];
      if (episodeId !== null && step !== undefined) notice.episode(episodeId, step);
    }
  };
  const verbs: Partial<Store> = {
    receive: (deliveries) => noted(store.receive(deliveries), received),
    decide: (requests, now, admit, taker) =>
      noted(store.decide(requests, now, admit, taker), (decided) => {
        for (const one of decided) {
          if (one.type === 'decided' && one.runId !== null) notice.run(one.runId);
          if (one.type === 'decided' && one.claimed !== undefined) notice.run(one.claimed.view.run.id);
        }
      }),
    async claim(owner, now, leaseMs) {
      const claimed = await store.claim(owner, now, leaseMs);
      // Most polls find nothing.
      if (claimed !== null && !notice.idle()) {
        notice.run(claimed.view.run.id);
        notice.wake();
      }
      return claimed;
    },
    changeRun: (id, lease, now, change) => noted(store.changeRun(id, lease, now, change), () => notice.run(id)),
    extendRun: (id, lease, now, change) => noted(store.extendRun(id, lease, now, change), () => notice.run(id)),
    sweepEpisodes: (now, holdOf, ttlOf) =>
      noted(store.sweepEpisodes(now, holdOf, ttlOf), ({ closed, expired }) => {
        for (const id of closed) notice.episode(id, 'closed');
        for (const id of expired) notice.episode(id, 'quiet');
      }),
    write: (writes, now) => noted(store.write(writes, now), () => undefined),
  };
  const watched = Object.create(store) as Store;
  for (const [name, value] of Object.entries(verbs)) Object.defineProperty(watched, name, { value });
  return watched;
};

type Look = { changes(touched: Touched): Promise<readonly Change[]> };

/** Knows what was told already: nothing that was before `since`. */
const createLook = (store: Store, since: number): Look => {
  const seen = new Map<string, number>();
  let audited = 0;
  let open: ReadonlySet<string> = new Set();

  const begin = async (): Promise<void> => {
    const [audit, entries] = await Promise.all([
      store.list('audit', page(REPLAYED)),
      store.list('inbox', page(OPEN_ENTRIES, { status: 'open' })),
    ]);
    // What was committed between the first listener and here is still told.
    audited = audit.items.find(({ at }) => at < since)?.seq ?? 0;
    open = new Set(entries.items.filter(({ at }) => at < since).map(({ id }) => id));
  };
  let begun: Promise<void> | null = null;
  /** Once, and again after a store that did not answer. */
  const ready = (): Promise<void> => {
    begun ??= begin().catch((error: unknown) => {
      begun = null;
      throw error;
    });
    return begun;
  };
  void ready().catch(() => undefined);

  const runs = async (ids: ReadonlySet<string>): Promise<readonly Change[]> => {
    const changes: Change[] = [];
    for (const id of ids) {
      const found = await store.run(id);
      if (found === null) continue;
      const before = seen.get(id);
      const fresh = runChanges(found, before ?? found.events.filter(({ at }) => at < since).length);
      changes.push(...fresh);
      seen.delete(id);
      seen.set(id, found.events.length);
      if (seen.size > MOST_RUNS_KNOWN) seen.delete(seen.keys().next().value as string);
    }
    return changes;
  };
  const episodes = async (steps: Touched['episodes']): Promise<readonly Change[]> => {
    if (steps.size === 0) return [];
    const rows = await store.episodesById([...steps.keys()]);
    return [...steps].flatMap(([id, names]) => {
      const row = rows.get(id);
      return row === undefined ? [] : [...names].flatMap((step) => episodeChange(row, step) ?? []);
    });
  };
  const audit = async (): Promise<readonly Change[]> => {
    const after = audited;
    const { items } = await store.list('audit', page(REPLAYED));
    audited = Math.max(after, items[0]?.seq ?? 0);
    return items.filter(({ seq }) => seq > after).map(auditChange);
  };
  const inbox = async (): Promise<readonly Change[]> => {
    const before = open;
    const { items, next } = await store.list('inbox', page(OPEN_ENTRIES, { status: 'open' }));
    const now = new Set(items.map(({ id }) => id));
    const opened = items.filter(({ id }) => !before.has(id)).flatMap((entry) => inboxChange(entry, 'opened') ?? []);
    const gone = next === null ? [...before].filter((id) => !now.has(id)) : [];
    const closed = await Promise.all(gone.map((id) => store.inbox(id)));
    open = now;
    return [
      ...opened,
      ...closed.flatMap((entry) => (entry?.status === 'closed' ? (inboxChange(entry, 'closed') ?? []) : [])),
    ];
  };
  return {
    async changes(touched) {
      await ready();
      const found = [
        ...(await runs(touched.runs)),
        ...(await episodes(touched.episodes)),
        ...(await audit()),
        ...(await inbox()),
      ];
      return found.toSorted(inOrder);
    },
  };
};

const readReplay = async (store: Store, { most, after }: Replay): ReturnType<Changes['replay']> => {
  const from = after === null ? null : timeOfId(after);
  const wanted = from === null ? Math.min(most, MOST_REPLAYED) : MOST_REPLAYED;
  if (wanted === 0) return { changes: [], cut: false };
  const rows = Math.min(REPLAYED, wanted);
  const [active, runs, episodes, inbox, audit] = await Promise.all([
    store.activeRuns(),
    store.list('runs', page(rows)),
    store.list('episodes', page(rows)),
    store.list('inbox', page(rows)),
    store.list('audit', page(wanted)),
  ]);
  const changes: Change[] = [
    ...audit.items.map(auditChange),
    ...inbox.items.flatMap((entry) => (['opened', 'closed'] as const).flatMap((how) => inboxChange(entry, how) ?? [])),
    ...episodes.items.flatMap((row) =>
      (['opened', 'quiet', 'closed'] as const).flatMap((step) => episodeChange(row, step) ?? []),
    ),
  ];
  for (const id of new Set([...active, ...runs.items].map((run) => run.id))) {
    const found = await store.run(id);
    if (found !== null) changes.push(...runChanges(found));
  }
  const ordered = changes
    .filter(({ id, at }) => from === null || (at >= from - OVERLAP_MS && id !== after))
    .toSorted(inOrder);
  return { changes: ordered.slice(-wanted), cut: from !== null && ordered.length > wanted };
};
