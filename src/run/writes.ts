// Every change to the store, as data: pure code says what is to be written, the store writes it in one transaction.
import type { Json, JsonObject } from '../base/json.ts';
import type { Mode } from '../rule/limits.ts';
import type { Severity } from '../runbook/runbook.ts';
import type { Outcome, OutcomeCause, RunEvent } from './events.ts';
import type { Attempt } from './history.ts';
import type { Plan } from './plan.ts';
import type { GuardName } from './reasons.ts';

/** `nextEvaluationAt` of an episode that a control without an end holds: lifting the control wakes it. */
export const WHEN_WOKEN = 8_640_000_000_000_000;

export type InboxKind = 'approval' | 'escalation' | 'note';

export type NewRun = {
  readonly id: string;
  readonly decisionId: string;
  readonly episodeId: string | null;
  readonly component: string;
  readonly kind: string;
  readonly target: string;
  readonly strategy: string;
  readonly rule: string | null;
  readonly plan: Plan;
  /** When the alert began, else when the request came; for time to recovery. */
  readonly alertStartedAt: number | null;
};

export type EpisodePatch = {
  readonly nextEvaluationAt?: number | null;
  /** Consecutive evaluations that were held for want of knowledge: 30s doubling to 5m. */
  readonly backoff?: number;
  readonly exhausted?: boolean;
  readonly catalogDigest?: string;
  readonly hadRun?: boolean;
  /** It counts as resolved from now on, although nobody posted that. */
  readonly quiet?: true;
};

export type Write =
  | { readonly type: 'run.create'; readonly run: NewRun; readonly events: readonly RunEvent[] }
  | { readonly type: 'attempt.add'; readonly attempt: Attempt }
  | {
      readonly type: 'attempt.end';
      readonly runId: string;
      readonly at: number;
      readonly outcome: Outcome;
      readonly cause: OutcomeCause;
    }
  /** No mutating step began: the reservation is given back. */
  | {
      readonly type: 'attempt.release';
      readonly runId: string;
      readonly at: number;
      readonly outcome: Outcome;
      readonly cause: OutcomeCause;
    }
  | { readonly type: 'episode.update'; readonly id: string; readonly patch: EpisodePatch }
  /**
   * What a control without an end held is evaluated again: the firing episodes of a component, or of all, whose
   * `nextEvaluationAt` is WHEN_WOKEN, and besides those that `heldBy` refused last. What is exhausted stays so.
   */
  | {
      readonly type: 'episodes.wake';
      readonly component: string | null;
      readonly at: number;
      readonly heldBy?: GuardName;
    }
  | {
      readonly type: 'disable';
      readonly scope: 'component' | 'rule';
      readonly name: string;
      readonly until: number | null;
      readonly by: string;
      readonly reason: string;
    }
  | { readonly type: 'enable'; readonly scope: 'component' | 'rule'; readonly name: string; readonly by: string }
  | {
      readonly type: 'halt';
      readonly on: boolean;
      readonly hard: boolean;
      readonly by: string;
      readonly reason: string;
    }
  | {
      readonly type: 'degraded';
      readonly mode: string;
      readonly on: boolean;
      readonly component: string;
      readonly target: string;
      readonly runId: string | null;
    }
  /** One open entry at a time has a given `dedup`; a second one is counted on it. */
  | {
      readonly type: 'inbox.open';
      /** Sent once, with the entry that is opened; what is only counted on an open one pages nobody again. */
      readonly page?: { readonly id: string; readonly topic: string; readonly body: string };
      readonly id: string;
      readonly kind: InboxKind;
      readonly dedup: string | null;
      readonly severity: Severity | null;
      readonly component: string | null;
      readonly target: string | null;
      readonly runId: string | null;
      readonly episodeId: string | null;
      readonly title: string;
      readonly body: JsonObject;
    }
  | { readonly type: 'inbox.close'; readonly id: string; readonly by: string; readonly comment: string }
  /** Closes what is open for this run and kind, for instance an approval that was given. */
  | {
      readonly type: 'inbox.close_for_run';
      readonly runId: string;
      readonly kind: InboxKind;
      readonly by: string;
      readonly comment: string;
    }
  | {
      readonly type: 'notify';
      readonly id: string;
      readonly topic: string;
      readonly receiver: string | null;
      readonly severity: Severity | null;
      readonly component: string | null;
      readonly target: string | null;
      readonly runId: string | null;
      readonly title: string;
      readonly body: string;
    }
  | { readonly type: 'breaker.close'; readonly component: string; readonly strategy: string }
  /** A rule did harm: until then it acts as `mode` at most. */
  | {
      readonly type: 'rule.demote';
      readonly rule: string;
      readonly mode: Mode;
      readonly until: number | null;
      readonly reason: string;
    }
  | { readonly type: 'rule.restore'; readonly rule: string }
  /** The wall clock jumped: until then a human decides. */
  | { readonly type: 'clock.suspect'; readonly until: number }
  | {
      readonly type: 'audit';
      readonly actor: string;
      readonly action: string;
      readonly subject: string;
      readonly detail: Readonly<Record<string, Json | undefined>>;
    };
