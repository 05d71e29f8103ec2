// The closed set of reasons a decision can have: log field, metric label and page alike.

/** In this order; the first that refuses is the reason, while all verdicts are kept. */
export const GUARDS = [
  'halted',
  'disabled',
  'maintenance',
  'clock',
  'stale',
  'settling',
  'silenced',
  'unconfirmed',
  'storm',
  'unhealthy',
  'breaker_open',
  'busy',
  'concurrency',
  'cooldown',
  'attempts_used_up',
  'budget',
] as const;
export type GuardName = (typeof GUARDS)[number];

export const REASONS = [
  'admitted',
  'awaiting_approval',
  'shadow',
  'observed',
  'ignored',
  'escalated',
  'no_match',
  'resolved',
  'duplicate',
  'invalid',
  'undecidable',
  ...GUARDS,
] as const;
export type Reason = (typeof REASONS)[number];

export const ORIGINS = ['delivery', 'retry', 'manual'] as const;
export type Origin = (typeof ORIGINS)[number];
