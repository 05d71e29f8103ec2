// The tables as the query layer sees them: snake case, times in integer milliseconds UTC, flags as 0 and 1, JSON as text.
// The same for every dialect; a dialect only says how the columns are declared.
import type { Generated, Kysely, Selectable } from 'kysely';
import type { EpisodeChange, EpisodeState } from '../alert/episode.ts';
import type { AlertStatus } from '../alert/alert.ts';
import type { KeptFile, RunState } from '../port/record.ts';
import type { Mode } from '../rule/limits.ts';
import type { Outcome, OutcomeCause } from '../run/events.ts';
import type { Origin, Reason } from '../run/reasons.ts';
import type { InboxKind } from '../run/writes.ts';

type Flag = 0 | 1;
export type TallyName =
  | 'alerts_undecided'
  | 'outbox_pending'
  | 'runs_awaiting'
  | 'episodes_open'
  | 'inbox_open'
  | 'escalations_open'
  | 'storms_open'
  | 'archives'
  | 'archived_bytes';

export type Tables = {
  controls: {
    id: number;
    halt_on: Flag;
    halt_by: string;
    halt_reason: string;
    halt_at: number;
    /** When the last halt was lifted; null while it holds, or when there was none. */
    halt_until: number | null;
    halt_hard: Flag;
    /** The halts that are over, as JSON `[from, to]` pairs, as long as a run that is under way waited through them. */
    halt_spans: string;
    /** The latest time that anything was decided at; time never goes back behind it. */
    highest_now: number;
    /** After a start with an accepted empty history: until then nothing is admitted without a human. */
    empty_history_until: number | null;
    /** After a jump of the wall clock: until then a human decides. */
    clock_suspect_until: number | null;
  };
  deliveries: {
    id: string;
    at: number;
    source: string;
    body: Buffer;
    group_size: number;
    truncated_alerts: number;
    unknown_fields: number;
    traceparent: string | null;
  };
  alerts: {
    /** The order of receiving. */
    seq: Generated<number>;
    id: string;
    delivery_id: string;
    entry_index: number;
    at: number;
    status: AlertStatus | null;
    episode_id: string | null;
    change: EpisodeChange;
    decided: Flag;
  };
  episodes: {
    id: string;
    key: string;
    source: string;
    state: EpisodeState;
    component: string | null;
    kind: string | null;
    target: string | null;
    labels: string;
    annotations: string;
    starts_at: number;
    opened_at: number;
    last_firing_at: number;
    resolved_at: number | null;
    closed_at: number | null;
    firings: number;
    had_run: Flag;
    exhausted: Flag;
    next_evaluation_at: number | null;
    backoff: number;
    catalog_digest: string | null;
  };
  decisions: {
    id: string;
    at: number;
    origin: Origin;
    reason: Reason;
    caller: string | null;
    alert_id: string | null;
    delivery_id: string | null;
    episode_id: string | null;
    component: string | null;
    target: string | null;
    rule: string | null;
    strategy: string | null;
    run_id: string | null;
    record: string;
  };
  /** `version` moves with every change of a component's history. */
  components: { name: string; version: number };
  disabled: {
    scope: 'component' | 'rule';
    name: string;
    until: number | null;
    by: string;
    reason: string;
    since: number;
  };
  attempts: {
    id: string;
    ledger: string;
    run_id: string | null;
    episode_id: string | null;
    component: string;
    kind: string;
    target: string;
    strategy: string;
    rule: string | null;
    rung: number;
    at: number;
    ended_at: number | null;
    outcome: Outcome | null;
    cause: OutcomeCause | null;
    /** Given back: no mutating step began, it counts in no cap. */
    released_at: number | null;
    domain: string | null;
  };
  /** When a human last closed the breaker of a strategy. */
  breakers: { component: string; strategy: string; closed_at: number };
  demotions: { rule: string; mode: Mode; until: number | null; reason: string; since: number };
  runs: {
    id: string;
    decision_id: string;
    episode_id: string | null;
    component: string;
    kind: string;
    target: string;
    strategy: string;
    rule: string | null;
    state: RunState;
    outcome: Outcome | null;
    cause: OutcomeCause | null;
    created_at: number;
    not_before: number;
    started_at: number | null;
    first_step_at: number | null;
    verified_at: number | null;
    ended_at: number | null;
    settle_until: number | null;
    settle_ended: Flag;
    alert_started_at: number | null;
    recoveries: number;
    lease_owner: string | null;
    lease_until: number | null;
    fence: number;
    plan: string;
  };
  run_events: { run_id: string; seq: number; at: number; type: string; event: string };
  degraded: { mode: string; component: string; target: string; run_id: string | null; since: number };
  inbox: {
    id: string;
    at: number;
    kind: InboxKind;
    status: 'open' | 'closed';
    dedup: string | null;
    severity: string | null;
    component: string | null;
    target: string | null;
    run_id: string | null;
    episode_id: string | null;
    title: string;
    body: string;
    count: number;
    closed_at: number | null;
    closed_by: string | null;
    comment: string | null;
  };
  outbox: {
    seq: Generated<number>;
    id: string;
    at: number;
    topic: string;
    receiver: string | null;
    severity: string | null;
    component: string | null;
    target: string | null;
    run_id: string | null;
    title: string;
    body: string;
    status: 'pending' | 'sent' | 'dead';
    tries: number;
    next_at: number;
    error: string | null;
  };
  audit: {
    seq: number;
    at: number;
    actor: string;
    action: string;
    subject: string;
    detail: string;
    prev: string;
    hash: string;
  };
  /** One for each archive file; `seal_seq` is the row of the audit that says the same. */
  audit_seals: {
    last_seq: number;
    first_seq: number;
    last_hash: string;
    file: string;
    /** SHA-256 of the file as it lies on the disk, `sha256:<hex>`. */
    digest: string;
    bytes: number;
    seal_seq: number;
  };
  /** Each configuration that became active, in order. */
  configurations: {
    id: Generated<number>;
    at: number;
    catalog: string;
    config: string;
    revision: string | null;
    mode: string;
    /** SHA-256 of the list of its files. */
    files: string;
  };
  configuration_files: {
    configuration_id: number;
    place: number;
    kind: KeptFile['kind'];
    file: string;
    digest: string;
  };
  /** Each text once, however many configurations have it. */
  configuration_texts: { digest: string; text: string };
  /** Kept by triggers and by `tally.ts`: how many rows are open, in all (`part` is `*`) or for each component. */
  tallies: { name: TallyName; part: string; value: number };
};

export type Queries = Kysely<Tables>;
export type Row<Name extends keyof Tables> = Selectable<Tables[Name]>;
