// Figures from outside: asked for last, only where they matter, and never a match when they cannot be had.
import fc from 'fast-check';
import { describe, expect, it } from '@jest/globals';
import type { JsonObject } from '../../../src/base/json.ts';
import { createRuleSet, decide } from '../../../src/rule/decide.ts';
import type { Choice } from '../../../src/rule/decide.ts';
import { evaluateConditions } from '../../../src/rule/evaluate.ts';
import { openQuestions } from '../../../src/rule/questions.ts';
import { facts, labelsOf, readerOf, ruleText, rulesOf } from './world.ts';

const queryOf = (params: JsonObject): string => (typeof params['query'] === 'string' ? params['query'] : '');

const LABELS = { alertname: 'RedisDown', env: 'prod' };
const NAMED = { fact: 'alertname', operator: 'equal', value: 'RedisDown' };
const PROD = { fact: 'label.env', operator: 'equal', value: 'prod' };
const STAGING = { fact: 'label.env', operator: 'equal', value: 'staging' };
const over = (query: string, value = 5): object => ({
  fact: 'prometheus',
  params: { query },
  operator: 'greaterThan',
  value,
});
const rule = (name: string, priority: number, conditions: object, mode = 'auto'): object =>
  ruleText({ name, priority, conditions, event: { type: 'remediate', params: { runbook: 'redis/reconnect', mode } } });

/** `answers` by query; one that is missing cannot be had. */
const choose = async (
  rules: readonly object[],
  answers: Readonly<Record<string, number>>,
): Promise<{ readonly choice: Choice; readonly asked: readonly string[] }> => {
  const asked: string[] = [];
  const choice = await decide(createRuleSet(rulesOf(rules), facts), {
    labels: labelsOf(LABELS),
    component: 'cache',
    read: readerOf(LABELS, { component: 'cache' }),
    ask: (_, params) => {
      const query = queryOf(params);
      asked.push(query);
      const value = answers[query];
      return Promise.resolve({
        value,
        shown: { query },
        ...(value === undefined ? { problem: `${query} is not known` } : {}),
      });
    },
  });
  return { choice, asked };
};

describe('a fact that takes I/O', () => {
  it('is asked for only by rules whose other conditions hold', async () => {
    const { choice, asked } = await choose(
      [
        rule('elsewhere', 9, { all: [NAMED, over('a'), STAGING] }),
        rule('either', 8, { all: [NAMED, { any: [over('b'), STAGING] }] }),
        rule('no-need', 7, { all: [NAMED, { any: [over('c'), PROD] }] }),
        rule('below', 6, { all: [NAMED, over('d')] }),
      ],
      { b: 1 },
    );
    expect(asked).toEqual(['b']);
    expect(choice).toMatchObject({ winner: { name: 'no-need' }, errors: [], undecided: [] });
    expect(choice.trace[0]).toMatchObject({
      rule: 'elsewhere',
      matched: false,
      conditions: { all: [{ result: true }, { fact: 'prometheus', actual: null, result: null }, { result: false }] },
    });
  });

  it('is asked for once a decision, all of a rule at once, and recorded with what was asked and answered', async () => {
    const { choice, asked } = await choose(
      [
        rule('first', 9, { all: [NAMED, over('a'), over('b')] }),
        rule('second', 8, { all: [NAMED, over('a', 2), { not: over('b', 9) }] }),
      ],
      { a: 3, b: 4 },
    );
    expect(asked).toEqual(['a', 'b']);
    expect(choice.winner?.name).toBe('second');
    expect(choice.facts).toMatchObject({
      'prometheus{"query":"a"}': { query: 'a', value: 3 },
      'prometheus{"query":"b"}': { query: 'b', value: 4 },
    });
  });

  it('I12 that cannot be had makes its rule an error, never a match, and whatever stands below it undecided', async () => {
    const { choice } = await choose(
      [rule('blind', 9, { all: [NAMED, { not: over('gone') }] }), rule('sure', 1, { all: [NAMED] })],
      {},
    );
    expect(choice.errors).toEqual([{ rule: 'blind', error: 'gone is not known' }]);
    expect(choice.undecided).toEqual(choice.errors);
    expect(choice.facts).toMatchObject({
      'prometheus{"query":"gone"}': { query: 'gone', value: null, problem: 'gone is not known' },
    });
  });

  it('I12 and that another rule asked for in vain is as unknown to the next, without asking again', async () => {
    const { choice, asked } = await choose(
      [rule('one', 9, { all: [NAMED, over('gone')] }), rule('two', 8, { all: [NAMED, over('gone')] })],
      {},
    );
    expect(asked).toEqual(['gone']);
    expect(choice.errors.map(({ rule: name }) => name)).toEqual(['one', 'two']);
  });

  it('and that a rule in shadow by itself could not have leaves the rules below decided', async () => {
    const { choice } = await choose(
      [rule('tried', 9, { all: [NAMED, over('gone')] }, 'shadow'), rule('sure', 1, { all: [NAMED] })],
      {},
    );
    expect(choice).toMatchObject({ winner: { name: 'sure' }, undecided: [], errors: [{ rule: 'tried' }] });
  });

  it('is nothing anybody can be asked where there is nobody to ask', async () => {
    const choice = await decide(createRuleSet(rulesOf([rule('blind', 9, { all: [NAMED, over('a')] })]), facts), {
      labels: labelsOf(LABELS),
      component: null,
      read: readerOf(LABELS),
    });
    expect(choice).toMatchObject({ winner: null, undecided: [{ rule: 'blind' }] });
  });

  it('C11 is never needed where no question is open: whatever were answered, the outcome is the same', async () => {
    const leaf = fc.oneof(
      fc
        .constantFrom('a', 'b', 'c')
        .chain((query) => fc.integer({ min: 0, max: 3 }).map((value) => over(query, value) as JsonObject)),
      fc.constantFrom(PROD, STAGING).map((node) => node as JsonObject),
    );
    const { tree } = fc.letrec<{ tree: JsonObject }>((tie) => ({
      tree: fc.oneof(
        { maxDepth: 4 },
        leaf,
        fc.array(tie('tree'), { minLength: 1, maxLength: 3 }).map((all) => ({ all })),
        fc.array(tie('tree'), { minLength: 1, maxLength: 3 }).map((any) => ({ any })),
        tie('tree').map((not) => ({ not })),
      ),
    }));
    const values = fc.record({
      a: fc.integer({ min: 0, max: 4 }),
      b: fc.integer({ min: 0, max: 4 }),
      c: fc.integer({ min: 0, max: 4 }),
    });
    await fc.assert(
      fc.asyncProperty(tree, fc.subarray(['a', 'b', 'c']), values, values, async (node, known, one, other) => {
        const conditions: JsonObject = { all: [node] };
        const read = (answers: Readonly<Record<string, number>>) => (fact: string, params: JsonObject) =>
          fact === 'prometheus' ? answers[queryOf(params)] : 'prod';
        const open = openQuestions(conditions, (fact, params) =>
          fact === 'prometheus' && !known.includes(queryOf(params)) ? null : { value: read(one)(fact, params) },
        );
        if (open.length > 0) return;
        const mixed = { ...other, ...Object.fromEntries(known.map((query) => [query, one[query as 'a']])) };
        const names = new Set(['prometheus', 'label.env']);
        const [left, right] = await Promise.all([
          evaluateConditions(conditions, names, read(one)),
          evaluateConditions(conditions, names, read(mixed)),
        ]);
        expect(left.matched).toBe(right.matched);
      }),
      { numRuns: 300 },
    );
  });
});
