// docs/testing.md does what it says: its tests pass on its rule, its failure looks as shown, and no expectation is missing.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { cp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { formatProblem } from '../../src/base/failure.ts';
import { createBases } from '../../src/replay/test-base.ts';
import { fileLines } from '../../src/replay/test-text.ts';
import type { TestParts } from '../../src/replay/test-world.ts';
import { root } from '../support/content.ts';
import { writeFiles } from '../support/engine.ts';
import { runFiles, testParts } from '../support/test-files.ts';

const page = readFileSync(join(root, 'docs/testing.md'), 'utf8');
const blocks = new Map(
  [...page.matchAll(/^```\w+ (\S+)\n(.*?)^```$/gms)].map((match) => [match[1] ?? '', match[2] ?? '']),
);
const RULE_TEST = 'rules/redis/redis-down.test.yaml';
const RUNBOOK_TEST = 'runbooks/redis/reconnect.test.yaml';

let parts: TestParts;
let folder = '';
beforeAll(async () => {
  parts = await testParts();
  folder = mkdtempSync(join(tmpdir(), 'amends-testing-page-'));
  for (const name of ['runbooks/redis', 'runbooks/groups'])
    await cp(join(root, name), join(folder, name), { recursive: true });
  const degraded = 'degraded_modes: { redis_unavailable: { impact: less memory } }\n';
  writeFiles(folder, { ...Object.fromEntries(blocks), 'amends.yaml': `version: 1\n${degraded}` });
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const lines = async (...names: readonly string[]): Promise<string> => {
  const bases = createBases(parts, join(folder, 'amends.yaml'));
  const { files } = await runFiles(
    parts,
    bases,
    names.map((name) => join(folder, name)),
  );
  expect(files.flatMap(({ problems }) => problems.map(formatProblem))).toEqual([]);
  return files.flatMap((file) => fileLines(file, file.file.slice(folder.length + 1))).join('\n');
};

it('the tests of docs/testing.md pass', async () => {
  expect(await lines(RULE_TEST, RUNBOOK_TEST)).toBe(`ok    ${RULE_TEST} (3 tests)\nok    ${RUNBOOK_TEST} (2 tests)`);
});

it('the failure that docs/testing.md shows looks like that', async () => {
  const text = blocks.get(RULE_TEST) ?? '';
  const wrong = text.replace('eval_time: 4m, exp_reason: awaiting_approval', 'eval_time: 4m, exp_reason: admitted');
  expect(wrong).not.toBe(text);
  writeFiles(folder, { [RULE_TEST]: wrong });
  expect(`${await lines(RULE_TEST)}\n`).toBe(blocks.get('failing'));
});

it('docs/testing.md explains every expectation and every member of a test', () => {
  const schema = readFileSync(join(root, 'schemas/test.schema.json'), 'utf8');
  const names = [...schema.matchAll(/"(exp_\w+)"/g)].map((match) => match[1] ?? '');
  expect(names.length).toBeGreaterThan(30);
  expect([...new Set(names)].filter((name) => !page.includes(`\`${name}\``))).toEqual([]);
  const members = [
    'mode',
    'start',
    'alerts',
    'run_outcomes',
    'facts',
    'degraded',
    'acts',
    'inputs',
    'alert',
    'exhausted',
  ];
  expect(members.filter((name) => !schema.includes(`"${name}"`) || !page.includes(`\`${name}\``))).toEqual([]);
});
