import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { execFileSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { formatProblem } from '../../src/base/failure.ts';
import type { Result } from '../../src/base/failure.ts';
import { loadCatalog } from '../../src/catalog.ts';
import type { Catalog, CatalogConfig } from '../../src/catalog.ts';
import sqliteCheck from '../../src/actions/sqlite/check.ts';
import type { Actions } from '../../src/port/action.ts';
import { facts, policy } from './rule/world.ts';

const actions: Actions = new Map([['sqlite.check', sqliteCheck]]);

const runbook = (effectful = ''): string => `
version: 1
summary: Look at a database.
inputs:
  queue: { type: string, default: q1, pattern: 'q[0-9]+' }
steps:
  - { id: look, uses: sqlite.check, with: { path: "\${{ connect.path }}" } }
${effectful}
verify:
  - { uses: sqlite.check, with: { path: "\${{ connect.path }}" } }
`;
const rule = (name: string, params: Readonly<Record<string, unknown>> = {}): string =>
  JSON.stringify({
    name,
    conditions: { all: [{ fact: 'alertname', operator: 'equal', value: 'DatabaseBroken' }] },
    event: { type: 'remediate', params: { runbook: 'database/look', ...params } },
  });

let folder = '';
const config = (changes: Partial<CatalogConfig> = {}): CatalogConfig => ({
  folder,
  ruleFiles: ['rules/**/*.json'],
  runbookFiles: ['runbooks/**/*.yaml'],
  recovery: policy,
  components: new Map(),
  degradedModes: new Map(),
  ...changes,
});
const write = (path: string, text: string): void => {
  mkdirSync(dirname(join(folder, path)), { recursive: true });
  writeFileSync(join(folder, path), text);
};
const load = (changes: Partial<CatalogConfig> = {}): Promise<Result<Catalog>> =>
  loadCatalog({ config: config(changes), actions, facts });
const told = (result: Result<Catalog>): string[] => (result.ok ? [] : result.problems.map(formatProblem));

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'amends-catalog-'));
  write('runbooks/database/look.yaml', runbook());
  write('rules/database/look.json', rule('look'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe('loadCatalog', () => {
  it('reads rules and runbooks below the folder of the configuration, and leaves their tests out', async () => {
    write('runbooks/database/look.test.yaml', 'runbook: database/look\ntests: []');
    write('rules/database/look.test.yaml', 'tests: []');
    write('rules/database/look.test.json', '{}');
    write('rules/.hidden/bad.json', '{');
    const result = await load();
    expect(told(result)).toEqual([]);
    if (!result.ok) return;
    expect([...result.value.runbooks.keys()]).toEqual(['database/look']);
    expect(result.value.rules.rules.map((one) => one.name)).toEqual(['look']);
    expect(result.value.files).toEqual({ rules: 1, runbooks: 1, conditions: 0 });
    expect(result.value.runbooks.get('database/look')?.file).toBe('runbooks/database/look.yaml');
    expect(Object.isFrozen(result.value)).toBe(true);
  });

  it('has one digest for what is said, in whatever files and layout', async () => {
    const digestNow = async (): Promise<string> => {
      const result = await load();
      return result.ok ? result.value.digest : told(result).join();
    };
    const first = await digestNow();
    expect(first).toMatch(/^sha256:/);
    write('runbooks/database/look.yaml', `# a comment\n${runbook()}`);
    expect(await digestNow()).toBe(first);
    write('runbooks/database/look.yaml', runbook().replace('default: q1', 'default: q2'));
    const second = await digestNow();
    expect(second).not.toBe(first);
    write('rules/database/look.json', rule('look', { mode: 'auto' }));
    expect(await digestNow()).not.toBe(second);
  });

  it('F28: refuses the whole for one broken rule or runbook, and names every problem of every file', async () => {
    write('rules/database/broken.json', '{ "name": ');
    write('rules/database/unknown.json', rule('unknown', { runbook: 'database/lok' }));
    write('runbooks/database/broken.yaml', 'version: 1\nsummary: [');
    write('runbooks/database/other.yaml', runbook().replaceAll('sqlite.check', 'sqlite.chek'));
    const problems = told(await load()).join('\n');
    for (const part of [
      'rules/database/broken.json:1',
      'did you mean "database/look"?',
      'runbooks/database/broken.yaml:',
      'did you mean sqlite.check?',
    ]) {
      expect(problems).toContain(part);
    }
  });

  it('does not call a runbook unknown that is merely broken', async () => {
    write('runbooks/database/look.yaml', 'version: 1');
    expect(told(await load()).join()).not.toContain('unknown-runbook');
  });

  it("checks a rule's `with` against the inputs of the runbook, to the last pattern", async () => {
    write('rules/database/look.json', rule('look', { with: { queue: 'q1; rm -rf /' } }));
    expect(told(await load())).toEqual([expect.stringContaining('[bad-input]')]);
    write('rules/database/look.json', rule('look', { with: { queue: '${{ label.queue }}' } }));
    expect(told(await load())).toEqual([]);
    write('rules/database/look.json', rule('look', { with: { queue: '${{ label.queue || "q1" }}' } }));
    expect(told(await load())).toEqual([expect.stringContaining('[bad-template]')]);
    write('rules/database/look.json', rule('look', { with: { quee: 'q1' } }));
    expect(told(await load()).join()).toContain('queue');
  });

  it('C11: is bounded: large files, pipes, loops of links and text that is no UTF-8', async () => {
    write('runbooks/database/large.yaml', `summary: "${'x'.repeat(300 * 1024)}"`);
    writeFileSync(join(folder, 'runbooks/database/latin.yaml'), Buffer.from([0x61, 0x3a, 0x20, 0xe4]));
    execFileSync('mkfifo', [join(folder, 'runbooks/database/pipe.yaml')]);
    symlinkSync('..', join(folder, 'runbooks/database/loop'));
    symlinkSync('nowhere', join(folder, 'runbooks/database/dangling.yaml'));
    const problems = told(await load()).map((problem) => problem.split('\n')[0]);
    expect(problems).toEqual([
      expect.stringContaining('dangling.yaml: cannot be read'),
      expect.stringContaining('large.yaml: '),
      expect.stringContaining('latin.yaml: the file is not UTF-8'),
      expect.stringContaining('pipe.yaml: this is not a regular file'),
    ]);
  });

  it('follows the links of a mounted configuration', async () => {
    rmSync(join(folder, 'runbooks'), { recursive: true });
    write('..data/database/look.yaml', runbook());
    mkdirSync(join(folder, 'runbooks'));
    symlinkSync('../..data/database', join(folder, 'runbooks/database'));
    const result = await load();
    expect(told(result)).toEqual([]);
    expect(result.ok && result.value.runbooks.size).toBe(1);
  });

  it('takes single files and narrow patterns, and says when what is named is not there', async () => {
    write('runbooks/database/look2.yaml', runbook());
    const narrow = await load({
      runbookFiles: ['runbooks/*/look.yaml', 'runbooks/database/look?.yaml'],
      ruleFiles: ['rules/database/look.json'],
    });
    expect(narrow.ok && narrow.value.files).toEqual({ rules: 1, runbooks: 2, conditions: 0 });
    expect(told(await load({ ruleFiles: ['rulez/**/*.json'] }))).toEqual([
      expect.stringContaining('rulez does not exist'),
    ]);
    expect(told(await load({ ruleFiles: ['rules/one.json'] }))).toEqual([expect.stringContaining('[missing-file]')]);
  });

  it('is empty where nothing is configured', async () => {
    const result = await load({ ruleFiles: [], runbookFiles: [] });
    expect(result.ok && result.value.runbooks.size).toBe(0);
  });
});
