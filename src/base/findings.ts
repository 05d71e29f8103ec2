// What `amends check` finds beyond what loading refuses, by the sort of file in which it may be found and be meant so. The
// codes are stable: files name them under `ignore`.

const RULE = [
  'conflicting-actions',
  'equal-priority',
  'never-wins',
  'never-matches',
  'loop',
  'rule-without-alert',
  'unknown-alert',
  'unknown-label',
  'unknown-metric',
] as const;
const RUNBOOK = [
  'unused-runbook',
  'unused-input',
  'no-timeout',
  'no-backup',
  'unchecked-label',
  'verify-cannot-fail',
  'no-guide',
  'unknown-metric',
] as const;
const GROUP = ['unused-group', 'no-timeout', 'unknown-metric'] as const;
const CONFIG = ['empty-inventory', 'unknown-label', 'unknown-metric'] as const;
/** Written as a comment, since the file is Prometheus' own: `# amends-ignore <code>: <reason>`. */
const ALERTS = ['alert-without-rule'] as const;
/** Mended by taking something out, so nobody has a reason to keep them. */
const NEVER_MEANT = ['unused-condition', 'unused-ignore', 'bad-alert-file', 'prometheus-unreachable'] as const;

export const IGNORABLE = { rule: RULE, runbook: RUNBOOK, group: GROUP, config: CONFIG, alerts: ALERTS } as const;

/** Every finding; a problem with another code is a refusal. */
export const FINDINGS: ReadonlySet<string> = new Set<string>([
  ...RULE,
  ...RUNBOOK,
  ...GROUP,
  ...CONFIG,
  ...ALERTS,
  ...NEVER_MEANT,
]);

/** A finding that is meant so, and why. */
export type Pardon = { readonly code: string; readonly reason: string };
