// A runbook as the rest of the program sees it: defaults put in, durations in milliseconds, templates still text.
import type { Json, JsonObject } from '../base/json.ts';

export type Effect = 'read' | 'change' | 'destroy';
export type Severity = 'SEV1' | 'SEV2' | 'SEV3' | 'SEV4';

export type Retry = { readonly attempts: number; readonly delay: number; readonly factor: number };

/** A call of an action. `with` holds templates `${{ ... }}`; the step's `timeout` is milliseconds. */
export type ActionStep = {
  readonly id: string;
  readonly uses: string;
  readonly with: JsonObject;
  /** CEL text, or null for "if all before went well". */
  readonly if: string | null;
  readonly timeout: number;
  readonly retry: Retry;
  /** May be done twice without harm; read-only steps always are. */
  readonly idempotent: boolean;
  readonly continueOnError: boolean;
  readonly undo: ActionStep | null;
  /** A read-only check that settles an unknown step after a crash: its success means the effect happened. */
  readonly probe: ActionStep | null;
  readonly effect: Effect;
};

export type ApprovalStep = {
  readonly id: string;
  /** The question holds templates like a `with`, so that it can show what earlier steps found out. */
  readonly approve: { readonly question: string; readonly expires: number };
  readonly if: string | null;
};

export type Step = ActionStep | ApprovalStep;
export const isApproval = (step: Step): step is ApprovalStep => 'approve' in step;

/** `need` passes of at most `of` tries, `every` apart, then still passing through `hold`. Milliseconds. */
export type ActionCheck = {
  readonly type: 'action';
  readonly uses: string;
  readonly with: JsonObject;
  readonly timeout: number;
  readonly need: number;
  readonly of: number;
  readonly every: number;
  readonly hold: number;
  /** CEL over `outputs` that must be true for a pass; null: the action's success is the pass. */
  readonly expect: string | null;
};

export type QueryCheck = {
  readonly type: 'query';
  readonly query: string;
  readonly comparison: { readonly operator: 'above' | 'below' | 'equal'; readonly value: number };
  readonly on: 'target' | null;
  readonly within: number;
};

export type Check = ActionCheck | QueryCheck;

export type Aftermath = {
  readonly steps: readonly ActionStep[];
  readonly degrade: string | null;
  readonly clear: string | null;
  readonly escalate: Severity | null;
};

export type InputType = 'string' | 'number' | 'boolean' | 'duration' | 'list';
export type Input = {
  readonly type: InputType;
  readonly default: Json | undefined;
  readonly description: string;
  readonly pattern: string | null;
  readonly enum: readonly Json[] | null;
};

export type Runbook = {
  /** `<kind>/<strategy>`, from the file's path. */
  readonly name: string;
  readonly kind: string;
  readonly strategy: string;
  readonly file: string;
  readonly digest: string;
  readonly version: 1;
  readonly summary: string;
  readonly severity: Severity;
  readonly inputs: Readonly<Record<string, Input>>;
  /** Steps and verify together; not approvals, not undo. */
  readonly timeout: number;
  readonly before: readonly Step[];
  readonly steps: readonly Step[];
  readonly rollback: readonly ActionStep[] | null;
  readonly verify: readonly Check[];
  readonly onSuccess: Aftermath;
  readonly onFailure: Aftermath;
  readonly onExhausted: Aftermath;
  readonly guide: string;
  /** The strongest of its actions'; *destructive* means `destroy`. */
  readonly effect: Effect;
  /** Alerts that running it is known to raise. */
  readonly raises: readonly string[];
};
