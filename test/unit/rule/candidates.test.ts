import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { JsonObject } from '../../../src/base/json.ts';
import { indexRules } from '../../../src/rule/candidates.ts';
import { evaluateConditions } from '../../../src/rule/evaluate.ts';
import type { Rule } from '../../../src/rule/rule.ts';
import { labelsOf, readerOf, rulesOf, ruleText } from './world.ts';

const [base] = rulesOf([ruleText()]);
const ruleWith = (conditions: JsonObject, name: string): Rule => ({ ...(base as Rule), name, conditions });
const leafOf = (fact: string, operator: string, value: string | readonly string[]): JsonObject => ({
  fact,
  operator,
  value,
});

const WORDS = ['a', 'b', 'c', '__proto__', ''];
const word = fc.constantFrom(...WORDS);
const fact = fc.constantFrom('alertname', 'label.x', 'label.__proto__', 'component', 'severity', 'annotation.x');
const leaf: fc.Arbitrary<JsonObject> = fc.oneof(
  fc
    .tuple(fact, fc.constantFrom('equal', 'notEqual', 'startsWith', 'exists'), word)
    .map(([name, operator, value]) => ({ fact: name, operator, value: operator === 'exists' ? value === 'a' : value })),
  fc
    .tuple(fact, fc.constantFrom('in', 'notIn'), fc.array(word, { minLength: 1, maxLength: 3 }))
    .map(([name, operator, value]) => leafOf(name, operator, value)),
);
const { tree } = fc.letrec<{ tree: JsonObject }>((tie) => ({
  tree: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    leaf,
    fc.array(tie('tree'), { minLength: 1, maxLength: 3 }).map((all) => ({ all })),
    fc.array(tie('tree'), { minLength: 1, maxLength: 3 }).map((any) => ({ any })),
    tie('tree').map((not) => ({ not })),
  ),
}));
const root = fc.oneof(
  fc.array(tree, { minLength: 1, maxLength: 3 }).map((all): JsonObject => ({ all })),
  fc.array(tree, { minLength: 1, maxLength: 3 }).map((any): JsonObject => ({ any })),
);
const labels = fc.dictionary(fc.constantFrom('alertname', 'x', '__proto__', 'severity'), word, {
  noNullPrototype: false,
});

const FACTS = new Set(['alertname', 'label.x', 'label.__proto__', 'component', 'severity', 'annotation.x']);

describe('the index of rules', () => {
  it('lets every rule through that matches, whatever the rules and the alert', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(root, { minLength: 1, maxLength: 6 }),
        labels,
        fc.option(word),
        async (conditions, pairs, component) => {
          const rules = conditions.map((condition, index) => ruleWith(condition, `rule-${index}`));
          const alertLabels = labelsOf(pairs);
          const read = readerOf(pairs, { component });
          const candidates = indexRules(rules).of(alertLabels, component);
          for (const [position, rule] of rules.entries()) {
            const { matched } = await evaluateConditions(rule.conditions, FACTS, (name, params) =>
              read(name, params, rule),
            );
            if (matched) expect(candidates).toContain(position);
          }
          expect(candidates).toEqual([...candidates].toSorted((left, right) => left - right));
          expect(new Set(candidates).size).toBe(candidates.length);
        },
      ),
      { numRuns: 400 },
    );
  });

  it('goes by a term that must hold, not by one that may', () => {
    const index = indexRules([
      ruleWith({ all: [leafOf('label.env', 'equal', 'prod'), leafOf('alertname', 'in', ['A', 'B'])] }, 'by label'),
      ruleWith({ any: [leafOf('alertname', 'equal', 'A'), leafOf('label.job', 'equal', 'redis')] }, 'by either'),
      ruleWith({ any: [leafOf('alertname', 'equal', 'A'), leafOf('label.job', 'startsWith', 'r')] }, 'always'),
      ruleWith({ not: leafOf('alertname', 'equal', 'A') }, 'always too'),
      ruleWith({ all: [leafOf('component', 'equal', 'cache')] }, 'by component'),
    ]);
    expect(index.of(labelsOf({ alertname: 'A' }), null)).toEqual([1, 2, 3]);
    expect(index.of(labelsOf({ alertname: 'C', env: 'prod', job: 'redis' }), null)).toEqual([0, 1, 2, 3]);
    expect(index.of(labelsOf({ component: 'cache' }), null)).toEqual([2, 3]);
    expect(index.of(labelsOf({}), 'cache')).toEqual([2, 3, 4]);
  });
});
