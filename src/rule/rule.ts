// A rule as the rest of the program sees it, after its file was read and refused or not.
import type { Pardon } from '../base/findings.ts';
import type { JsonObject } from '../base/json.ts';
import type { Mode, RuleLimits } from './limits.ts';

export type EventType = 'remediate' | 'escalate' | 'observe' | 'ignore';

/** One rung of a rule's ladder. `runbook` is `<kind>/<strategy>`. */
export type Rung = { readonly runbook: string; readonly mode: Mode; readonly with: JsonObject };

export type Rule = {
  readonly name: string;
  readonly description: string;
  readonly owner: string | null;
  readonly file: string;
  readonly digest: string;
  readonly priority: number;
  /** The json-rules-engine condition tree, named conditions put in. */
  readonly conditions: JsonObject;
  readonly event: EventType;
  /** At least one for `remediate`, else empty. */
  readonly ladder: readonly Rung[];
  /** `approve` unless the rule says otherwise. */
  readonly mode: Mode;
  readonly limits: RuleLimits;
  readonly severity: string | null;
  /** Findings about it that are meant so. */
  readonly pardons?: readonly Pardon[];
  /** The facts its conditions read, as `name` or `name` with params. */
  readonly facts: ReadonlyArray<{ readonly fact: string; readonly params: JsonObject | null }>;
};
