// Takes deliveries in: read, kept, acknowledged. Nothing is evaluated before the answer; concurrent posts share a commit.
import type { Alert, Entry } from '../alert/alert.ts';
import { episodeKey } from '../alert/episode.ts';
import { createSelector } from '../alert/select.ts';
import type { Select } from '../alert/select.ts';
import { parseDelivery } from '../alert/webhook.ts';
import type { Problem } from '../base/failure.ts';
import type { NewAlert, NewDelivery, Received } from '../port/store.ts';
import type { EngineContext, Loaded } from './context.ts';

export type Submission =
  | { readonly status: 'accepted'; readonly deliveryId: string; readonly alerts: number }
  | { readonly status: 'refused'; readonly problems: readonly Problem[] }
  | { readonly status: 'overloaded'; readonly retryAfterSeconds: number };

/** A kept delivery on its way to be decided. */
export type Kept = {
  readonly deliveryId: string;
  readonly source: string;
  readonly receivedAt: number;
  readonly groupSize: number;
  readonly truncated: number;
  readonly traceparent: string | null;
  readonly entries: readonly Entry[];
  readonly received: readonly Received[];
};

export type Intake = {
  /** Resolves after the commit; throws StoreUnavailable when there was none. */
  submit(source: string, body: Buffer, traceparent?: string | null): Promise<Submission>;
  /** No more: everything that comes is answered `overloaded`. */
  close(): void;
};

/** More than this, received and not yet committed, and the sender is asked to come again. */
const MOST_WAITING_BYTES = 64 * 1_024 * 1_024;
/** One commit takes at most about this many alerts, so that no post waits long for another's storm. */
const ALERTS_A_COMMIT = 2_000;

type Waiting = {
  readonly delivery: NewDelivery;
  readonly kept: Omit<Kept, 'received'>;
  readonly bytes: number;
  resolve(submission: Submission): void;
  reject(error: unknown): void;
};

export const createIntake = (context: EngineContext, onKept: (kept: Kept) => void): Intake => {
  const { store, clock, ids, telemetry } = context;
  const selectorOf = remember((loaded: Loaded) => createSelector(loaded.config.components));
  let queue: Waiting[] = [];
  let waitingBytes = 0;
  let committing = false;
  let closed = false;

  const commit = async (): Promise<void> => {
    committing = true;
    while (queue.length > 0) {
      const batch = takeBatch(queue);
      queue = queue.slice(batch.length);
      try {
        const received = await store.receive(batch.map((waiting) => waiting.delivery));
        batch.forEach((waiting, index) => acknowledge(waiting, received[index] ?? []));
      } catch (error) {
        for (const waiting of batch) waiting.reject(error);
      }
      for (const waiting of batch) waitingBytes -= waiting.bytes;
    }
    committing = false;
  };
  const acknowledge = (waiting: Waiting, received: readonly Received[]): void => {
    waiting.resolve({ status: 'accepted', deliveryId: waiting.delivery.id, alerts: waiting.delivery.alerts.length });
    onKept({ ...waiting.kept, received });
  };

  return {
    async submit(source, body, traceparent = null) {
      // Its id tells when it came in, never later than that: a journal is put in order by it.
      const id = ids.next();
      const now = clock.now();
      if (closed || waitingBytes + body.length > MOST_WAITING_BYTES) {
        telemetry.delivery('overloaded', now);
        return { status: 'overloaded', retryAfterSeconds: 5 };
      }
      const parsed = parseDelivery(body, now);
      if (!parsed.ok) {
        telemetry.delivery('refused', now);
        return { status: 'refused', problems: parsed.problems };
      }
      const { entries, truncatedAlerts, unknownFields } = parsed.value;
      const loaded = context.loaded();
      const select = selectorOf(loaded);
      const delivery: NewDelivery = {
        id,
        at: now,
        source,
        body,
        groupSize: entries.length + truncatedAlerts,
        truncatedAlerts,
        unknownFields,
        traceparent,
        alerts: entries.map((entry, index) => newAlert(loaded, select, ids.next(), source, entry, index)),
      };
      waitingBytes += body.length;
      const submission = await new Promise<Submission>((resolve, reject) => {
        queue.push({
          delivery,
          kept: {
            deliveryId: delivery.id,
            source,
            receivedAt: now,
            groupSize: delivery.groupSize,
            truncated: truncatedAlerts,
            traceparent,
            entries,
          },
          bytes: body.length,
          resolve,
          reject,
        });
        // One turn of the event loop gathers what came at the same time.
        if (!committing) {
          committing = true;
          setImmediate(() => void commit());
        }
      });
      tell(context, entries, unknownFields, now);
      return submission;
    },
    close() {
      closed = true;
    },
  };
};

const takeBatch = (queue: readonly Waiting[]): readonly Waiting[] => {
  let alerts = 0;
  let count = 0;
  for (const waiting of queue) {
    alerts += waiting.delivery.alerts.length;
    if (count > 0 && alerts > ALERTS_A_COMMIT) break;
    count += 1;
  }
  return queue.slice(0, count);
};

const newAlert = (
  loaded: Loaded,
  select: Select,
  id: string,
  source: string,
  entry: Entry,
  index: number,
): NewAlert => {
  if (!entry.valid)
    return {
      id,
      index,
      status: null,
      key: null,
      labels: null,
      annotations: null,
      startsAt: null,
      component: null,
      kind: null,
      target: null,
      resolveHold: 0,
    };
  const { labels, annotations, status, startsAt } = entry.alert;
  const selection = select(labels);
  const component = selection.component;
  return {
    id,
    index,
    status,
    key: episodeKey(source, labels, loaded.config.ignoreLabels),
    labels,
    annotations,
    startsAt,
    component: component?.name ?? null,
    kind: component?.kind ?? null,
    target: selection.found ? selection.target.name : null,
    resolveHold:
      (component === null ? undefined : loaded.config.components.get(component.name))?.policy.resolveHold ??
      loaded.config.recovery.resolveHold,
  };
};

const isWatchdog = (alert: Alert): boolean => alert.labels['alertname'] === 'Watchdog';

const tell = (context: EngineContext, entries: readonly Entry[], unknownFields: number, now: number): void => {
  context.telemetry.delivery('accepted', now);
  if (unknownFields > 0) context.telemetry.unknownFields(unknownFields);
  for (const entry of entries) {
    context.telemetry.alert(entry.valid ? entry.alert.status : 'invalid');
    if (entry.valid && entry.alert.status === 'firing' && isWatchdog(entry.alert)) context.telemetry.watchdog(now);
  }
};

/** Makes something of what is loaded once, until something else is loaded. */
export const remember = <T>(make: (loaded: Loaded) => T): ((loaded: Loaded) => T) => {
  let last: { readonly loaded: Loaded; readonly value: T } | null = null;
  return (loaded) => {
    if (last === null || last.loaded !== loaded) last = { loaded, value: make(loaded) };
    return last.value;
  };
};
