// The seam to what is remembered. Every verb is one domain act and one whole transaction; decisions inside it are pure
// functions that are handed in, and take `now` from the history they are given.
import type { EpisodeChange } from '../alert/episode.ts';
import type { AlertStatus, Labels } from '../alert/alert.ts';
import type { JsonObject } from '../base/json.ts';
import type { Admission } from '../run/admission.ts';
import type { Verdict } from '../run/guards.ts';
import type { RunEvent, StoredEvent } from '../run/events.ts';
import type { Attempt, Demotion, History, Ledger } from '../run/history.ts';
import type { Plan } from '../run/plan.ts';
import type { Present } from '../run/present.ts';
import type { Origin, Reason } from '../run/reasons.ts';
import type { Write } from '../run/writes.ts';
import type {
  AlertRow,
  Configuration,
  Controls,
  DecisionRow,
  DegradedRow,
  DeliveryRow,
  EpisodeRow,
  InboxRow,
  ListQuery,
  NewConfiguration,
  OutboxRow,
  Page,
  Rows,
  RunRow,
  StoreFigures,
} from './record.ts';

// ---- receiving -------------------------------------------------------------------------------------------------

/** One entry, ready to be kept. `key` is null for an invalid one. */
export type NewAlert = {
  readonly id: string;
  readonly index: number;
  readonly status: AlertStatus | null;
  readonly key: string | null;
  readonly labels: Labels | null;
  readonly annotations: Labels | null;
  readonly startsAt: number | null;
  readonly component: string | null;
  readonly kind: string | null;
  readonly target: string | null;
  readonly resolveHold: number;
};

export type NewDelivery = {
  readonly id: string;
  readonly at: number;
  readonly source: string;
  /** The body as it came, for replay. */
  readonly body: Buffer;
  readonly groupSize: number;
  readonly truncatedAlerts: number;
  readonly unknownFields: number;
  /** The trace it came in with (W3C). */
  readonly traceparent?: string | null;
  readonly alerts: readonly NewAlert[];
};

/** What the receiving transaction made of an alert. */
export type Received = { readonly alertId: string; readonly episodeId: string | null; readonly change: EpisodeChange };

/** An alert that has no decision yet; the body is parsed again by the reader. */
export type Undecided = {
  readonly alertId: string;
  readonly deliveryId: string;
  readonly index: number;
  readonly receivedAt: number;
  readonly source: string;
  readonly traceparent?: string | null;
  readonly change: EpisodeChange;
  readonly episodeId: string | null;
  readonly body: Buffer;
};

// ---- deciding --------------------------------------------------------------------------------------------------

/** What facts are read from. Attempts are of all ledgers, not given back, since `since`. */
export type Snapshot = {
  readonly version: number;
  readonly attempts: readonly Attempt[];
  /** Targets of the component with an episode in state `firing`. */
  readonly firingTargets: number;
  readonly degraded: readonly string[];
  /** Of rules, by name. */
  readonly demotions?: ReadonlyMap<string, Demotion>;
};

export type SnapshotQuery = { readonly component: string | null; readonly since: number };

/** One rule's wish to act; the wishes of shadow rules come first, the winner's last. */
export type Wish = {
  readonly plan: Plan;
  readonly ledger: Ledger;
  /** Null: not asked yet; admission says when it has to be. */ readonly present: Present | null;
};

export type HistoryQuery = {
  readonly component: string;
  readonly kind: string;
  readonly target: string;
  readonly rule: string | null;
  readonly strategy: string;
  readonly episodeId: string | null;
  readonly ledger: Ledger;
  /** How far back it is asked what began to fire, milliseconds. */
  readonly stormWindow: number;
  readonly componentsWindow: number;
  /** How far back attempts and budget are needed, milliseconds. */
  readonly window: number;
};

export type StormQuery = Pick<HistoryQuery, 'component' | 'stormWindow' | 'componentsWindow'>;

export type DecisionRequest = {
  readonly id: string;
  readonly at: number;
  readonly origin: Origin;
  /** Of a manual one: who asked. */
  readonly caller: string | null;
  readonly alertId: string | null;
  readonly deliveryId: string | null;
  readonly episodeId: string | null;
  readonly component: string | null;
  readonly kind: string | null;
  readonly target: string | null;
  readonly rule: string | null;
  readonly strategy: string | null;
  /** Settled without admission (`no_match`, `duplicate`, `observed`, ...), or null when `wishes` decide. */
  readonly reason: Reason | null;
  readonly wishes: readonly Wish[];
  readonly historyQueries: readonly HistoryQuery[];
  /** The version of the component's history that the facts were read at; null: no facts depended on it. */
  readonly version: number | null;
  /** Facts, candidates, conditions, digests: all that explains it and lets it be decided again. */
  readonly record: JsonObject;
  /** Committed with it in any case. */
  readonly writes: readonly Write[];
};

export type Decided =
  | {
      readonly type: 'decided';
      readonly reason: Reason;
      readonly runId: string | null;
      readonly retryAt: number | null;
      readonly verdicts: readonly Verdict[];
      /** What the taker took up with it: the run that was admitted, or one that waited longer. */
      readonly claimed?: Claimed;
    }
  /** The component's history moved on since the facts were read, or the admission needs to know the present: decide again. */
  | { readonly type: 'changed' };

/** Called once a wish, inside the transaction; must be pure and synchronous. `request` is the one the wish belongs to. */
export type Admit = (wish: Wish, history: History, request: DecisionRequest) => Admission | null;

// ---- running ---------------------------------------------------------------------------------------------------

/** A verified run that is watched until its alert has stayed quiet for its hold. Times in milliseconds. */
export type SettlingRun = Pick<RunRow, 'id' | 'component' | 'kind' | 'target' | 'strategy' | 'rule' | 'episodeId'> & {
  readonly verifiedAt: number;
  readonly settleUntil: number;
};

/** What the fold of the events says, kept beside them for queries. */
export type Projection = Pick<
  RunRow,
  'state' | 'outcome' | 'cause' | 'notBefore' | 'startedAt' | 'firstStepAt' | 'verifiedAt' | 'endedAt' | 'settleUntil'
>;

export type RunView = {
  readonly run: RunRow;
  readonly plan: Plan;
  readonly events: readonly StoredEvent[];
  readonly now: number;
  readonly history: History;
};

/** A run without the past of its component. */
export type RunAlone = Omit<RunView, 'history'>;

/** `release` gives the lease back (while a human is asked, and at the end). */
export type RunChange<T> = {
  readonly events: readonly RunEvent[];
  readonly projection: Projection | null;
  readonly writes: readonly Write[];
  readonly release: boolean;
  readonly answer: T;
};

export type Claimed = { readonly lease: Lease; readonly view: RunAlone };
/** A worker that is free: the run that is next is its own as soon as it is admitted. */
export type Taker = { readonly owner: string; readonly leaseMs: number };

export type Lease = { readonly owner: string; readonly fence: number; readonly until: number };

/** What one call did: a file was written and sealed, some of its rows left the table, nothing was due, or a row or a file is not as it was written. */
export type ArchiveSlice =
  | { readonly did: 'nothing' }
  | { readonly did: 'sealed'; readonly file: string; readonly first: number; readonly last: number }
  | { readonly did: 'removed'; readonly rows: number }
  | { readonly did: 'refused'; readonly problem: string };

export class StoreUnavailable extends Error {
  override readonly name = 'StoreUnavailable';
}

export type Store = {
  /** Group commit: everything handed in shares one transaction. Resolves after the commit; throws StoreUnavailable. */
  receive(deliveries: readonly NewDelivery[]): Promise<readonly (readonly Received[])[]>;
  /** Oldest first, by order of receiving. */
  undecided(limit: number): Promise<readonly Undecided[]>;
  episode(id: string): Promise<EpisodeRow | null>;
  episodesById(ids: readonly string[]): Promise<ReadonlyMap<string, EpisodeRow>>;
  /** Open episodes without a run under way whose `nextEvaluationAt` has come. */
  dueEpisodes(now: number, limit: number): Promise<readonly EpisodeRow[]>;
  snapshot(query: SnapshotQuery): Promise<Snapshot>;
  /** One transaction for all of them, in the order given. A decision on an alert also marks it decided; a second one of origin `delivery` on it is not written. */
  decide(
    requests: readonly DecisionRequest[],
    now: number,
    admit: Admit,
    taker?: Taker | null,
  ): Promise<readonly Decided[]>;

  /** The next run that may be worked on: queued and due (oldest first), or under way with a lease that has ended. Null: none. */
  claim(owner: string, now: number, leaseMs: number): Promise<Claimed | null>;
  renew(runId: string, lease: Lease, now: number, leaseMs: number): Promise<Lease>;
  /** Reads a run, asks the pure `change`, writes what it answers. With a lease: throws LeaseLost when the fence moved on. Null from `change`: nothing is written, and null comes back. */
  changeRun<T>(
    runId: string,
    lease: Lease | null,
    now: number,
    change: (view: RunView) => RunChange<T> | null,
  ): Promise<T | null>;
  /** The same for what depends on the run alone: its component's past, a dozen look-ups, is not read. */
  extendRun<T>(
    runId: string,
    lease: Lease | null,
    now: number,
    change: (view: RunAlone) => RunChange<T> | null,
  ): Promise<T | null>;
  run(
    id: string,
  ): Promise<{ readonly run: RunRow; readonly plan: Plan; readonly events: readonly StoredEvent[] } | null>;
  activeRuns(): Promise<readonly RunRow[]>;
  /** Done, resolved and still watched: on one of these targets, of whatever kind, or of one of these episodes. */
  settlingRuns(near: {
    readonly targets: readonly string[];
    readonly episodes: readonly string[];
  }): Promise<readonly SettlingRun[]>;
  /** Done, resolved, and watched for as long as it was to be. */
  settledRuns(now: number): Promise<readonly SettlingRun[]>;
  /** A verified run is watched no longer. */
  endSettling(runId: string): Promise<void>;
  attempts(query: {
    readonly component: string | null;
    readonly ledger: Ledger;
    readonly since: number;
  }): Promise<readonly Attempt[]>;

  /** What each breaker is judged by: the live, ended attempts since a human last closed it, oldest first, the last 50. */
  breakerAttempts(
    of: ReadonlyArray<{ readonly component: string; readonly strategy: string }>,
  ): Promise<readonly (readonly Attempt[])[]>;
  /** What has begun to fire lately, as admission sees it. */
  storm(query: StormQuery, now: number): Promise<History['storm']>;

  /** Closes episodes that have been quiet for the hold of their component, and resolves those without a firing entry for `ttl`. Returns the ids of both. */
  sweepEpisodes(
    now: number,
    holdOf: (component: string | null) => number,
    ttlOf: (component: string | null) => number,
  ): Promise<{ readonly closed: readonly string[]; readonly expired: readonly string[] }>;

  /** Writes that belong to no run and no decision: controls, inbox, degraded modes, audit. */
  write(writes: readonly Write[], now: number): Promise<void>;
  controls(): Promise<Controls>;
  list<K extends keyof Rows>(kind: K, query: ListQuery): Promise<Page<Rows[K]>>;
  /** Rows whose time is from `from` to before `to`. */
  count(kind: keyof Rows, from: number, to: number): Promise<number>;
  decision(id: string): Promise<DecisionRow | null>;
  alert(id: string): Promise<AlertRow | null>;
  delivery(id: string): Promise<DeliveryRow | null>;
  /** The trace that the newest delivery about the episode came in (W3C); null: in none. No body is read for it. */
  traceOf(episodeId: string): Promise<string | null>;
  inbox(id: string): Promise<InboxRow | null>;
  degraded(): Promise<readonly DegradedRow[]>;
  outboxDue(now: number, limit: number): Promise<readonly OutboxRow[]>;
  outboxDone(
    id: string,
    now: number,
    result: { readonly sent: true } | { readonly sent: false; readonly error: string; readonly nextAt: number | null },
  ): Promise<void>;
  figures(): Promise<StoreFigures>;
  /** Remembers what became active; nothing is written when that is active already. `textOf` is asked for the texts that are not kept yet. */
  keepConfiguration(given: NewConfiguration, textOf: (digest: string) => string): Promise<void>;
  /** Oldest first: the one that was active at `since` (null: the first that is kept), and all that became so later. */
  configurations(since: number | null): Promise<readonly Configuration[]>;
  configuration(id: number): Promise<Configuration | null>;
  /** By digest; those that are not kept are left out. */
  configurationTexts(digests: readonly string[]): Promise<ReadonlyMap<string, string>>;
  /** Deletes deliveries, alerts, decisions, messages, closed entries, incidents and replaced configurations older than `before`; never what is open, nor what a run needs. */
  prune(before: number, limit: number): Promise<number>;
  /** One slice of moving rows of the audit from before `before` into archive files; call it until it has nothing to do. */
  archiveAudit(given: { readonly before: number; readonly compress: boolean }, now: number): Promise<ArchiveSlice>;
  close(): Promise<void>;
};

export type { Admission, Verdict };
