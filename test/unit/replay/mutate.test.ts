// Which changes of a rule are made, which are left out and why, and what it takes to notice one.
import { afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { Mutant } from '../../../src/replay/mutate.ts';
import { mutate } from '../../../src/replay/mutate.ts';
import { changesOf } from '../../../src/replay/mutants.ts';
import { coverRules, coverRunbooks } from '../../../src/replay/rule-coverage.ts';
import { mutantLines, noticedShare } from '../../../src/replay/test-text.ts';
import type { TestParts } from '../../../src/replay/test-world.ts';
import { testFolder, testParts } from '../../support/test-files.ts';
import type { Folder } from '../../support/test-files.ts';

describe('the changes of a rule', () => {
  const words = (rule: Record<string, unknown>, priorities: readonly number[] = []): readonly string[] =>
    changesOf(rule, priorities).map(({ pointer, what }) => `${pointer} ${what}`);

  it('are one operator, one value, one branch, one priority, one mode, one rung or one limit each', () => {
    const rule = {
      priority: 5,
      conditions: {
        all: [
          { fact: 'alertname', operator: 'in', value: ['A', 'B'] },
          { not: { fact: 'label.env', operator: 'equal', value: 'test' } },
          { fact: 'attempts', params: { window: '1h' }, operator: 'lessThan', value: 3 },
          { fact: 'label.zone', operator: 'exists', value: true },
        ],
      },
      event: {
        type: 'remediate',
        params: {
          runbook: ['a/b', { runbook: 'a/c', mode: 'approve', with: { idle: '30s', name: '${{ label.x }}' } }],
          mode: 'auto',
          limits: { attempts: [{ max: 2, per: '1h' }] },
        },
      },
    };
    expect(words(rule, [7])).toMatchInlineSnapshot(`
      [
        "/conditions all -> any",
        "/conditions/all/0 {"fact":"alertname","operator":"in","value":["A","B"]} left out",
        "/conditions/all/1 {"not":{"fact":"label.env","operator":"equal","value":"test"}} left out",
        "/conditions/all/2 {"fact":"attempts","params":{"window":"1h"},"operator":"lessThan","value":3} left out",
        "/conditions/all/3 {"fact":"label.zone","operator":"exists","value":true} left out",
        "/conditions/all/0/operator "in" -> "notIn"",
        "/conditions/all/0/value/0 "A" left out",
        "/conditions/all/0/value/1 "B" left out",
        "/conditions/all/1 not left out",
        "/conditions/all/1/not/operator "equal" -> "notEqual"",
        "/conditions/all/1/not/operator "equal" -> "startsWith"",
        "/conditions/all/1/not/value "test" -> "testChanged"",
        "/conditions/all/2/operator "lessThan" -> "lessThanInclusive"",
        "/conditions/all/2/operator "lessThan" -> "greaterThan"",
        "/conditions/all/2/value 3 -> 4",
        "/conditions/all/2/value 3 -> 2",
        "/conditions/all/2/params/window "1h" -> "30m"",
        "/conditions/all/2/params/window "1h" -> "2h"",
        "/conditions/all/3/value true -> false",
        "/event remediate -> escalate",
        "/event/params/mode "auto" -> "approve"",
        "/event/params/mode "auto" -> "shadow"",
        "/event/params/runbook/1/mode mode "approve" left out",
        "/event/params/runbook/1/with/idle idle left out",
        "/event/params/runbook/1/with/idle "30s" -> "15s"",
        "/event/params/runbook/1/with/idle "30s" -> "1m"",
        "/event/params/runbook/1/with/name name left out",
        "/event/params/runbook/1/with/name "\${{ label.x }}" -> "changed"",
        "/event/params/runbook/0 "a/b" left out",
        "/event/params/runbook/1 {"runbook":"a/c","mode":"approve","with":{"idle":"30s","name":"\${{ label.x }}"}} left out",
        "/event/params/runbook the first two rungs the other way round",
        "/event/params/limits limits left out",
        "/event/params/limits/attempts/0/max 2 -> 3",
        "/event/params/limits/attempts/0/max 2 -> 1",
        "/event/params/limits/attempts/0/per "1h" -> "30m"",
        "/event/params/limits/attempts/0/per "1h" -> "2h"",
        "/priority 5 -> 7",
      ]
    `);
  });

  it('never repeat the rule itself, nor one another', () => {
    const rule = {
      priority: 1,
      conditions: { any: [{ fact: 'firing', operator: 'greaterThan', value: 0.5 }] },
      event: { type: 'observe' },
    };
    const changes = changesOf(rule, [1, 2, 2]);
    expect(new Set(changes.map(({ value }) => JSON.stringify(value))).size).toBe(changes.length);
    expect(changes.some(({ value }) => JSON.stringify(value) === JSON.stringify(rule))).toBe(false);
  });
});

const CONFIG = `version: 1
recovery: { mode: auto }
components: { shop: { inventory: { static: [one] }, allow: { actions: ["wait.*"] } } }
`;
const rule = (name: string, alertname: string, priority: number, event: object): object => ({
  name,
  priority,
  conditions: { all: [{ fact: 'alertname', operator: 'equal', value: alertname }] },
  event,
});
const MEND = { type: 'remediate', params: { runbook: 'shop/mend', mode: 'auto' } };
const TESTS = `tests:
  - name: it acts
    alerts: [{ labels: { alertname: ShopDown, component: shop, target: one } }]
    decision_test: [{ eval_time: 0s, exp_reason: admitted, exp_rule: down }]
`;
const NEAR = `  - name: it keeps out
    alerts: [{ labels: { alertname: ShopDownSoon, component: shop, target: one } }]
    decision_test: [{ eval_time: 0s, exp_reason: no_match }]
`;

describe('the tests of a rule that is changed', () => {
  let parts: TestParts;
  let folder: Folder;
  beforeAll(async () => {
    parts = await testParts();
  });
  beforeEach(() => {
    folder = testFolder(parts, {
      'amends.yaml': CONFIG,
      'rules/down.json': rule('down', 'ShopDown', 5, MEND),
      'rules/other.json': rule('other', 'ShopGone', 5, { type: 'escalate' }),
      'runbooks/shop/mend.yaml': `version: 1
summary: Mend.
severity: SEV3
steps: [{ id: mend, uses: wait.for, with: { duration: 1ms } }]
verify: [{ uses: wait.for, with: { duration: 1ms } }]
guide: Look.
`,
    });
  });
  afterEach(() => folder.remove());

  const judged = async (tests: string, only = 'down'): Promise<readonly Mutant[]> => {
    folder.write({ 'rules/down.test.yaml': tests });
    const suite = await folder.run('rules/down.test.yaml');
    const [first] = suite.ruleTests;
    const files = await folder.bases.filesOf(first!.loaded.config);
    if (!files.ok) throw new Error(JSON.stringify(files.problems));
    return mutate({
      loaded: first!.loaded,
      files: files.value.rules,
      conditions: files.value.conditions,
      chosen: (file) => file.endsWith(`${only}.json`),
      tests: suite.ruleTests,
      facts: parts.facts,
    });
  };
  const fates = (mutants: readonly Mutant[], fate: Mutant['fate']): readonly string[] =>
    mutants
      .filter((one) => one.fate === fate)
      .map(({ what, by }) => `${what}${by === '' ? '' : ` (${by.replace(/:.*/, '')})`}`);

  it('notice what they would no longer pass with, and only that', async () => {
    const one = await judged(TESTS);
    expect(fates(one, 'noticed')).toEqual([
      '"ShopDown" -> "ShopDownChanged" (it acts)',
      'remediate -> escalate (it acts)',
      '"auto" -> "approve" (it acts)',
      '"auto" -> "shadow" (it acts)',
    ]);
    expect(fates(one, 'unnoticed')).toEqual(['"equal" -> "startsWith"']);
    expect(noticedShare(one)).toBe(0.8);
    const two = await judged(TESTS + NEAR);
    expect(fates(two, 'unnoticed')).toEqual([]);
    expect(fates(two, 'noticed')).toContain('"equal" -> "startsWith" (it keeps out)');
  });

  it('leave out what the loader refuses and what can make no difference, each with its reason', async () => {
    const mutants = await judged(TESTS);
    expect(fates(mutants, 'left_out')).toEqual([
      '"equal" -> "notEqual" (amends check refuses it)',
      'another priority (no other rule can match the same alert)',
    ]);
    expect(mutantLines(mutants, (file) => file.split('/').at(-1) ?? '')).toEqual([
      'changes of rules that a test noticed: 4 of 5 (80%)',
      expect.stringMatching(
        /^ {2}down\.json:\d+: no test of down notices \/conditions\/all\/0\/operator: "equal" -> "startsWith"$/,
      ),
      'left out: 1, amends check refuses it',
      'left out: 1, no other rule can match the same alert',
    ]);
  });

  it('are asked about a priority when another rule is for the same alert', async () => {
    folder.write({ 'rules/other.json': rule('other', 'ShopDown', 3, { type: 'escalate' }) });
    const mutants = await judged(TESTS);
    expect(fates(mutants, 'noticed')).toContain('5 -> 2 (it acts)');
  });

  it('say nothing when they do not pass to begin with', async () => {
    const mutants = await judged(TESTS.replace('admitted', 'escalated'));
    expect(fates(mutants, 'noticed')).toEqual([]);
  });

  it('cover a rule by a case in which it acts and one in which it keeps out, where the case passes and says so', async () => {
    const coverage = async (tests: string): Promise<readonly [number, number]> => {
      folder.write({ 'rules/down.test.yaml': tests });
      const { ruleTests } = await folder.run('rules/down.test.yaml');
      const rules = ruleTests[0]!.loaded.catalog.rules.rules.map((one) => ({ ...one, folder: folder.path }));
      const [found] = coverRules(
        rules.filter(({ name }) => name === 'down'),
        ruleTests,
      );
      return [found!.positive, found!.negative];
    };
    expect(await coverage(TESTS)).toEqual([1, 0]);
    expect(await coverage(TESTS + NEAR)).toEqual([1, 1]);
    expect(await coverage(TESTS.replace('admitted', 'escalated') + NEAR.replace('no_match', 'observed'))).toEqual([
      0, 0,
    ]);
    expect(await coverage(TESTS.replace('exp_reason: admitted, exp_rule: down', 'exp_attempts: 1'))).toEqual([0, 0]);
    expect(
      coverRunbooks(
        ['a/b', 'a/c'],
        [
          { runbook: 'a/b', outcome: 'resolved', passed: true },
          { runbook: 'a/b', outcome: 'unresolved', passed: true },
          { runbook: 'a/c', outcome: 'resolved', passed: false },
        ],
      ),
    ).toEqual([
      { runbook: 'a/b', recovered: 1, failed: 1 },
      { runbook: 'a/c', recovered: 0, failed: 0 },
    ]);
  });
});
