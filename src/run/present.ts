// What the outside says right now, asked before the transaction that decides on it.

export type AlertState =
  | 'firing'
  | 'silenced'
  | 'inhibited'
  /** Alertmanager was reached and does not have it as firing. */
  | 'absent'
  | 'unreachable'
  /** No Alertmanager is configured, or the alert is none of its. */
  | 'not_asked';

export type Present = {
  readonly alert: { readonly state: AlertState; readonly detail: string };
  /** Against `min_healthy`; `unknown` is no data, which is a no. */
  readonly health: {
    readonly state: 'enough' | 'too_few' | 'unknown' | 'not_asked';
    readonly value: number | null;
    readonly detail: string;
  };
  /** Alerts of the group that Alertmanager left out: there are more than were seen. */
  readonly truncated: number;
};

export const NOT_ASKED: Present = {
  alert: { state: 'not_asked', detail: '' },
  health: { state: 'not_asked', value: null, detail: '' },
  truncated: 0,
};
