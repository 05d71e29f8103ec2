// What a delivery holds: the alert, as everything after the webhook sees it.
import type { JsonObject } from '../base/json.ts';

/** Prototype-free: `__proto__` is a legal label name. Values over 4 KiB are cut; `Alert.hashed` then has their SHA-256. */
export type Labels = Readonly<Record<string, string>>;

export type AlertStatus = 'firing' | 'resolved';

export type Alert = {
  readonly status: AlertStatus;
  readonly labels: Labels;
  readonly annotations: Labels;
  /** Integer milliseconds UTC. A start more than 5 minutes in the future is replaced by the time of receiving and flagged. */
  readonly startsAt: number;
  /** Null while the alert fires (Alertmanager sends the year 1). */
  readonly endsAt: number | null;
  readonly generatorURL: string;
  readonly flags: ReadonlyArray<'future_start' | 'missing_start' | 'value_cut'>;
  /** SHA-256 of the full value, by `label.<name>` or `annotation.<name>`, for values that were cut. */
  readonly hashed: Readonly<Record<string, string>>;
};

/** One entry of a delivery; a bad one is kept with what is wrong with it and never rejects its neighbours. */
export type Entry =
  | { readonly valid: true; readonly alert: Alert }
  | { readonly valid: false; readonly problem: string; readonly raw: JsonObject };

/** One webhook POST after its shape was read. */
export type Delivery = {
  readonly version: string;
  readonly receiver: string;
  readonly groupKey: string;
  readonly truncatedAlerts: number;
  /** Top-level and per-alert fields that amends does not know: kept in the journal, counted. */
  readonly unknownFields: number;
  readonly entries: readonly Entry[];
};
