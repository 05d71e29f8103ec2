// The events a run is made of. Names are stored for ever: never rename one, add another.
import type { JsonObject } from '../base/json.ts';
import type { FailureKind } from '../base/failure.ts';

export type Outcome = 'resolved' | 'unresolved' | 'stuck' | 'withdrawn';
export type OutcomeCause =
  | 'verified'
  | 'step_failed'
  | 'not_verified'
  | 'stopped'
  | 'ineffective'
  | 'undo_failed'
  | 'indeterminate'
  | 'denied'
  | 'expired'
  | 'cancelled'
  | 'stale'
  | 'resolved';

/** Where in the runbook a step stands; a step's key is `<phase>/<id>`. */
export type Phase = 'before' | 'steps' | 'on_success' | 'on_failure' | 'on_exhausted' | 'undo' | 'rollback';

export type RunEvent =
  | { readonly type: 'admitted'; readonly approval: boolean; readonly notBefore: number }
  | {
      readonly type: 'approval_requested';
      readonly step: string | null;
      readonly question: string;
      readonly expiresAt: number;
      readonly planDigest: string;
    }
  | { readonly type: 'approved'; readonly step: string | null; readonly by: string; readonly notBefore: number }
  | { readonly type: 'denied'; readonly step: string | null; readonly by: string; readonly reason: string }
  | { readonly type: 'expired'; readonly step: string | null }
  | { readonly type: 'claimed'; readonly owner: string; readonly fence: number; readonly recovery: boolean }
  | { readonly type: 'started' }
  | { readonly type: 'step_skipped'; readonly step: string; readonly why: string }
  /** The intent, committed before the effect. `try` counts from 1; `input` is rendered and redacted. */
  | { readonly type: 'step_started'; readonly step: string; readonly try: number; readonly input: JsonObject }
  | {
      readonly type: 'step_succeeded';
      readonly step: string;
      readonly outputs: JsonObject;
      readonly ms: number;
      readonly undo?: JsonObject;
    }
  /** `retryAt` is null when this try was the last. `began` is false when nothing can have happened. */
  | {
      readonly type: 'step_failed';
      readonly step: string;
      readonly kind: FailureKind;
      readonly error: string;
      readonly outputs: JsonObject;
      readonly ms: number;
      readonly retryAt: number | null;
      readonly began: boolean;
    }
  /** It may or may not have happened, and nobody can tell. */
  | { readonly type: 'step_unknown'; readonly step: string; readonly error: string }
  | { readonly type: 'stop_requested'; readonly by: string; readonly why: string }
  | { readonly type: 'resolved_during_run' }
  | { readonly type: 'verify_started'; readonly deadline: number }
  | {
      readonly type: 'verify_ended';
      readonly passed: boolean;
      readonly checks: ReadonlyArray<{ readonly check: string; readonly passed: boolean; readonly detail: string }>;
    }
  | { readonly type: 'undo_started'; readonly rollback: boolean }
  | {
      readonly type: 'done';
      readonly outcome: Outcome;
      readonly cause: OutcomeCause;
      readonly detail: string;
      readonly settleUntil: number | null;
    }
  /** The lease is given back while people hold everything; the run's time stands still until it is claimed again. */
  | { readonly type: 'parked'; readonly why: string; readonly notBefore: number }
  /** Whether anything automatic is left for the episode; said once, before the end of a run that did not help. */
  | { readonly type: 'judged'; readonly exhausted: boolean; readonly why: string }
  /** After `done`: the alert did not go quiet, or came back while it was watched. */
  | { readonly type: 'ineffective'; readonly why: string }
  | { readonly type: 'aftermath_ended' };

/** An event as stored: `seq` counts from 1 within the run, `at` is milliseconds UTC. */
export type StoredEvent = { readonly seq: number; readonly at: number; readonly event: RunEvent };
