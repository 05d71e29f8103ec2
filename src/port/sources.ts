// The seam to those who know the present: Alertmanager for alerts, Prometheus for figures.
import type { Labels } from '../alert/alert.ts';
import type { Result } from '../base/failure.ts';
import type { Present } from '../run/present.ts';

export type Sample = { readonly labels: Labels; readonly value: number };

/** How amends shows itself to a neighbour. The file is read at each use, so that what is in it can be replaced. */
export type Credential =
  | { readonly type: 'basic'; readonly username: string; readonly passwordFile: string }
  | { readonly type: 'bearer'; readonly tokenFile: string };

export type Neighbour = { readonly url: string; readonly credential: Credential | null };

/** The code of a query's problem when Prometheus gave no answer to it; any other is about the query or the configuration. */
export const PROMETHEUS_FAILED = 'prometheus-failed';

export type Sources = {
  /** Whether the alert of this source with these labels fires now. Any Alertmanager that says firing is a yes, none reachable is a no. */
  alert(labels: Labels, source: string): Promise<Present['alert']>;
  /**
   * An instant query, at most 2 s. A refusal says what went wrong; no samples is no failure. With `maxAgeMs` an answer
   * that is no older will do.
   */
  query(promql: string, options?: { readonly maxAgeMs: number }): Promise<Result<readonly Sample[]>>;
};
