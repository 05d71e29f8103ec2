// Files that load and are wrong all the same. Each case lays its files over `good/`, wrong in one way; what `amends check` says
// of it, word for word, stands in its told.txt. After a change on purpose: WRITE_GOLDEN=1 npm run jest -- test/refusals/findings
import { cpSync, existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { FINDINGS } from '../../../src/base/findings.ts';
import type { Problem } from '../../../src/base/failure.ts';
import type { Said } from '../../support/checking.ts';
import { runHere } from '../../support/checking.ts';

const here = fileURLToPath(new URL('.', import.meta.url));
const cases = readdirSync(join(here, 'cases')).toSorted();
let scratch = '';
let last = 0;

beforeAll(() => void (scratch = mkdtempSync(join(tmpdir(), 'amends-findings-'))));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const laid = (...layers: readonly string[]): string => {
  last += 1;
  const folder = join(scratch, String(last));
  for (const layer of layers) cpSync(join(here, layer), folder, { recursive: true });
  rmSync(join(folder, 'told.txt'), { force: true });
  return folder;
};
const check = async (folder: string, ...more: readonly string[]): Promise<Said> => {
  const said = await runHere(['check', `--config.file=${folder}/amends.yaml`, ...more]);
  return { ...said, out: said.out.replaceAll(`${folder}/`, '') };
};
const problemsOf = (said: Said): readonly Problem[] =>
  (JSON.parse(said.out) as { readonly problems: readonly Problem[] }).problems;

describe('what loads and is wrong all the same', () => {
  it('is not said of good files', async () => {
    expect(await check(laid('good'))).toEqual({
      code: 0,
      err: '',
      out: 'amends.yaml: good. 1 component, 1 rule, 1 runbook, 1 alert file.',
    });
  });

  it('C11: forty files and more, each wrong in one way, each with its place, cause and mend', () => {
    const others = [
      ['config', /\.yaml$/],
      ['rules/bad', /\.json$/],
      ['runbooks/redis', /\.yaml$/],
    ] as const;
    const counted = others.map(([folder, ending]) => readdirSync(join(here, '..', folder)).filter((name) => ending.test(name)));
    expect(counted.flat().length + cases.length).toBeGreaterThanOrEqual(40);
    expect(cases.length).toBeGreaterThanOrEqual(30);
  });

  it.each(cases)('%s', async (name) => {
    const folder = laid('good', `cases/${name}`);
    const text = await check(folder);
    const golden = join(here, 'cases', name, 'told.txt');
    if (process.env['WRITE_GOLDEN'] === '1') writeFileSync(golden, `${text.out}\n`);
    expect(existsSync(golden) ? readFileSync(golden, 'utf8') : '').toBe(`${text.out}\n`);
    expect(text.code).toBe(name === 'ignored-with-reasons' ? 0 : 1);
    for (const problem of problemsOf(await check(folder, '--output=json'))) {
      expect(problem).toMatchObject({
        code: expect.stringMatching(/^[a-z]+(-[a-z]+)*$/),
        file: expect.any(String),
        pointer: expect.any(String),
        line: expect.any(Number),
        column: expect.any(Number),
        message: expect.any(String),
        mend: expect.any(String),
      });
      expect(problem.severity).toBe(FINDINGS.has(problem.code) ? 'warning' : undefined);
    }
  });

  it('every finding that needs no Prometheus is said of one of these, or of those among the conflicts', () => {
    const told = cases.map((name) => readFileSync(join(here, 'cases', name, 'told.txt'), 'utf8')).join('');
    const conflicts = readFileSync(join(here, '../conflicts/__snapshots__/conflicts.test.ts.snap'), 'utf8');
    const asked = new Set(['unknown-alert', 'unknown-label', 'unknown-metric', 'prometheus-unreachable']);
    const unsaid = [...FINDINGS].filter((code) => !asked.has(code) && !`${told}${conflicts}`.includes(`[${code}]`));
    expect(unsaid).toEqual([]);
  });
});

describe('a part of the files', () => {
  it('shows what is wrong there alone, and nothing else decides the exit code', async () => {
    const folder = laid('good', 'cases/no-timeout', 'cases/alert-without-rule');
    const codes = async (...paths: readonly string[]): Promise<readonly string[]> =>
      problemsOf(await check(folder, ...paths.map((path) => join(folder, path)), '--output=json')).map(({ code }) => code);
    expect(await codes()).toEqual(['alert-without-rule', 'no-timeout']);
    expect(await codes('runbooks')).toEqual(['no-timeout']);
    expect(await codes('runbooks/shop/mend.yaml', 'rules')).toEqual(['no-timeout']);
    expect((await check(folder, join(folder, 'rules'))).code).toBe(0);
  });

  it('a path at which nothing is read is misuse', async () => {
    const folder = laid('good');
    const said = await check(folder, join(folder, 'ruels'));
    expect([said.code, said.err]).toEqual([2, expect.stringContaining('ruels: nothing that is read lies there')]);
  });

  it('a configuration alone is taken in place of --config.file', async () => {
    const folder = laid('good', 'cases/no-guide');
    const said = await runHere(['check', join(folder, 'amends.yaml')]);
    expect([said.code, said.out]).toEqual([1, expect.stringContaining('[no-guide]')]);
  });

  it('alert files elsewhere are named by --alerts, and a name without files is misuse', async () => {
    const folder = laid('good', 'cases/alert-without-rule');
    expect((await check(folder, '--alerts=alerts/none-*.yaml')).code).toBe(2);
    expect((await check(folder, `--alerts=${join(here, 'good/alerts/*.yaml')}`)).code).toBe(0);
  });
});
