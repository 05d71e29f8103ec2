// What admission looks at: the past of a component, read inside the admitting transaction.
import type { Mode } from '../rule/limits.ts';
import type { Outcome, OutcomeCause } from './events.ts';

/** `live`, or where a shadow writes what it would have done: `shadow` for all, `shadow:<rule>` for a rule that is shadow by itself. */
export type Ledger = 'live' | 'shadow' | `shadow:${string}`;

/** A reservation against the caps, written at admission. Times in milliseconds UTC. */
export type Attempt = {
  readonly id: string;
  readonly ledger: Ledger;
  readonly runId: string | null;
  readonly episodeId: string | null;
  readonly component: string;
  readonly kind: string;
  readonly target: string;
  readonly strategy: string;
  readonly rule: string | null;
  readonly rung: number;
  readonly at: number;
  readonly endedAt: number | null;
  readonly outcome: Outcome | null;
  readonly cause: OutcomeCause | null;
  readonly domain: string | null;
};

/** A run that is not done. */
export type ActiveRun = {
  readonly id: string;
  readonly state: 'awaiting_approval' | 'queued' | 'running' | 'verifying' | 'undoing';
  readonly component: string;
  readonly kind: string;
  readonly target: string;
  readonly episodeId: string | null;
};

/** A rule that did harm: until a human restores it, it acts as `mode` at most. */
export type Demotion = {
  readonly mode: Mode;
  readonly until: number | null;
  readonly reason: string;
  readonly since: number;
};

export type Disabled = { readonly until: number | null; readonly by: string; readonly reason: string };

export type Halt = {
  readonly on: boolean;
  readonly by: string;
  readonly reason: string;
  readonly at: number;
  readonly hard: boolean;
  /** When the last halt was lifted; null while it holds. */
  readonly until: number | null;
  /** `[from, to]` of each halt that is over and that a run under way may have waited through; oldest first. */
  readonly past: ReadonlyArray<readonly [from: number, to: number]>;
};

export type History = {
  /** `max(wall, highest stored)`: it never goes back, also over a restart. */
  readonly now: number;
  /** Of the component; changes with every admission, end and control on it. */
  readonly version: number;
  readonly halt: Halt;
  /** A start with an accepted empty history forgot what was done: until then by approval only. */
  readonly approvalOnlyUntil?: number | null;
  readonly componentDisabled: Disabled | null;
  readonly ruleDisabled: Disabled | null;
  /** Of all components. */
  readonly active: readonly ActiveRun[];
  /** A stuck run on this (kind, target) whose inbox entry no human has closed. */
  readonly stuck: string | null;
  /** A verified run on this (kind, target) that still waits for its alert to stay quiet. */
  readonly settling: { readonly runId: string; readonly until: number } | null;
  /** This component's, this ledger's, not given back, since the longest window and at least the last ended one; oldest first. */
  readonly attempts: readonly Attempt[];
  /** Times at which attempts of all components on this ledger were made, since the longest budget window. */
  readonly budget: readonly number[];
  /** Every attempt of this episode on this ledger, oldest first. */
  readonly episode: readonly Attempt[];
  /** Nothing automatic is left for this episode: a human has it. */
  readonly exhausted: boolean;
  /** Ended attempts of this component and strategy on this ledger since a human last closed the breaker; oldest first, the last 50. */
  readonly breaker: readonly Attempt[];
  /** Distinct targets of the component whose episode opened within the storm window, when the first of them did, and how many components have one that opened within the components' window. */
  readonly storm: { readonly targets: number; readonly firstAt: number | null; readonly components: number };
  /** The wall clock jumped: until then a human decides. */
  readonly clockSuspectUntil: number | null;
};
