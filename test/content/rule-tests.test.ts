// What is shipped tests itself: every rule and every runbook has its tests, all of them pass, and rules that are changed in
// small ways do not pass them.
import { readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { beforeAll, describe, expect, it } from '@jest/globals';
import type { Loaded } from '../../src/engine/context.ts';
import { mutate } from '../../src/replay/mutate.ts';
import { coverRules, coverRunbooks } from '../../src/replay/rule-coverage.ts';
import { createBases } from '../../src/replay/test-base.ts';
import type { Bases } from '../../src/replay/test-base.ts';
import type { Suite } from '../../src/replay/test-suite.ts';
import { fileLines, noticedShare, mutantLines } from '../../src/replay/test-text.ts';
import type { TestParts } from '../../src/replay/test-world.ts';
import { root } from '../support/content.ts';
import { runFiles, testParts } from '../support/test-files.ts';

const testsIn = (folder: string): readonly string[] =>
  readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.test.yaml'))
    .map((name) => join(root, folder, name));

describe('what is shipped', () => {
  let parts: TestParts;
  let bases: Bases;
  let suite: Suite;
  let loaded: Loaded;
  beforeAll(async () => {
    parts = await testParts();
    bases = createBases(parts, join(root, 'amends.yaml'));
    suite = await runFiles(parts, bases, [...testsIn('rules'), ...testsIn('runbooks')]);
    const source = { file: join(root, 'amends.yaml'), text: '', value: {}, problem: () => ({ code: '', message: '' }) };
    const base = await bases.of({ source, config: undefined, mode: undefined, withRules: true });
    if (!base.ok) throw new Error(JSON.stringify(base.problems));
    loaded = base.value;
  }, 120_000);

  it('passes its own tests', () => {
    const said = suite.files.flatMap((file) => fileLines(file, file.file)).filter((line) => !line.startsWith('ok '));
    expect(said).toEqual([]);
    expect(suite.ruleTests.length).toBeGreaterThan(100);
    expect(suite.runbooks.length).toBeGreaterThan(100);
  });

  it('has a case for every rule in which it acts, and one in which it keeps out', () => {
    const rules = loaded.catalog.rules.rules.map((rule) => ({ ...rule, folder: loaded.config.folder }));
    expect(rules.length).toBeGreaterThan(30);
    const wanting = coverRules(rules, suite.ruleTests).filter(({ positive, negative }) => positive * negative === 0);
    expect(wanting).toEqual([]);
  });

  it('has a test for every runbook in which it recovers, and one in which it does not', () => {
    const runbooks = [...loaded.catalog.runbooks.keys()];
    expect(runbooks.length).toBeGreaterThan(30);
    const wanting = coverRunbooks(runbooks, suite.runbooks).filter(({ recovered, failed }) => recovered * failed === 0);
    expect(wanting).toEqual([]);
  });

  it('notices at least 80% of small changes of its rules', async () => {
    const files = await bases.filesOf(loaded.config);
    if (!files.ok) throw new Error(JSON.stringify(files.problems));
    const mutants = await mutate({
      loaded,
      files: files.value.rules,
      conditions: files.value.conditions,
      chosen: () => true,
      tests: suite.ruleTests,
      facts: parts.facts,
      // All of them are tried by `amends test --mutate`; here a third of each rule's, for the sake of time.
      every: 3,
    });
    const judged = mutants.filter(({ fate }) => fate !== 'left_out');
    expect(judged.length).toBeGreaterThan(100);
    const share = noticedShare(mutants);
    const unnoticed = share >= 0.8 ? [] : mutantLines(mutants, (file) => resolve(file));
    expect([share >= 0.8, unnoticed]).toEqual([true, []]);
  }, 180_000);
});
