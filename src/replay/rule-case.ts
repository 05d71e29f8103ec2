// What a test of rules expects, held against what was observed.
import type { Observed } from './rule-test.ts';
import type { CaseResult, Mismatch } from './test-result.ts';
import { compare, comparePart, compareTime } from './test-result.ts';
import type { DecisionCase } from './test-schema.ts';
import { formatDuration } from '../base/duration.ts';

/** `line` is where the case stands in its file. */
export const judgeDecision = (look: DecisionCase, observed: Observed, line: number): CaseResult => ({
  name: `eval_time ${formatDuration(look.eval_time)}${look.labels === undefined ? '' : ` ${JSON.stringify(look.labels)}`}`,
  line,
  mismatches: mismatchesOf(look, observed),
  why: observed.why,
});

const mismatchesOf = (look: DecisionCase, observed: Observed): readonly Mismatch[] => [
  ...compare('exp_reason', look.exp_reason, observed.reason),
  ...compare('exp_rule', look.exp_rule, observed.rule),
  ...(look.exp_not_rule !== undefined && look.exp_not_rule === observed.rule
    ? [{ what: 'exp_not_rule', expected: `not ${look.exp_not_rule}`, actual: observed.rule }]
    : []),
  ...compare('exp_component', look.exp_component, observed.component),
  ...compare('exp_target', look.exp_target, observed.target),
  ...compare('exp_runbook', look.exp_runbook, observed.runbook),
  ...compare('exp_strategy', look.exp_strategy, observed.strategy),
  ...comparePart('exp_with', look.exp_with, observed.with),
  ...compare('exp_mode', look.exp_mode, observed.mode),
  ...compare('exp_rung', look.exp_rung, observed.rung),
  ...compareTime('exp_until', look.exp_until, observed.until),
  ...compare('exp_would', look.exp_would, observed.would),
  ...compare('exp_severity', look.exp_severity, observed.severity),
  ...compare('exp_attempts', look.exp_attempts, observed.attempts),
  ...compare('exp_runs', look.exp_runs, observed.runs),
  ...compare('exp_outcome', look.exp_outcome, observed.outcome),
  ...compare('exp_exhausted', look.exp_exhausted, observed.exhausted),
  ...compare('exp_degraded', look.exp_degraded?.toSorted(), observed.degraded),
];

/** The members of a case that say something of a decision. */
export const expectsOf = (look: DecisionCase): readonly string[] =>
  Object.keys(look).filter((key) => key.startsWith('exp_'));
