// Modes and limits, after inheritance. All times in milliseconds.

export type Mode = 'shadow' | 'approve' | 'auto';
export const MODES: readonly Mode[] = ['shadow', 'approve', 'auto'];

export const weakest = (...modes: readonly Mode[]): Mode =>
  MODES[Math.min(...modes.map((mode) => MODES.indexOf(mode)))] ?? 'shadow';

/** At most `max` attempts in any window of `per` milliseconds. */
export type Limit = { readonly max: number; readonly per: number };

export type Policy = {
  readonly mode: Mode;
  readonly attempts: readonly Limit[];
  readonly budget: readonly Limit[];
  readonly cooldown: {
    readonly afterFailure: number;
    readonly factor: number;
    readonly max: number;
    readonly afterSuccess: number;
  };
  readonly maxConcurrent: number;
  readonly maxConcurrentTotal: number;
  readonly settle: number;
  readonly stale: number;
  readonly resolveHold: number;
  readonly episodeTtl: number;
  readonly approval: { readonly remind: number; readonly escalate: number; readonly expires: number };
};

/** What a rule's `limits` may tighten. */
export type RuleLimits = { readonly attempts: readonly Limit[]; readonly cooldownAfterFailure: number | null };
