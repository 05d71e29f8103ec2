// The results of a test run for people, and as JUnit's XML, which every CI reads.
import { formatProblem } from '../base/failure.ts';
import type { Mutant } from './mutate.ts';
import type { RuleCoverage, RunbookCoverage } from './rule-coverage.ts';
import type { CaseResult, FileResult, TestResult } from './test-result.ts';
import { passed } from './test-result.ts';

export type Totals = {
  readonly files: number;
  readonly tests: number;
  readonly cases: number;
  readonly failed: number;
};

export const totalsOf = (files: readonly FileResult[]): Totals => {
  const tests = files.flatMap((file) => file.tests);
  return {
    files: files.length,
    tests: tests.length,
    cases: tests.reduce((sum, { cases }) => sum + cases.length, 0),
    failed: tests.filter((test) => !passed(test)).length,
  };
};

/** Of a file: one line, and everything about what failed in it. `name` is how its path is shown. */
export const fileLines = (file: FileResult, name: string): readonly string[] => {
  const failed = file.tests.filter((test) => !passed(test));
  if (file.problems.length === 0 && failed.length === 0) return [`ok    ${name} (${count(file.tests.length, 'test')})`];
  return [
    `FAIL  ${name}`,
    ...file.problems.flatMap((problem) => formatProblem(problem).split('\n')).map(indented),
    ...failed.flatMap((test) => failureLines(test, name)),
  ];
};

const indented = (line: string): string => `  ${line}`;

const failureLines = (test: TestResult, file: string): readonly string[] => [
  `  ${file}:${test.line}: ${test.name}`,
  ...(test.stopped === null ? [] : [`    it could not go on: ${test.stopped}`]),
  ...test.cases.filter(({ mismatches }) => mismatches.length > 0).flatMap((one) => caseLines(one, file)),
];

const caseLines = (one: CaseResult, file: string): readonly string[] => {
  const short = one.mismatches.filter(({ expected }) => expected.length <= WIDEST);
  const rows = [['', 'expected', 'actual'], ...short.map(({ what, expected, actual }) => [what, expected, actual])];
  const width = (column: number): number => Math.max(...rows.map((row) => row[column]?.length ?? 0));
  const [first, second] = [width(0), width(1)];
  return [
    `    ${file}:${one.line}: ${one.name}`,
    ...(short.length === 0 ? [] : rows).map(([what = '', expected = '', actual = '']) =>
      `      ${what.padEnd(first)}  ${expected.padEnd(second)}  ${actual}`.trimEnd(),
    ),
    ...one.mismatches.flatMap(({ what, expected, actual }) =>
      expected.length <= WIDEST
        ? []
        : [`      ${what}`, `        expected  ${expected}`, `        actual    ${actual}`],
    ),
    ...(one.why === '' ? [] : [`      why: ${one.why}`]),
  ];
};

/** What is longer stands above what was there in its place, not beside it. */
const WIDEST = 60;

const count = (many: number, noun: string): string => `${many} ${noun}${many === 1 ? '' : 's'}`;

export const totalsLine = ({ files, tests, cases, failed }: Totals, bad: number): string => {
  const what = `${count(files, 'file')}, ${count(tests, 'test')}, ${count(cases, 'case')}`;
  if (failed === 0 && bad === 0) return `${what}: all passed`;
  return `${what}: ${count(failed, 'test')} failed${bad === 0 ? '' : `, ${count(bad, 'file')} could not be used`}`;
};

export const coverageLines = (
  rules: readonly RuleCoverage[],
  runbooks: readonly RunbookCoverage[],
  show: (file: string) => string,
): readonly string[] => {
  const wanting = rules.filter(({ positive, negative }) => positive === 0 || negative === 0);
  const untested = runbooks.filter(({ recovered, failed }) => recovered === 0 || failed === 0);
  return [
    `rules with a positive and a negative case: ${rules.length - wanting.length} of ${rules.length} (${percent(rules.length - wanting.length, rules.length)})`,
    ...wanting.map(
      ({ rule, file, positive, negative }) =>
        `  ${show(file)}: ${rule} has no ${[...(positive === 0 ? ['positive'] : []), ...(negative === 0 ? ['negative'] : [])].join(' and no ')} case`,
    ),
    ...(runbooks.length === 0
      ? []
      : [
          `runbooks with a test that recovers and one that does not: ${runbooks.length - untested.length} of ${runbooks.length}`,
        ]),
    ...untested.map(
      ({ runbook, recovered, failed }) =>
        `  ${runbook} has no test ${recovered === 0 ? (failed === 0 ? 'at all' : 'that recovers') : 'that does not recover'}`,
    ),
  ];
};

const percent = (part: number, whole: number): string =>
  whole === 0 ? '100%' : `${Math.floor((part / whole) * 100)}%`;

/** 0 to 1, of the changes that a test could have noticed. */
export const noticedShare = (mutants: readonly Mutant[]): number => {
  const judged = mutants.filter(({ fate }) => fate !== 'left_out');
  return judged.length === 0 ? 1 : judged.filter(({ fate }) => fate === 'noticed').length / judged.length;
};

export const mutantLines = (mutants: readonly Mutant[], show: (file: string) => string): readonly string[] => {
  const judged = mutants.filter(({ fate }) => fate !== 'left_out');
  const unnoticed = judged.filter(({ fate }) => fate === 'unnoticed');
  const reasons = new Map<string, number>();
  for (const { fate, by } of mutants) {
    const reason = by.replace(/:.*$/s, '');
    if (fate === 'left_out') reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
  }
  return [
    `changes of rules that a test noticed: ${judged.length - unnoticed.length} of ${judged.length} (${percent(judged.length - unnoticed.length, judged.length)})`,
    ...unnoticed.map(
      ({ rule, file, line, pointer, what }) =>
        `  ${show(file)}:${line}: no test of ${rule} notices ${pointer}: ${what}`,
    ),
    ...[...reasons].map(([reason, many]) => `left out: ${many}, ${reason}`),
  ];
};

// oxlint-disable-next-line no-control-regex
const NOT_XML = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g;
const escaped = (text: string): string =>
  text
    .replace(NOT_XML, '?')
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');

export const junit = (files: readonly FileResult[], show: (file: string) => string): string => {
  const suites = files.map((file) => {
    const name = escaped(show(file.file));
    const seconds = (ms: number): string => (ms / 1_000).toFixed(3);
    const tests = file.tests.map((test) => {
      const head = `    <testcase classname="${name}" name="${escaped(test.name)}" time="${seconds(test.ms)}"`;
      if (passed(test)) return `${head}/>`;
      return `${head}>\n      <failure message="${escaped(firstOf(test))}">${escaped(failureLines(test, show(file.file)).join('\n'))}</failure>\n    </testcase>`;
    });
    const errors = file.problems.map(
      (problem) =>
        `    <testcase classname="${name}" name="the file">\n      <error message="${escaped(problem.message)}">${escaped(formatProblem(problem))}</error>\n    </testcase>`,
    );
    const total = file.tests.reduce((sum, { ms }) => sum + ms, 0);
    const failures = file.tests.filter((test) => !passed(test)).length;
    return [
      `  <testsuite name="${name}" tests="${file.tests.length + errors.length}" failures="${failures}" errors="${errors.length}" time="${seconds(total)}">`,
      ...errors,
      ...tests,
      '  </testsuite>',
    ].join('\n');
  });
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    '<testsuites name="amends test">',
    ...suites,
    '</testsuites>',
    '',
  ].join('\n');
};

const firstOf = ({ stopped, cases }: TestResult): string => {
  const [first] = cases.flatMap(({ mismatches }) => mismatches);
  return stopped ?? (first === undefined ? '' : `${first.what}: expected ${first.expected}, was ${first.actual}`);
};
