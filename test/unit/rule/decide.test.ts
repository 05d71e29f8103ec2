import { describe, expect, it } from '@jest/globals';
import type { FactInput } from '../../../src/port/fact.ts';
import { createRuleSet, decide } from '../../../src/rule/decide.ts';
import type { Choice } from '../../../src/rule/decide.ts';
import { alertOf, attemptOf, facts, labelsOf, readerOf, ruleText, rulesOf } from './world.ts';

const when = (...conditions: unknown[]): { conditions: unknown } => ({
  conditions: { all: [{ fact: 'alertname', operator: 'equal', value: 'RedisDown' }, ...conditions] },
});

const choose = (
  texts: readonly unknown[],
  labels: Record<string, string> = {},
  changes: Partial<FactInput> = {},
): Promise<Choice> => {
  const all = { alertname: 'RedisDown', ...labels };
  return decide(createRuleSet(rulesOf(texts), facts), {
    labels: labelsOf(all),
    component: changes.component ?? null,
    read: readerOf(all, changes),
  });
};

describe('the choice of a rule', () => {
  it('F33 I11: takes the highest priority, then the name, in whatever order the files come', async () => {
    const texts = [
      ruleText({ name: 'b', priority: 5 }),
      ruleText({ name: 'c', priority: 9 }),
      ruleText({ name: 'a', priority: 5 }),
      ruleText({ name: 'z', priority: 9 }),
    ];
    const choices = await Promise.all([choose(texts), choose(texts.toReversed())]);
    for (const choice of choices) {
      expect(choice.winner?.name).toBe('c');
      expect(choice.candidates).toEqual(['c', 'z', 'a', 'b']);
      expect(choice.trace.map(({ rule }) => rule)).toEqual(['c']);
    }
    expect({ ...choices[0], winner: null }).toEqual({ ...choices[1], winner: null });
  });

  it('answers no winner and no candidates when no rule is about the alert', async () => {
    const choice = await choose([ruleText()], { alertname: 'Other' });
    expect(choice).toMatchObject({ winner: null, candidates: [], trace: [], errors: [] });
    expect(Object.keys(choice.facts)).toEqual([]);
  });

  it('does not let a rule that is shadow by itself end the search, and counts its attempts on its own ledger', async () => {
    const few = { fact: 'attempts', operator: 'lessThan', value: 2 };
    const params = { runbook: 'redis/reconnect', mode: 'shadow' };
    const texts = [
      ruleText({ name: 'tried', priority: 9, ...when(few), event: { type: 'remediate', params } }),
      ruleText({ name: 'used-up', priority: 8, ...when(few), event: { type: 'remediate', params } }),
      ruleText({ name: 'live', ...when({ fact: 'attempts', operator: 'equal', value: 1 }) }),
      ruleText({ name: 'never', priority: 1, ...when(few), event: { type: 'observe' } }),
    ];
    const attempts = [attemptOf(), attemptOf({ ledger: 'shadow:used-up' }), attemptOf({ ledger: 'shadow:used-up' })];
    const choice = await choose(
      texts,
      {},
      { component: 'cache', snapshot: { version: 1, attempts, firingTargets: 1, degraded: [] } },
    );
    expect(choice.shadows.map(({ name }) => name)).toEqual(['tried']);
    expect(choice.winner?.name).toBe('live');
    expect(choice.facts).toMatchObject({ 'attempts@tried': 0, 'attempts@used-up': 2, 'attempts@live': 1 });
  });

  it('records an error as that rule alone, and lets the others decide', async () => {
    const texts = [
      ruleText({ name: 'broken', priority: 9, ...when({ fact: 'firing', operator: 'equal', value: 1 }) }),
      ruleText({ name: 'sound' }),
    ];
    const read = readerOf({ alertname: 'RedisDown' });
    const choice = await decide(createRuleSet(rulesOf(texts), facts), {
      labels: labelsOf({ alertname: 'RedisDown' }),
      component: null,
      read: (fact, params, rule) => {
        if (fact === 'firing') throw new Error('cannot be read');
        return read(fact, params, rule);
      },
    });
    expect(choice.errors).toEqual([{ rule: 'broken', error: 'cannot be read' }]);
    expect(choice.winner?.name).toBe('sound');
    expect(choice.trace[0]).toMatchObject({
      rule: 'broken',
      matched: false,
      conditions: null,
      error: 'cannot be read',
    });
  });

  it('keeps every value it read, and every condition with its value and result', async () => {
    const text = ruleText({
      ...when(
        { fact: 'label.env', operator: 'equal', value: 'prod', name: 'only in production' },
        {
          any: [
            { fact: 'age_seconds', operator: 'greaterThan', value: 60 },
            { not: { fact: 'label.tier', operator: 'exists', value: true } },
          ],
        },
      ),
    });
    const choice = await choose([text], { env: 'prod' });
    expect({ ...choice.facts }).toEqual({
      alertname: 'RedisDown',
      'label.env': 'prod',
      age_seconds: 90,
      'label.tier': { value: null, absent: true },
    });
    expect(choice.trace[0]?.conditions).toEqual({
      result: true,
      all: [
        { fact: 'alertname', operator: 'equal', value: 'RedisDown', actual: 'RedisDown', result: true },
        {
          fact: 'label.env',
          operator: 'equal',
          value: 'prod',
          actual: 'prod',
          result: true,
          name: 'only in production',
        },
        {
          result: true,
          any: [
            { fact: 'age_seconds', operator: 'greaterThan', value: 60, actual: 90, result: true },
            {
              result: true,
              not: { fact: 'label.tier', operator: 'exists', value: true, actual: null, absent: true, result: false },
            },
          ],
        },
      ],
    });
  });

  it('never takes a missing label for unequal, nor the text "5" for a number', async () => {
    const texts = [
      ruleText({
        name: 'unequal',
        ...when(
          { fact: 'label.env', operator: 'exists', value: true },
          { fact: 'label.env', operator: 'notEqual', value: 'dev' },
        ),
      }),
    ];
    expect((await choose(texts)).winner).toBeNull();
    expect((await choose(texts, { env: '' })).winner).toBeNull();
    expect((await choose(texts, { env: 'dev' })).winner).toBeNull();
    expect((await choose(texts, { env: 'prod' })).winner?.name).toBe('unequal');
  });

  it('C5: takes labels called __proto__, constructor and prototype as data', async () => {
    for (const name of ['__proto__', 'constructor', 'prototype', 'toString', 'hasOwnProperty']) {
      const text = ruleText({ ...when({ fact: `label.${name}`, operator: 'equal', value: 'x' }) });
      const labels = labelsOf({ alertname: 'RedisDown' });
      const without = await choose([text]);
      expect(without.winner).toBeNull();
      expect(Object.hasOwn(without.facts, `label.${name}`)).toBe(true);
      (labels as Record<string, string>)[name] = 'x';
      const input = { alert: alertOf(labels) };
      const rules = createRuleSet(rulesOf([text]), facts);
      const found = await decide(rules, { labels, component: null, read: readerOf({}, input) });
      expect(found.winner?.name).toBe('redis-connection-lost');
      expect(({} as Record<string, unknown>)['polluted']).toBeUndefined();
      const byLabel = ruleText({ conditions: { all: [{ fact: `label.${name}`, operator: 'equal', value: 'x' }] } });
      const indexed = createRuleSet(rulesOf([byLabel]), facts);
      expect(
        (await decide(indexed, { labels: labelsOf({ alertname: 'y' }), component: null, read: readerOf({}) }))
          .candidates,
      ).toEqual([]);
      expect((await decide(indexed, { labels, component: null, read: readerOf({}, input) })).winner?.name).toBe(
        'redis-connection-lost',
      );
    }
  });

  it('leaves the rules as they are, and decides the same again', async () => {
    const text = ruleText({
      ...when({
        any: [
          { fact: 'label.env', operator: 'equal', value: 'prod', priority: 7 },
          { fact: 'age_seconds', operator: 'lessThan', value: 1 },
        ],
      }),
    });
    const rules = rulesOf([text]);
    const before = JSON.stringify(rules);
    const ruleSet = createRuleSet(rules, facts);
    const ask = (env: string): Promise<Choice> => {
      const labels = { alertname: 'RedisDown', env };
      return decide(ruleSet, { labels: labelsOf(labels), component: null, read: readerOf(labels) });
    };
    const first = [await ask('prod'), await ask('dev')];
    expect([await ask('prod'), await ask('dev')]).toEqual(first);
    expect(first.map(({ winner }) => winner !== null)).toEqual([true, false]);
    // A condition of a lower priority is not looked at once the higher has settled it, and is not said to have been.
    expect(first[0]?.trace[0]?.conditions?.['all']).toMatchObject([
      { result: true },
      { any: [{ result: true }, { result: null, actual: null }] },
    ]);
    expect(Object.keys(first[0]?.facts ?? {})).toEqual(['alertname', 'label.env']);
    expect(JSON.stringify(rules)).toBe(before);
  });

  it('runs many decisions at once over one set without mixing them up', async () => {
    const ruleSet = createRuleSet(
      rulesOf([ruleText({ ...when({ fact: 'label.n', operator: 'matches', value: '[0-9]*[05]' }) })]),
      facts,
    );
    const choices = await Promise.all(
      Array.from({ length: 200 }, (_, n) => {
        const labels = { alertname: 'RedisDown', n: String(n) };
        return decide(ruleSet, { labels: labelsOf(labels), component: null, read: readerOf(labels) });
      }),
    );
    choices.forEach((choice, n) => {
      expect(choice.winner !== null).toBe(n % 5 === 0);
      expect(choice.facts['label.n']).toBe(String(n));
    });
  });

  it('does not cost more with more rules', async () => {
    const labels = { alertname: 'Alert5', env: 'prod' };
    const input = { labels: labelsOf(labels), component: null, read: readerOf(labels) };
    const among = (count: number) => {
      const rules = Array.from({ length: count }, (_, n) =>
        ruleText({
          name: `rule-${n}`,
          conditions: {
            all: [
              { fact: 'alertname', operator: 'equal', value: `Alert${n}` },
              { fact: 'label.env', operator: 'equal', value: 'prod' },
            ],
          },
        }),
      );
      const ruleSet = createRuleSet(rulesOf(rules), facts);
      return async (): Promise<number> => {
        const start = performance.now();
        for (let round = 0; round < 500; round += 1) await decide(ruleSet, input);
        return performance.now() - start;
      };
    };
    const [few, many] = [among(10), among(1_000)];
    const times: Array<readonly [number, number]> = [];
    for (let round = 0; round < 6; round += 1) times.push([await few(), await many()]);
    // The same on an idle machine and on a busy one, since the two take turns; without an index it is a hundred times.
    const least = (which: 0 | 1): number => Math.min(...times.map((time) => time[which]));
    expect(least(1)).toBeLessThan(least(0) * 5);
  });
});
