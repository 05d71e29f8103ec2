// Test files as a suite: each is read, set on its configuration and run; one that is wrong says so and stops no other.
import { formatProblem, ok, refused } from '../base/failure.ts';
import type { Problem, Result } from '../base/failure.ts';
import { isObject } from '../base/json.ts';
import { didYouMean } from '../base/failure.ts';
import type { Clock } from '../base/clock.ts';
import { readShape, readYaml } from '../config-source.ts';
import type { Source } from '../config-source.ts';
import type { Loaded } from '../engine/context.ts';
import { judgeDecision } from './rule-case.ts';
import { observeRuleTest, TestStopped } from './rule-test.ts';
import type { Observed } from './rule-test.ts';
import { checkAgainst, judgeRun } from './runbook-case.ts';
import { observeRunbookTest } from './runbook-test.ts';
import type { Placed } from './runbook-test.ts';
import type { Bases } from './test-base.ts';
import type { CaseResult, FileResult, TestResult } from './test-result.ts';
import { ruleTestFile, runbookTestFile } from './test-schema.ts';
import type { DecisionCase, RuleTest, RunbookTest } from './test-schema.ts';
import type { TestParts } from './test-world.ts';

/** A case that was looked at, with what was there: what coverage and mutations go by. */
export type Looked = { readonly look: DecisionCase; readonly observed: Observed; readonly passed: boolean };

/** A test of rules that can be run again, under the same rules or others. */
export type RuleTestAtHand = {
  readonly file: string;
  readonly test: RuleTest;
  readonly loaded: Loaded;
  /** What it came to under the rules as they are. */
  readonly looks: readonly Looked[];
  /** Whether everything it expects holds under other rules; it ends with the first thing that does not. */
  holds(loaded: Loaded): Promise<boolean>;
};

export type RunbookTested = { readonly runbook: string; readonly outcome: string | null; readonly passed: boolean };

export type Suite = {
  readonly files: readonly FileResult[];
  readonly ruleTests: readonly RuleTestAtHand[];
  readonly runbooks: readonly RunbookTested[];
};

export type SuiteInput = {
  /** Absolute paths with their texts. */
  readonly files: ReadonlyArray<{ readonly file: string; readonly text: string }>;
  readonly parts: TestParts;
  readonly bases: Bases;
  /** Tests by their names; null: all. */
  readonly named: RegExp | null;
  readonly clock: Pick<Clock, 'monotonic'>;
  progress?(done: number, of: number): void;
};

export const runSuite = async (input: SuiteInput): Promise<Suite> => {
  const files: FileResult[] = [];
  const ruleTests: RuleTestAtHand[] = [];
  const runbooks: RunbookTested[] = [];
  for (const [index, { file, text }] of input.files.entries()) {
    const read = readTestFile(file, text);
    if (read.ok) files.push(await runFile(input, read.value, ruleTests, runbooks));
    else files.push({ file, shape: 'rules', problems: read.problems, tests: [] });
    input.progress?.(index + 1, input.files.length);
  }
  return { files, ruleTests, runbooks };
};

type TestFile = { readonly source: Source } & (
  | { readonly shape: 'rules'; readonly tests: readonly RuleTest[]; readonly config: string | undefined }
  | {
      readonly shape: 'runbook';
      readonly runbook: string;
      readonly tests: readonly RunbookTest[];
      readonly config: string | undefined;
    }
);

/** A file with `runbook` tests that runbook; any other tests rules. */
const readTestFile = (file: string, text: string): Result<TestFile> => {
  const source = readYaml(file, text);
  if (!source.ok) return source;
  const { value } = source;
  if (isObject(value.value) && 'runbook' in value.value) {
    const shape = readShape(value, runbookTestFile);
    if (!shape.ok) return shape;
    const { runbook, tests, config } = shape.value;
    return ok({ source: value, shape: 'runbook', runbook, tests, config });
  }
  const shape = readShape(value, ruleTestFile);
  return shape.ok ? ok({ source: value, shape: 'rules', tests: shape.value.tests, config: shape.value.config }) : shape;
};

const runFile = async (
  input: SuiteInput,
  file: TestFile,
  ruleTests: RuleTestAtHand[],
  runbooks: RunbookTested[],
): Promise<FileResult> => {
  const problems: Problem[] = [];
  const tests: TestResult[] = [];
  const { source } = file;
  for (const index of file.tests.keys()) {
    const name = file.tests[index]?.name ?? '';
    if (input.named !== null && !input.named.test(name)) continue;
    if (file.shape === 'rules') {
      const atHand = await ruleTestOf(input, file, index);
      if (!atHand.ok) problems.push(...atHand.problems);
      else {
        tests.push(atHand.value.result);
        ruleTests.push(atHand.value.atHand);
      }
    } else {
      const ran = await runRunbookTest(input, file, index);
      if (!ran.ok) problems.push(...ran.problems);
      else {
        tests.push(ran.value.result);
        runbooks.push(ran.value.tested);
      }
    }
  }
  return { file: source.file, shape: file.shape, problems: distinct(problems), tests };
};

/** What is wrong with a configuration is wrong for every test on it. */
const distinct = (problems: readonly Problem[]): readonly Problem[] => [
  ...new Map(problems.map((problem) => [formatProblem(problem), problem])).values(),
];

const lineOf = (source: Source, ...path: readonly PropertyKey[]): number => source.problem('', path, '').line ?? 1;

type RulesFile = Extract<TestFile, { readonly shape: 'rules' }>;

const ruleTestOf = async (
  input: SuiteInput,
  file: RulesFile,
  index: number,
): Promise<Result<{ readonly result: TestResult; readonly atHand: RuleTestAtHand }>> => {
  const { source } = file;
  const test = file.tests[index] as RuleTest;
  const base = await input.bases.of({ source, config: file.config, mode: test.mode, withRules: true });
  if (!base.ok) return base;
  const loaded = withSilences(base.value, test);
  const problems = [...unknownFigures(source, index, test, loaded), ...unknownNames(source, index, test, loaded)];
  if (problems.length > 0) return refused(problems);
  const line = (look: DecisionCase): number =>
    lineOf(source, 'tests', index, 'decision_test', test.decision_test.indexOf(look));
  const began = input.clock.monotonic();
  const { value, stopped } = await stoppable(() => observeRuleTest(input.parts, loaded, test));
  const judged = test.decision_test.flatMap((look) => {
    const observed = value?.get(look);
    return observed === undefined ? [] : [{ look, observed, result: judgeDecision(look, observed, line(look)) }];
  });
  const cases = judged.map(({ result }) => result);
  const looks = judged.map(({ look, observed, result }) => ({ look, observed, passed: holdsAll(result) }));
  const holds = async (under: Loaded): Promise<boolean> => {
    let good = true;
    const again = await stoppable(() =>
      observeRuleTest(input.parts, under, test, (look, observed) => {
        good &&= holdsAll(judgeDecision(look, observed, 0));
        return good;
      }),
    );
    return good && again.stopped === null;
  };
  return ok({
    result: resultOf(source, index, test.name, cases, stopped, input.clock.monotonic() - began),
    atHand: { file: source.file, test, loaded, looks, holds },
  });
};

const holdsAll = ({ mismatches }: CaseResult): boolean => mismatches.length === 0;

const resultOf = (
  source: Source,
  index: number,
  name: string,
  cases: readonly CaseResult[],
  stopped: string | null,
  ms: number,
): TestResult => ({
  file: source.file,
  name,
  line: lineOf(source, 'tests', index),
  cases,
  stopped,
  ms: Math.round(ms),
});

/** What a test itself makes impossible is its result; anything else is a bug. */
const stoppable = async <T>(
  run: () => Promise<T>,
): Promise<{ readonly value: T | null; readonly stopped: string | null }> => {
  try {
    return { value: await run(), stopped: null };
  } catch (error) {
    if (!(error instanceof TestStopped)) throw error;
    return { value: null, stopped: error.message };
  }
};

/** Somebody has to be there who could have silenced it. */
const withSilences = (loaded: Loaded, test: RuleTest): Loaded => {
  const silences = test.alerts.some(({ silenced }) => silenced !== undefined);
  if (!silences || loaded.config.alertmanagers.length > 0) return loaded;
  const alertmanagers = [{ url: 'http://127.0.0.1:9093', credential: null, sources: ['alertmanager'] }];
  return { ...loaded, config: { ...loaded.config, alertmanagers } };
};

/** A figure that nothing asks for is a slip of the pen: the test would not test what it says. */
const unknownFigures = (source: Source, index: number, test: RuleTest, loaded: Loaded): readonly Problem[] => {
  const asked = loaded.catalog.rules.rules.flatMap(({ facts }) =>
    facts.flatMap(({ fact, params }) => (fact === 'prometheus' ? [params?.['id'], params?.['query']] : [])),
  );
  const floors = [...loaded.config.components.values()].map(({ policy }) => policy.minHealthy?.query);
  const known = [...asked, ...floors].filter((one) => typeof one === 'string');
  return Object.keys(test.facts ?? {})
    .filter((key) => !known.includes(key) && !known.some((query) => query.includes('{{')))
    .map((key) => unknown(source, ['tests', index, 'facts', key], 'fact', key, known));
};

const unknownNames = (source: Source, index: number, test: RuleTest, loaded: Loaded): readonly Problem[] => {
  const rules = loaded.catalog.rules.rules.map(({ name }) => name);
  const runbooks = [...loaded.catalog.runbooks.keys()];
  const components = [...loaded.config.components.keys()];
  const check = (
    path: readonly PropertyKey[],
    what: string,
    name: string | null | undefined,
    among: readonly string[],
  ) =>
    name === null || name === undefined || among.includes(name)
      ? []
      : [unknown(source, ['tests', index, ...path], what, name, among)];
  return [
    ...test.decision_test.flatMap((look, at) => [
      ...check(['decision_test', at, 'exp_rule'], 'rule', look.exp_rule, rules),
      ...check(['decision_test', at, 'exp_not_rule'], 'rule', look.exp_not_rule, rules),
      ...check(['decision_test', at, 'exp_runbook'], 'runbook', look.exp_runbook, runbooks),
      ...check(['decision_test', at, 'exp_component'], 'component', look.exp_component, components),
    ]),
    ...Object.keys(test.run_outcomes ?? {}).flatMap((name) =>
      check(['run_outcomes', name], 'runbook', name, ['default', ...runbooks]),
    ),
    ...(test.acts ?? []).flatMap((act, at) => [
      ...check(['acts', at, 'approve'], 'runbook', act.approve, runbooks),
      ...check(['acts', at, 'deny'], 'runbook', act.deny, runbooks),
      ...check(['acts', at, 'disable'], 'component or rule', act.disable, [...components, ...rules]),
      ...check(['acts', at, 'enable'], 'component or rule', act.enable, [...components, ...rules]),
    ]),
  ];
};

const unknown = (
  source: Source,
  path: readonly PropertyKey[],
  what: string,
  name: string,
  known: readonly string[],
): Problem => {
  const near = didYouMean(name, known);
  const some = known.slice(0, 20).join(', ');
  const mend =
    near === undefined ? `there are: ${some || 'none'}${known.length > 20 ? ', ...' : ''}` : `did you mean ${near}?`;
  return source.problem(
    `unknown-${what.split(' ')[0] ?? ''}`,
    path,
    `there is no ${what} ${JSON.stringify(name)}`,
    mend,
  );
};

type RunbookFile = Extract<TestFile, { readonly shape: 'runbook' }>;

const runRunbookTest = async (
  input: SuiteInput,
  file: RunbookFile,
  index: number,
): Promise<Result<{ readonly result: TestResult; readonly tested: RunbookTested }>> => {
  const { source } = file;
  const test = file.tests[index] as RunbookTest;
  const base = await input.bases.of({ source, config: test.config ?? file.config, mode: undefined, withRules: false });
  if (!base.ok) return base;
  const placed = place(base.value, file, index);
  if (!placed.ok) return placed;
  const problems = checkAgainst(placed.value.runbook, input.parts.actions, test, source, ['tests', index]);
  if (problems.length > 0) return refused(problems);
  const began = input.clock.monotonic();
  const { value, stopped } = await stoppable(() => observeRunbookTest(input.parts, placed.value, test));
  if (value?.ok === false) return refused(value.problems.map((problem) => inTest(source, index, problem)));
  const observed = value === null ? null : value.value;
  const line = lineOf(source, 'tests', index, 'runbook_test');
  const cases = observed === null ? [] : [judgeRun(test.runbook_test, observed, line)];
  const result = resultOf(source, index, test.name, cases, stopped, input.clock.monotonic() - began);
  const passed = stopped === null && cases.every(({ mismatches }) => mismatches.length === 0);
  return ok({ result, tested: { runbook: file.runbook, outcome: observed?.outcome ?? null, passed } });
};

/** The inputs of the test are what the rule that stands in for it hands on. */
const inTest = (source: Source, index: number, problem: Problem): Problem => {
  const name = /\/with\/(.*)$/.exec(problem.pointer ?? '')?.[1];
  return source.problem(
    problem.code,
    ['tests', index, 'inputs', ...(name === undefined ? [] : [name])],
    problem.message,
    problem.mend,
  );
};

const place = (loaded: Loaded, { source, runbook: name, tests }: RunbookFile, index: number): Result<Placed> => {
  const test = tests[index] as RunbookTest;
  const runbook = loaded.catalog.runbooks.get(name);
  if (runbook === undefined)
    return refused([unknown(source, ['runbook'], 'runbook', name, [...loaded.catalog.runbooks.keys()])]);
  const ofKind = [...loaded.config.components.values()].filter(({ kind }) => kind === runbook.kind);
  const at = (key: string): readonly PropertyKey[] => ['tests', index, key];
  const component = test.component === undefined ? ofKind[0] : ofKind.find((one) => one.name === test.component);
  if (component === undefined || (test.component === undefined && ofKind.length > 1))
    return refused([
      test.component === undefined
        ? source.problem(
            'no-component',
            at('component'),
            `${ofKind.length} components are of the kind ${runbook.kind}, one is needed`,
            `write component: , or components: { ${runbook.kind}: { ... } }`,
          )
        : unknown(
            source,
            at('component'),
            `component of the kind ${runbook.kind}`,
            test.component,
            ofKind.map((one) => one.name),
          ),
    ]);
  const targets = [...component.targets.keys()];
  const target = test.target ?? (targets.length === 1 ? targets[0] : undefined);
  if (target === undefined)
    return refused([
      source.problem(
        'no-target',
        at('target'),
        `${component.name} has ${targets.length} targets, one is needed`,
        `write target: with one of ${targets.slice(0, 20).join(', ')}`,
      ),
    ]);
  if (!targets.includes(target))
    return refused([unknown(source, at('target'), `target of ${component.name}`, target, targets)]);
  return ok({ loaded, runbook, component, target });
};
