// One bad file a fault. What each is told stands in __snapshots__, for people to read; after a change on purpose:
// `npm run jest -- test/refusals/rules -u`.
import { readFile, readdir } from 'node:fs/promises';
import { describe, expect, it } from '@jest/globals';
import { formatProblem } from '../../../src/base/failure.ts';
import { loadRules } from '../../../src/rule/load.ts';
import { context, fileOf, ruleText } from '../../unit/rule/world.ts';

const folder = new URL('bad/', import.meta.url);
const files = (await readdir(folder)).filter((name) => name.endsWith('.json')).toSorted();

const named = [
  fileOf({ all: [{ fact: 'label.env', operator: 'equal', value: 'prod' }] }, 'conditions/in-production.json'),
];
const cyclic = [
  fileOf({ all: [{ condition: 'and-round' }] }, 'conditions/round.json'),
  fileOf({ any: [{ condition: 'round' }] }, 'conditions/and-round.json'),
];

describe('a rule file that is refused', () => {
  it('F28: is one of at least sixteen that each have one fault', () => {
    expect(files.length).toBeGreaterThanOrEqual(16);
  });

  it.each(files)('F28 C11: says what is wrong in %s, where, and how to mend it, and leaves its neighbours alone', async (name) => {
    const text = await readFile(new URL(name, folder), 'utf8');
    const conditionFiles = name === 'condition-cycle.json' ? [...named, ...cyclic] : named;
    const { rules, problems } = loadRules([{ file: `rules/${name}`, text }, fileOf(ruleText({ name: 'taken' }), 'rules/a-neighbour.json')], context({ conditionFiles }));
    expect(rules.map((rule) => rule.name)).toEqual(['taken']);
    expect(problems.length).toBeGreaterThan(0);
    for (const problem of problems) {
      expect(problem.code).toMatch(/^[a-z]+(-[a-z]+)*$/);
      expect(problem.file).toBeDefined();
      expect(problem.line).toBeGreaterThan(0);
      expect(problem.column).toBeGreaterThan(0);
      expect(problem.pointer === undefined || problem.pointer === '' || problem.pointer.startsWith('/')).toBe(true);
    }
    const told = `${problems.map(formatProblem).join('\n')}\n`;
    expect(told).toMatchSnapshot();
  });
});
