// What people do, from the API, the command line or the page. Every act says who, is audited, and answers with what
// became of it.
import type { JsonObject } from '../base/json.ts';
import type { Verdict } from '../run/guards.ts';
import type { Reason } from '../run/reasons.ts';

export type Answer<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly status: 404 | 409 | 422; readonly problem: string; readonly mend?: string };

export type RecoverRequest = {
  readonly component: string;
  /** Needed when the component's inventory has more than one entry. */
  readonly target: string | null;
  /** A strategy of the component's kind, or null: then `failureType` is decided by the rules. */
  readonly strategy: string | null;
  readonly failureType: string | null;
  /** The runbook's inputs. */
  readonly inputs: JsonObject;
  /** Free fields, kept with the decision. */
  readonly context: JsonObject;
  readonly requireApproval: boolean;
  readonly overrideCooldown: boolean;
  readonly reason: string;
  readonly by: string;
  /** The trace that it was asked for in (W3C). */
  readonly traceparent?: string | null;
};

export type Recovery = {
  readonly decisionId: string;
  readonly reason: Reason;
  readonly runId: string | null;
  readonly verdicts: readonly Verdict[];
  readonly endsAt: number | null;
};

export type Desk = {
  approve(act: {
    readonly runId: string;
    readonly step: string | null;
    readonly by: string;
    readonly comment: string;
  }): Promise<Answer<{ readonly runId: string; readonly state: string }>>;
  deny(act: {
    readonly runId: string;
    readonly step: string | null;
    readonly by: string;
    readonly comment: string;
  }): Promise<Answer<{ readonly runId: string; readonly state: string }>>;
  cancel(act: {
    readonly runId: string;
    readonly by: string;
    readonly reason: string;
  }): Promise<Answer<{ readonly runId: string; readonly state: string }>>;
  /** `forMs` null: until it is enabled again. */
  disable(act: {
    readonly scope: 'component' | 'rule';
    readonly name: string;
    readonly forMs: number | null;
    readonly by: string;
    readonly reason: string;
  }): Promise<Answer<{ readonly until: number | null }>>;
  enable(act: {
    readonly scope: 'component' | 'rule';
    readonly name: string;
    readonly by: string;
  }): Promise<Answer<{ readonly name: string }>>;
  /** A rule that was demoted acts again as its file says. */
  restore(act: {
    readonly rule: string;
    readonly by: string;
    readonly reason: string;
  }): Promise<Answer<{ readonly rule: string }>>;
  halt(act: {
    readonly by: string;
    readonly reason: string;
    readonly hard: boolean;
  }): Promise<Answer<{ readonly on: true }>>;
  resume(act: { readonly by: string; readonly reason: string }): Promise<Answer<{ readonly on: false }>>;
  /** Counted from zero again, and what it held is decided anew; an episode that was handed to a human stays handed over. */
  closeBreaker(act: {
    readonly component: string;
    readonly strategy: string;
    readonly by: string;
    readonly comment: string;
  }): Promise<Answer<{ readonly component: string; readonly strategy: string }>>;
  recover(request: RecoverRequest): Promise<Answer<Recovery>>;
  closeInbox(act: {
    readonly id: string;
    readonly by: string;
    readonly comment: string;
  }): Promise<Answer<{ readonly id: string }>>;
};
