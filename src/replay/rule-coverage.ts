// Which rules the tests say something of: a case in which each acts, and one in which it keeps out of what is not its own.
import { basename, dirname, resolve } from 'node:path';
import type { Rule } from '../rule/rule.ts';
import type { Looked, RuleTestAtHand, RunbookTested } from './test-suite.ts';
import { expectsOf } from './rule-case.ts';

export type RuleCoverage = {
  readonly rule: string;
  /** Absolute. */
  readonly file: string;
  readonly positive: number;
  readonly negative: number;
};

export type RunbookCoverage = { readonly runbook: string; readonly recovered: number; readonly failed: number };

const TELLS = new Set(['exp_reason', 'exp_rule', 'exp_not_rule', 'exp_runbook', 'exp_strategy']);

/**
 * Positive: the rule matched, and the test expected what was decided. Negative: it did not decide an alert that it was
 * asked about, or one of the file of tests that bears its name, or one whose case names it in `exp_not_rule`.
 */
export const coverRules = (
  rules: ReadonlyArray<Rule & { readonly folder: string }>,
  tests: readonly RuleTestAtHand[],
): readonly RuleCoverage[] =>
  rules.map((rule) => {
    const file = resolve(rule.folder, rule.file);
    let [positive, negative] = [0, 0];
    for (const { file: testFile, looks } of tests) {
      const beside = isBeside(file, testFile);
      for (const look of looks) {
        if (!look.passed || !expectsOf(look.look).some((key) => TELLS.has(key))) continue;
        if (matched(look, rule.name)) positive += 1;
        else if (beside || keptOut(look, rule.name)) negative += 1;
      }
    }
    return { rule: rule.name, file, positive, negative };
  });

export const isBeside = (ruleFile: string, testFile: string): boolean =>
  dirname(ruleFile) === dirname(testFile) &&
  basename(ruleFile).replace(/\.json$/, '') === basename(testFile).replace(/\.test\.ya?ml$/, '');

const matched = ({ observed }: Looked, rule: string): boolean =>
  observed.rule === rule || observed.asked.some((one) => one.rule === rule && one.matched);

const keptOut = ({ observed, look }: Looked, rule: string): boolean =>
  look.exp_not_rule === rule || observed.candidates.includes(rule);

/** A runbook is tested when a test shows how it recovers and one how it does not. */
export const coverRunbooks = (
  runbooks: readonly string[],
  tested: readonly RunbookTested[],
): readonly RunbookCoverage[] =>
  runbooks.map((runbook) => {
    const own = tested.filter((one) => one.runbook === runbook && one.passed);
    const recovered = own.filter(({ outcome }) => outcome === 'resolved').length;
    return { runbook, recovered, failed: own.length - recovered };
  });
