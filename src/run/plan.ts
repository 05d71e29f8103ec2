// What a run was admitted with. It never changes afterwards, whatever is reloaded.
import type { Labels } from '../alert/alert.ts';
import type { Json, JsonObject } from '../base/json.ts';
import type { Mode, Policy, RuleLimits } from '../rule/limits.ts';
import type { Runbook } from '../runbook/runbook.ts';

export type Digests = {
  readonly rule: string | null;
  readonly runbook: string;
  readonly config: string;
  /** The commit that all three were read at, where they stand in a git repository. */
  readonly revision: string | null;
};

export type Plan = {
  readonly runbook: Runbook;
  /** Checked against the runbook's inputs, defaults put in. */
  readonly inputs: JsonObject;
  readonly component: {
    readonly name: string;
    readonly kind: string;
    readonly team: string | null;
    readonly allowedActions: readonly string[];
  };
  /** `connect` holds secret references (`password_file`), never secrets. */
  readonly target: { readonly name: string; readonly connect: Readonly<Record<string, Json>>; readonly labels: Labels };
  readonly alert: {
    readonly labels: Labels;
    readonly annotations: Labels;
    readonly startsAt: number;
    readonly source: string;
  } | null;
  /** False when Alertmanagers are configured and none of them can be asked about this alert: then a human decides. */
  readonly confirmable: boolean;
  readonly rule: string | null;
  readonly rung: number;
  /** Rungs on the rule's ladder; 1 for a manual run. */
  readonly rungs: number;
  readonly mode: Mode;
  readonly manual: { readonly by: string; readonly reason: string } | null;
  readonly digests: Digests;
  readonly policy: Policy;
  /** The trace that what set it off came in (W3C). */
  readonly traceparent?: string;
  /** Targets in the component's inventory. */
  readonly inventorySize: number;
  /** The failure domain of the target, where the component has such. */
  readonly domain: string | null;
  /** The rule's own, tighter ones. */
  readonly limits: RuleLimits;
};
