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
  readonly breaker: Breaker;
  readonly storm: Storm;
  /** In a window nothing begins. */
  readonly maintenance: readonly Maintenance[];
  /** A floor under which nothing more is taken down, by PromQL; the target itself is not counted on. */
  readonly minHealthy: { readonly query: string; readonly min: number } | null;
  /** The inventory label that names the failure domain of a target. */
  readonly domain: string | null;
  /** Present when each target has caps and a cooldown of its own: what then holds for all of them together. */
  readonly fleet: { readonly attempts: readonly Limit[]; readonly maxConcurrent: number } | null;
  /** What a rule has to show before it is promoted. `share` is 0 to 1. */
  readonly promotion: { readonly successes: number; readonly share: number };
};

/** After `failures` in a row of one strategy only a trial is let through, at each of `trials` after the last failure. */
export type Breaker = { readonly failures: number; readonly trials: readonly number[] };

/** Too many targets at once are one cause: `share` (0 to 1) of the inventory, between `min` and `max` targets. */
export type Storm = {
  readonly share: number;
  readonly min: number;
  readonly max: number;
  readonly window: number;
  readonly components: number;
  readonly componentsWindow: number;
  /** How long a large inventory waits before its first run, to see whether it is a storm. */
  readonly gather: number;
};

/** `schedule` is a cron line in `timezone` at which a window of `duration` opens. */
export type Maintenance = {
  readonly schedule: string;
  readonly timezone: string;
  readonly duration: number;
  readonly reason: string;
};

/** What a rule's `limits` may tighten. */
export type RuleLimits = { readonly attempts: readonly Limit[]; readonly cooldownAfterFailure: number | null };
