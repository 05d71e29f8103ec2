// What is on record, as it is read: a row of each kind, a page of them, and what they add up to.
import type { EpisodeChange, EpisodeState } from '../alert/episode.ts';
import type { AlertStatus, Labels } from '../alert/alert.ts';
import type { JsonObject } from '../base/json.ts';
import type { Outcome, OutcomeCause } from '../run/events.ts';
import type { Demotion, Disabled, Halt } from '../run/history.ts';
import type { Origin, Reason } from '../run/reasons.ts';
import type { InboxKind } from '../run/writes.ts';

export type EpisodeRow = {
  readonly id: string;
  readonly key: string;
  readonly source: string;
  readonly state: EpisodeState;
  readonly component: string | null;
  readonly kind: string | null;
  readonly target: string | null;
  readonly labels: Labels;
  readonly annotations: Labels;
  readonly startsAt: number;
  readonly openedAt: number;
  readonly lastFiringAt: number;
  readonly resolvedAt: number | null;
  readonly closedAt: number | null;
  readonly firings: number;
  readonly hadRun: boolean;
  readonly exhausted: boolean;
  readonly nextEvaluationAt: number | null;
  readonly backoff: number;
  readonly catalogDigest: string | null;
};

export type DecisionRow = {
  readonly id: string;
  readonly at: number;
  readonly origin: Origin;
  readonly reason: Reason;
  readonly caller: string | null;
  readonly alertId: string | null;
  readonly deliveryId: string | null;
  readonly episodeId: string | null;
  readonly component: string | null;
  readonly target: string | null;
  readonly rule: string | null;
  readonly strategy: string | null;
  readonly runId: string | null;
  /** `record` of the request, with `verdicts` (a list for each wish) and `now` put in. */
  readonly record: JsonObject;
};

export type RunState = 'awaiting_approval' | 'queued' | 'running' | 'verifying' | 'undoing' | 'done';

export type RunRow = {
  readonly id: string;
  readonly decisionId: string;
  readonly episodeId: string | null;
  readonly component: string;
  readonly kind: string;
  readonly target: string;
  readonly strategy: string;
  readonly rule: string | null;
  readonly state: RunState;
  readonly outcome: Outcome | null;
  readonly cause: OutcomeCause | null;
  readonly createdAt: number;
  readonly notBefore: number;
  readonly startedAt: number | null;
  readonly firstStepAt: number | null;
  readonly verifiedAt: number | null;
  readonly endedAt: number | null;
  readonly settleUntil: number | null;
  readonly alertStartedAt: number | null;
  /** Workers that took it over after a crash. */
  readonly recoveries: number;
  readonly leaseOwner: string | null;
  readonly fence: number;
};

export type InboxRow = {
  readonly id: string;
  readonly at: number;
  readonly kind: InboxKind;
  /** What it is about, where one open entry is enough: `storm:cache`, `clock`. */
  readonly dedup: string | null;
  readonly status: 'open' | 'closed';
  readonly severity: string | null;
  readonly component: string | null;
  readonly target: string | null;
  readonly runId: string | null;
  readonly episodeId: string | null;
  readonly title: string;
  readonly body: JsonObject;
  readonly count: number;
  readonly closedAt: number | null;
  readonly closedBy: string | null;
  readonly comment: string | null;
};

export type DegradedRow = {
  readonly mode: string;
  readonly component: string;
  readonly target: string;
  readonly runId: string | null;
  readonly since: number;
};

export type AuditRow = {
  readonly seq: number;
  readonly at: number;
  readonly actor: string;
  readonly action: string;
  readonly subject: string;
  readonly detail: JsonObject;
  readonly prev: string;
  readonly hash: string;
};

export type OutboxRow = {
  readonly id: string;
  readonly at: number;
  readonly topic: string;
  readonly receiver: string | null;
  readonly severity: string | null;
  readonly component: string | null;
  readonly target: string | null;
  readonly runId: string | null;
  readonly title: string;
  readonly body: string;
  readonly status: 'pending' | 'sent' | 'dead';
  readonly tries: number;
  readonly nextAt: number;
  readonly error: string | null;
};

export type AlertRow = {
  readonly id: string;
  readonly deliveryId: string;
  readonly index: number;
  readonly at: number;
  readonly status: AlertStatus | null;
  readonly episodeId: string | null;
  readonly change: EpisodeChange;
  readonly decided: boolean;
};

export type DeliveryRow = {
  readonly id: string;
  readonly at: number;
  readonly source: string;
  readonly body: Buffer;
  readonly groupSize: number;
  readonly traceparent: string | null;
};

export type Rows = {
  alerts: AlertRow;
  episodes: EpisodeRow;
  decisions: DecisionRow;
  runs: RunRow;
  inbox: InboxRow;
  audit: AuditRow;
  outbox: OutboxRow;
};

export type Page<T> = { readonly items: readonly T[]; readonly next: string | null };

/** Newest first. Filters compare columns by name (camel case) for equality; `since` is a lower bound of the row's time. */
export type ListQuery = {
  readonly limit: number;
  readonly cursor: string | null;
  readonly filters: Readonly<Record<string, string>>;
  readonly since: number | null;
};

export type Controls = {
  /** `max(wall, highest stored)`: what the store takes as the time. */
  readonly now: number;
  readonly halt: Halt;
  readonly components: ReadonlyMap<string, Disabled>;
  readonly rules: ReadonlyMap<string, Disabled>;
  /** Of rules, by name. */
  readonly demotions: ReadonlyMap<string, Demotion>;
  /** A start with an accepted empty history forgot what was done: until then by approval only. */
  readonly approvalOnlyUntil: number | null;
  /** After a jump of the wall clock, else null. */
  readonly clockSuspectUntil: number | null;
};

/** Counters for /metrics that have to survive a restart or that only the store knows. */
export type StoreFigures = {
  readonly undecided: number;
  readonly oldestUndecidedAt: number | null;
  readonly outboxDepth: number;
  readonly oldestOutboxAt: number | null;
  readonly approvalsWaiting: number;
  readonly openEpisodes: number;
  readonly inboxOpen: number;
  /** Entries of the inbox that ask a human to act, by component; `*`: of no single one. At 0 once all are closed. */
  readonly openEscalations: ReadonlyArray<{ readonly component: string; readonly open: number }>;
  /** Components that too many targets fail of at once; `*` stands for several components. */
  readonly storms: readonly string[];
  readonly bytes: number;
  /** When the oldest delivery that is kept came in; null: none is. */
  readonly oldestDeliveryAt: number | null;
  /** Of the audit, what stands in archive files. */
  readonly archived: { readonly files: number; readonly rows: number; readonly bytes: number };
};

export const FILE_KINDS = ['config', 'inventory', 'rule', 'runbook', 'condition'] as const;

/** A file of a configuration; `digest` is of its text as it is kept, secrets taken out. */
export type KeptFile = { readonly kind: (typeof FILE_KINDS)[number]; readonly file: string; readonly digest: string };

/** A configuration that became active: its digests as decisions name them, and all of its files. */
export type NewConfiguration = {
  /** When it began to count, milliseconds UTC. */
  readonly at: number;
  readonly catalog: string;
  readonly config: string;
  readonly revision: string | null;
  /** The mode that everything inherits, wherever it was said. */
  readonly mode: string;
  readonly files: readonly KeptFile[];
};

/** `id` counts up. */
export type Configuration = NewConfiguration & { readonly id: number };
