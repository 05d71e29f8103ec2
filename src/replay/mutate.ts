// Rules changed in small ways, one at a time, and the tests run on each: which changes does no test notice?
import { resolve } from 'node:path';
import { canonical } from '../base/json.ts';
import type { Loaded } from '../engine/context.ts';
import type { Facts } from '../port/fact.ts';
import type { Branch } from '../rule/branches.ts';
import { branchesOf, implies, overlap } from '../rule/branches.ts';
import { createRuleSet } from '../rule/decide.ts';
import { loadRules } from '../rule/load.ts';
import type { Rule } from '../rule/rule.ts';
import { readSource } from '../rule/source.ts';
import type { SourceFile } from '../runbook/group.ts';
import { changesOf } from './mutants.ts';
import type { Change } from './mutants.ts';
import { isBeside } from './rule-coverage.ts';
import type { RuleTestAtHand } from './test-suite.ts';

export type Mutant = {
  readonly rule: string;
  /** Absolute. */
  readonly file: string;
  readonly line: number;
  readonly pointer: string;
  readonly what: string;
  /** `left_out`: it changes nothing that a test could see. */
  readonly fate: 'noticed' | 'unnoticed' | 'left_out';
  /** The test that noticed it, or why it was left out. */
  readonly by: string;
};

export type MutateInput = {
  readonly loaded: Loaded;
  /** Of `loaded`, the texts of the rules. */
  readonly files: readonly SourceFile[];
  readonly conditions: readonly SourceFile[];
  /** Rules whose file is to be changed. */
  readonly chosen: (file: string) => boolean;
  readonly tests: readonly RuleTestAtHand[];
  readonly facts: Facts;
  /** Only one change in so many, where there is no time for all. */
  readonly every?: number;
  progress?(done: number, of: number): void;
};

export const mutate = async (input: MutateInput): Promise<readonly Mutant[]> => {
  const { loaded, files } = input;
  const { rules } = loaded.catalog.rules;
  const branches = new Map(rules.map((rule) => [rule.name, branchesOf(rule.conditions)]));
  const chosen = rules.filter((rule) => input.chosen(resolve(loaded.config.folder, rule.file)));
  const tests = input.tests.filter(({ looks }) => looks.every((look) => look.passed) && looks.length > 0);
  const mutants: Mutant[] = [];
  let looked = 0;
  for (const [index, rule] of chosen.entries()) {
    const source = readSource(rule.file, files.find(({ file }) => file === rule.file)?.text ?? '');
    if (!source.ok) continue;
    const file = resolve(loaded.config.folder, rule.file);
    const priorities = prioritiesOf(rule, rules, branches);
    const ordered = inOrder(tests, rule, file);
    for (const change of changesOf(source.value.value, priorities)) {
      looked += 1;
      if (looked % (input.every ?? 1) !== 0) continue;
      const fate = await judge(input, rule, change, ordered);
      const { line } = source.value.place(change.pointer.split('/').slice(1));
      mutants.push({ rule: rule.name, file, line: line ?? 1, pointer: change.pointer, what: change.what, ...fate });
    }
    if (priorities.length === 0)
      mutants.push({ rule: rule.name, file, line: 1, pointer: '/priority', what: 'another priority', ...ALONE });
    input.progress?.(index + 1, chosen.length);
  }
  return mutants;
};

const ALONE = { fate: 'left_out', by: 'no other rule can match the same alert' } as const;

/** Just beyond each rule that is for some of the same alerts: it would be asked before it in place of after it, or after. */
const prioritiesOf = (
  rule: Rule,
  rules: readonly Rule[],
  branches: ReadonlyMap<string, readonly Branch[] | null>,
): readonly number[] => {
  const own = branches.get(rule.name) ?? [];
  const met = rules.filter(
    (other) =>
      other.name !== rule.name &&
      own.some((left) => (branches.get(other.name) ?? []).some((right) => overlap(left, right))),
  );
  return met.flatMap(({ priority }) =>
    priority < rule.priority ? (priority > 1 ? [priority - 1] : []) : [priority + 1],
  );
};

/** Those first that are about the rule, since they are the likeliest to notice. */
const inOrder = (tests: readonly RuleTestAtHand[], rule: Rule, file: string): readonly RuleTestAtHand[] => {
  const rank = (test: RuleTestAtHand): number =>
    isBeside(file, test.file) ? 0 : test.looks.some(({ observed }) => observed.rule === rule.name) ? 1 : 2;
  return tests.toSorted((left, right) => rank(left) - rank(right) || lengthOf(left) - lengthOf(right));
};

/** Milliseconds of virtual time: what goes on for longer costs more. */
const lengthOf = ({ test }: RuleTestAtHand): number =>
  Math.max(...test.decision_test.map(({ eval_time: time }) => time));

const judge = async (
  input: MutateInput,
  rule: Rule,
  change: Change,
  tests: readonly RuleTestAtHand[],
): Promise<Pick<Mutant, 'fate' | 'by'>> => {
  const text = JSON.stringify(change.value);
  const changed = ruleFrom(input, rule, text, input.loaded);
  if (typeof changed === 'string') return { fate: 'left_out', by: `amends check refuses it: ${changed}` };
  if (isSame(rule, changed)) return { fate: 'left_out', by: 'it means the same' };
  for (const test of tests) {
    const own = test.loaded.catalog.rules.rules.find(({ name }) => name === rule.name);
    if (own === undefined || own.digest !== rule.digest) continue;
    const under = withRule(input, test.loaded, own, text);
    if (under === null || !touches(test, under, rule.name, changed.name)) continue;
    if (!(await test.holds(under))) return { fate: 'noticed', by: test.test.name };
  }
  return { fate: 'unnoticed', by: '' };
};

const ruleFrom = (input: MutateInput, rule: Rule, text: string, { config, catalog }: Loaded): Rule | string => {
  const { rules, problems } = loadRules([{ file: rule.file, text }], {
    facts: input.facts,
    runbooks: catalog.runbooks,
    conditionFiles: input.conditions,
    recovery: config.recovery,
    components: config.components,
    degradedModes: new Set(config.degradedModes.keys()),
  });
  return rules[0] === undefined || problems.length > 0 ? (problems[0]?.message ?? 'it is not in use') : rules[0];
};

/** Two sets of conditions that hold for the same alerts, and nothing else that differs. */
const isSame = (rule: Rule, changed: Rule): boolean => {
  const rest = (one: Rule): string => canonical({ ...one, conditions: null, digest: null, facts: null });
  if (rest(rule) !== rest(changed)) return false;
  const [before, after] = [branchesOf(rule.conditions), branchesOf(changed.conditions)];
  if (before === null || after === null) return canonical(rule.conditions) === canonical(changed.conditions);
  const within = (left: readonly Branch[], right: readonly Branch[]): boolean =>
    left.every((narrow) => right.some((wide) => implies(narrow, wide)));
  return within(before, after) && within(after, before);
};

/** Null: with the components of this test the changed rule is refused. */
const withRule = (input: MutateInput, loaded: Loaded, own: Rule, text: string): Loaded | null => {
  const changed = ruleFrom(input, own, text, loaded);
  if (typeof changed === 'string') return null;
  const rules = loaded.catalog.rules.rules.map((rule) => (rule.name === own.name ? changed : rule));
  return { ...loaded, catalog: { ...loaded.catalog, rules: createRuleSet(rules, input.facts) } };
};

/** Whether the rule, as it was or as it is now, could be asked about any alert of the test. */
const touches = (test: RuleTestAtHand, under: Loaded, before: string, after: string): boolean => {
  if (test.looks.some(({ observed }) => observed.candidates.includes(before))) return true;
  const { rules, candidates } = under.catalog.rules;
  const components = [null, ...under.config.components.keys()];
  return test.test.alerts.some(({ labels }) =>
    components.some((component) => candidates.of(labels, component).some((at) => rules[at]?.name === after)),
  );
};
