// What `amends check` says to machines: GitHub's annotations and SARIF, and the codes that both name.
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { Ajv } from 'ajv';
import { FINDINGS } from '../../../src/base/findings.ts';
import { annotation } from '../../../src/cli/terminal/annotations.ts';
import { sarif } from '../../../src/cli/terminal/sarif.ts';
import { CODES } from '../../../src/replay/findings/codes.ts';
import { runHere } from '../../support/checking.ts';
import { root } from '../../support/servers.ts';
import { ESSENTIAL_SARIF } from '../../support/sarif-schema.ts';

const folder = join(root, 'test/refusals/findings/cases/no-timeout');

describe('--output=github', () => {
  it('is one workflow command a problem, with file, line, column and title', async () => {
    const said = await runHere(['check', join(root, 'test/refusals/conflicts/amends.yaml'), '--output=github']);
    expect(said.code).toBe(1);
    const lines = said.out.split('\n');
    for (const line of lines)
      expect(line).toMatch(/^::(?:error|warning) file=[^,:]+,line=\d+,col=\d+,title=amends [a-z-]+::\S/);
    expect(said.err).toBe(`${lines.length} problems`);
  });

  it('nothing in a message can begin another command, or another property', () => {
    const problem = {
      code: 'a-b',
      message: 'one\n::error::two % \r',
      mend: 'x',
      file: 'a,b:c%.yaml',
      line: 1,
      column: 2,
    };
    expect(annotation(problem)).toBe(
      '::error file=a%2Cb%3Ac%25.yaml,line=1,col=2,title=amends a-b::one%0A::error::two %25 %0D%0Amend: x',
    );
    expect(annotation({ ...problem, severity: 'warning' })).toMatch(/^::warning /);
  });
});

describe('--output=sarif', () => {
  const valid = new Ajv({ strict: false }).compile(ESSENTIAL_SARIF);

  it('is SARIF 2.1.0, with a rule for each code', async () => {
    const said = await runHere(['check', join(root, 'test/refusals/conflicts/amends.yaml'), '--output=sarif']);
    const log = JSON.parse(said.out) as ReturnType<typeof sarif>;
    expect([said.code, valid(log), valid.errors]).toEqual([1, true, null]);
    const [run] = log['runs'] as ReadonlyArray<{
      readonly tool: { readonly driver: { readonly rules: ReadonlyArray<{ readonly id: string }> } };
      readonly results: ReadonlyArray<{ readonly ruleId: string; readonly ruleIndex: number }>;
    }>;
    expect(run?.results.length).toBeGreaterThan(1);
    for (const { ruleId, ruleIndex } of run?.results ?? []) expect(run?.tool.driver.rules[ruleIndex]?.id).toBe(ruleId);
  });

  it('is valid without problems, and for files elsewhere and with odd names', () => {
    const odd = { code: 'empty', message: 'x', file: '/tmp/a b#.yaml' };
    for (const problems of [[], [odd], [{ ...odd, file: 'ü/a b.yaml', line: 3, column: 1, pointer: '/a~1b' }]])
      expect([valid(sarif(problems, CODES, '0.1.0')), valid.errors]).toEqual([true, null]);
    expect(valid({ version: '2.1.0', runs: [{ tool: {} }] })).toBe(false);
  });
});

describe('the codes', () => {
  /** Sources of what is said before anything runs. */
  const sources = ['src', 'src/alert', 'src/rule', 'src/runbook', 'src/replay', 'src/replay/findings'].flatMap((at) =>
    readdirSync(join(root, at))
      .filter(
        (name) => name.endsWith('.ts') && (at !== 'src' || /^(?:catalog|config)/.test(name)) && name !== 'codes.ts',
      )
      .filter((name) => at !== 'src/replay' || name === 'conflicts.ts')
      .filter((name) => name !== 'webhook.ts')
      .map((name) => readFileSync(join(root, at, name), 'utf8')),
  );
  /** Said of a value while a runbook runs, or of a flag. */
  const ELSEWHERE = new Set([
    'condition-failed',
    'missing-value',
    'not-a-scalar',
    'unfit-value',
    'bad-setting',
    'too-slow',
  ]);
  /** Put together from a key: `empty-${key}`. */
  const MADE = new Set(['empty-all', 'empty-any']);
  const CODE =
    /(?:code: |\bcode\(|refusal\(\s*|problem\(\s*|report\(\s*|reportUnder\(\s*|at\(\s*|finding\(\s*|problemAt\(source, [^,]+, |SyntaxProblem\((?:[^,]+, ){2}|report\(\s*[\w.]+(?:\([^()]*(?:\([^()]*\))?[^()]*\))?,\s*|whole\(\s*|refuse\([^;]*?, )'([a-z]+(?:-[a-z]+)*)'/g;

  it('each that the loaders and findings can say stands in the table, with cause and mend', () => {
    const said = new Set(sources.flatMap((text) => [...text.matchAll(CODE)].map((match) => match[1] ?? '')));
    expect(said.size).toBeGreaterThan(80);
    expect(
      [...said].filter((code) => code.includes('-') && !CODES.has(code) && !ELSEWHERE.has(code)).toSorted(),
    ).toEqual([]);
  });

  it('none stands in the table that nobody says', () => {
    const all = sources.join('\n');
    expect([...CODES.keys()].filter((code) => !all.includes(`'${code}'`) && !MADE.has(code))).toEqual([]);
    for (const code of FINDINGS) expect([code, CODES.has(code)]).toEqual([code, true]);
  });

  it('each that a golden message has stands in the table', () => {
    const goldens = [
      'test/refusals/runbooks/redis',
      'test/refusals/rules/__snapshots__',
      'test/refusals/conflicts/__snapshots__',
    ];
    const texts = [
      ...goldens.flatMap((at) => readdirSync(join(root, at)).map((name) => readFileSync(join(root, at, name), 'utf8'))),
      ...readdirSync(join(folder, '..')).map((name) => readFileSync(join(folder, '..', name, 'told.txt'), 'utf8')),
    ].filter((text) => text.includes('mend:'));
    const said = new Set(
      texts.flatMap((text) => [...text.matchAll(/ \[([a-z]+(?:-[a-z]+)*)\]$/gm)].map((match) => match[1] ?? '')),
    );
    expect(said.size).toBeGreaterThan(40);
    expect([...said].filter((code) => !CODES.has(code))).toEqual([]);
  });
});
