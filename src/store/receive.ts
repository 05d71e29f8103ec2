// Takes deliveries in: the hottest path, so prepared statements instead of built queries, and one transaction for
// everything that waited.
import type { EpisodeChange, EpisodeState } from '../alert/episode.ts';
import { changeOf, holdIsOver } from '../alert/episode.ts';
import type { Ids } from '../base/ids.ts';
import type { NewAlert, NewDelivery, Received, Undecided } from '../port/store.ts';
import type { Statements } from './driver.ts';
import { addToTally } from './tally.ts';

const INSERT_DELIVERY =
  'insert into deliveries (id, at, source, body, group_size, truncated_alerts, unknown_fields, traceparent) values (?, ?, ?, ?, ?, ?, ?, ?)';
const INSERT_ALERT =
  'insert into alerts (id, delivery_id, entry_index, at, status, episode_id, change, decided) values (?, ?, ?, ?, ?, ?, ?, 0)';
const FIND_EPISODE = `select id, state, last_firing_at, resolved_at, component, kind, target from episodes where key = ? and state <> 'closed'`;
/** A storm over several components is counted by their names. */
const KNOW_COMPONENT = 'insert into components (name, version) values (?, 0) on conflict (name) do nothing';
const OPEN_EPISODE = `insert into episodes (id, key, source, state, component, kind, target, labels, annotations, starts_at, opened_at, last_firing_at, firings)
  values (?, ?, ?, 'firing', ?, ?, ?, ?, ?, ?, ?, ?, 1)`;
const CLOSE_EPISODE = `update episodes set state = 'closed', closed_at = ?, next_evaluation_at = null where id = ?`;
const REPEAT_EPISODE =
  'update episodes set last_firing_at = max(last_firing_at, ?), firings = firings + 1 where id = ?';
const REOPEN_EPISODE = `update episodes set state = 'firing', resolved_at = null, last_firing_at = max(last_firing_at, ?), firings = firings + 1 where id = ?`;
const QUIET_EPISODE = `update episodes set state = 'quiet', resolved_at = ? where id = ?`;
const MOVE_EPISODE = 'update episodes set component = ?, kind = ?, target = ? where id = ?';
const HIGHEST_NOW = 'select highest_now from controls where id = 1';

type Found = {
  readonly id: string;
  readonly state: EpisodeState;
  readonly last_firing_at: number;
  readonly resolved_at: number | null;
  readonly component: string | null;
  readonly kind: string | null;
  readonly target: string | null;
};

/** Alerts between two turns of the event loop: about 10 ms. */
const SLICE = 500;
export const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Within an open transaction, which may last over several turns of the event loop. */
export const receiveAll = async (
  statements: Statements,
  ids: Ids,
  deliveries: readonly NewDelivery[],
): Promise<readonly (readonly Received[])[]> => {
  const highest = statements.get<{ highest_now: number }>(HIGHEST_NOW, [])?.highest_now ?? 0;
  let sinceTurn = 0;
  let opened = 0;
  const answer: Received[][] = [];
  for (const delivery of deliveries) {
    statements.run(INSERT_DELIVERY, [
      delivery.id,
      delivery.at,
      delivery.source,
      delivery.body,
      delivery.groupSize,
      delivery.truncatedAlerts,
      delivery.unknownFields,
      delivery.traceparent ?? null,
    ]);
    const received: Received[] = [];
    for (const alert of delivery.alerts) {
      const { episodeId, change, closed } = moveEpisode(
        statements,
        ids,
        delivery.source,
        alert,
        Math.max(delivery.at, highest),
      );
      opened += (change === 'opened' ? 1 : 0) - closed;
      statements.run(INSERT_ALERT, [alert.id, delivery.id, alert.index, delivery.at, alert.status, episodeId, change]);
      received.push({ alertId: alert.id, episodeId, change });
      sinceTurn += 1;
      if (sinceTurn % SLICE === 0) await nextTurn();
    }
    answer.push(received);
  }
  addToTally(statements, 'alerts_undecided', answer.flat().length);
  addToTally(statements, 'episodes_open', opened);
  return answer;
};

const moveEpisode = (
  statements: Statements,
  ids: Ids,
  source: string,
  alert: NewAlert,
  now: number,
): { episodeId: string | null; change: EpisodeChange; closed: number } => {
  if (alert.key === null || alert.status === null) return { episodeId: null, change: 'none', closed: 0 };
  const found = statements.get<Found>(FIND_EPISODE, [alert.key]);
  const previous =
    found === undefined
      ? null
      : { state: found.state, lastFiringAt: found.last_firing_at, resolvedAt: found.resolved_at };
  const change = changeOf(previous, alert.status, now, alert.resolveHold);
  if (change === 'opened') {
    const episodeId = openEpisode(statements, ids, source, alert, now, found);
    return { episodeId, change, closed: found === undefined ? 0 : 1 };
  }
  if (found === undefined || previous === null) return { episodeId: null, change, closed: 0 };
  if (change === 'repeated' || change === 'reopened') {
    statements.run(change === 'repeated' ? REPEAT_EPISODE : REOPEN_EPISODE, [now, found.id]);
    // A reload may have declared since what this alert stands for.
    const moved = found.component !== alert.component || found.kind !== alert.kind || found.target !== alert.target;
    if (moved) statements.run(MOVE_EPISODE, [alert.component, alert.kind, alert.target, found.id]);
  } else if (change === 'resolved') statements.run(QUIET_EPISODE, [now, found.id]);
  const over = change === 'none' && holdIsOver(previous, now, alert.resolveHold);
  return { episodeId: over ? null : found.id, change, closed: 0 };
};

const openEpisode = (
  statements: Statements,
  ids: Ids,
  source: string,
  alert: NewAlert,
  now: number,
  older: Found | undefined,
): string => {
  if (older !== undefined) statements.run(CLOSE_EPISODE, [now, older.id]);
  const id = ids.next();
  statements.run(OPEN_EPISODE, [
    id,
    alert.key,
    source,
    alert.component,
    alert.kind,
    alert.target,
    JSON.stringify(alert.labels ?? {}),
    JSON.stringify(alert.annotations ?? {}),
    alert.startsAt ?? now,
    now,
    now,
  ]);
  if (alert.component !== null) statements.run(KNOW_COMPONENT, [alert.component]);
  return id;
};

const UNDECIDED = `select alerts.id as alertId, alerts.delivery_id as deliveryId, alerts.entry_index as "index", alerts.at as receivedAt,
  alerts.change, alerts.episode_id as episodeId from alerts where decided = 0 order by seq limit ?`;
const BODY = 'select source, body, traceparent from deliveries where id = ?';

type Delivered = { readonly source: string; readonly body: Buffer; readonly traceparent: string | null };

/** A delivery's body is read once, however many of its alerts wait. */
export const readUndecided = (statements: Statements, limit: number): readonly Undecided[] => {
  const bodies = new Map<string, Delivered>();
  return statements.all<Omit<Undecided, 'source' | 'body' | 'traceparent'>>(UNDECIDED, [limit]).map((alert) => {
    let delivery = bodies.get(alert.deliveryId);
    if (delivery === undefined) {
      delivery = statements.get<Delivered>(BODY, [alert.deliveryId]);
      if (delivery === undefined) throw new Error(`the alert ${alert.alertId} has no delivery`);
      bodies.set(alert.deliveryId, delivery);
    }
    return { ...alert, ...delivery };
  });
};
