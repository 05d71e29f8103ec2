// The seam to those who know the present: Alertmanager for alerts, Prometheus for figures.
import type { Labels } from '../alert/alert.ts';
import type { Result } from '../base/failure.ts';
import type { Present } from '../run/present.ts';

export type Sample = { readonly labels: Labels; readonly value: number };

export type Sources = {
  /** Whether the alert of this source with these labels fires now. Any Alertmanager that says firing is a yes, none reachable is a no. */
  alert(labels: Labels, source: string): Promise<Present['alert']>;
  /** An instant query, at most 2 s. A refusal says what went wrong; no samples is no failure. */
  query(promql: string): Promise<Result<readonly Sample[]>>;
};
