// From rows to what the port speaks of.
import type { JsonObject } from '../base/json.ts';
import type { Labels } from '../alert/alert.ts';
import type { AlertRow, DecisionRow, EpisodeRow, InboxRow, OutboxRow, RunRow } from '../port/record.ts';
import type { SettlingRun } from '../port/store.ts';
import type { RunEvent, StoredEvent } from '../run/events.ts';
import type { ActiveRun, Attempt, Disabled, Ledger } from '../run/history.ts';
import type { Row } from './tables.ts';

/** `__proto__` is a label name like any other; JSON.parse makes it an own member, an assignment would not. */
const toLabels = (text: string): Labels =>
  Object.setPrototypeOf(JSON.parse(text) as Record<string, string>, null) as Labels;

export const toAlertRow = (row: Row<'alerts'>): AlertRow => ({
  id: row.id,
  deliveryId: row.delivery_id,
  index: row.entry_index,
  at: row.at,
  status: row.status,
  episodeId: row.episode_id,
  change: row.change,
  decided: row.decided === 1,
});

export const toEpisodeRow = (row: Row<'episodes'>): EpisodeRow => ({
  id: row.id,
  key: row.key,
  source: row.source,
  state: row.state,
  component: row.component,
  kind: row.kind,
  target: row.target,
  labels: toLabels(row.labels),
  annotations: toLabels(row.annotations),
  startsAt: row.starts_at,
  openedAt: row.opened_at,
  lastFiringAt: row.last_firing_at,
  resolvedAt: row.resolved_at,
  closedAt: row.closed_at,
  firings: row.firings,
  hadRun: row.had_run === 1,
  exhausted: row.exhausted === 1,
  nextEvaluationAt: row.next_evaluation_at,
  backoff: row.backoff,
  catalogDigest: row.catalog_digest,
});

export const toDecisionRow = (row: Row<'decisions'>): DecisionRow => ({
  id: row.id,
  at: row.at,
  origin: row.origin,
  reason: row.reason,
  caller: row.caller,
  alertId: row.alert_id,
  deliveryId: row.delivery_id,
  episodeId: row.episode_id,
  component: row.component,
  target: row.target,
  rule: row.rule,
  strategy: row.strategy,
  runId: row.run_id,
  record: JSON.parse(row.record) as JsonObject,
});

export const toRunRow = (row: Omit<Row<'runs'>, 'plan'>): RunRow => ({
  id: row.id,
  decisionId: row.decision_id,
  episodeId: row.episode_id,
  component: row.component,
  kind: row.kind,
  target: row.target,
  strategy: row.strategy,
  rule: row.rule,
  state: row.state,
  outcome: row.outcome,
  cause: row.cause,
  createdAt: row.created_at,
  notBefore: row.not_before,
  startedAt: row.started_at,
  firstStepAt: row.first_step_at,
  verifiedAt: row.verified_at,
  endedAt: row.ended_at,
  settleUntil: row.settle_until,
  alertStartedAt: row.alert_started_at,
  recoveries: row.recoveries,
  leaseOwner: row.lease_owner,
  fence: row.fence,
});

export const toActiveRun = (
  row: Pick<Row<'runs'>, 'id' | 'state' | 'component' | 'kind' | 'target' | 'episode_id'>,
): ActiveRun => ({
  id: row.id,
  state: row.state as ActiveRun['state'],
  component: row.component,
  kind: row.kind,
  target: row.target,
  episodeId: row.episode_id,
});

export const toSettlingRun = (
  row: Pick<
    Row<'runs'>,
    'id' | 'component' | 'kind' | 'target' | 'strategy' | 'rule' | 'episode_id' | 'verified_at' | 'settle_until'
  >,
): SettlingRun => ({
  id: row.id,
  component: row.component,
  kind: row.kind,
  target: row.target,
  strategy: row.strategy,
  rule: row.rule,
  episodeId: row.episode_id,
  verifiedAt: row.verified_at ?? 0,
  settleUntil: row.settle_until ?? 0,
});

export const toStoredEvent = (row: Pick<Row<'run_events'>, 'seq' | 'at' | 'event'>): StoredEvent => ({
  seq: row.seq,
  at: row.at,
  event: JSON.parse(row.event) as RunEvent,
});

export const toAttempt = (row: Row<'attempts'>): Attempt => ({
  id: row.id,
  ledger: row.ledger as Ledger,
  runId: row.run_id,
  episodeId: row.episode_id,
  component: row.component,
  kind: row.kind,
  target: row.target,
  strategy: row.strategy,
  rule: row.rule,
  rung: row.rung,
  at: row.at,
  endedAt: row.ended_at,
  outcome: row.outcome,
  cause: row.cause,
  domain: row.domain,
});

export const toDisabled = (row: Row<'disabled'>): Disabled => ({ until: row.until, by: row.by, reason: row.reason });

export const toInboxRow = (row: Row<'inbox'>): InboxRow => ({
  id: row.id,
  at: row.at,
  kind: row.kind,
  dedup: row.dedup,
  status: row.status,
  severity: row.severity,
  component: row.component,
  target: row.target,
  runId: row.run_id,
  episodeId: row.episode_id,
  title: row.title,
  body: JSON.parse(row.body) as JsonObject,
  count: row.count,
  closedAt: row.closed_at,
  closedBy: row.closed_by,
  comment: row.comment,
});

export const toOutboxRow = (row: Row<'outbox'>): OutboxRow => ({
  id: row.id,
  at: row.at,
  topic: row.topic,
  receiver: row.receiver,
  severity: row.severity,
  component: row.component,
  target: row.target,
  runId: row.run_id,
  title: row.title,
  body: row.body,
  status: row.status,
  tries: row.tries,
  nextAt: row.next_at,
  error: row.error,
});
