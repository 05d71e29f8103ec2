// The fact that asks Prometheus: what it asks, and what counts as an answer. Real ones answer in test/acceptance.
import fc from 'fast-check';
import { describe, expect, it } from '@jest/globals';
import { ok, refused } from '../../../src/base/failure.ts';
import type { Result } from '../../../src/base/failure.ts';
import type { JsonObject } from '../../../src/base/json.ts';
import type { FactInput } from '../../../src/port/fact.ts';
import type { Sample } from '../../../src/port/sources.ts';
import type { Answer } from '../../../src/rule/fact.ts';
import { codesOf, facts, inputOf, ruleText } from '../rule/world.ts';

const fact = facts.get('prometheus');
const samples = (...values: readonly number[]): Result<readonly Sample[]> =>
  ok(values.map((value) => ({ labels: {}, value })));

const ask = async (
  params: JsonObject,
  answer: Result<readonly Sample[]> = samples(1),
  labels: Record<string, string> = {},
  changes: Partial<FactInput> = {},
): Promise<Answer & { readonly asked: readonly string[] }> => {
  if (fact?.outside !== true) throw new Error('prometheus asks nobody');
  const asked: string[] = [];
  const sources = {
    query: (promql: string) => {
      asked.push(promql);
      return Promise.resolve(answer);
    },
  };
  return { ...(await fact.ask(inputOf(labels, changes), params, sources)), asked };
};
const refusedBecause = (query: string): readonly string[] =>
  codesOf(
    ruleText({
      conditions: {
        all: [
          { fact: 'alertname', operator: 'equal', value: 'X' },
          { fact: 'prometheus', params: { query }, operator: 'greaterThan', value: 0 },
        ],
      },
    }),
  );

describe('the fact prometheus', () => {
  it('F56 I12 is the value of exactly one sample; no sample, several, or no number are no answer', async () => {
    expect(await ask({ query: 'up' }, samples(0.25))).toMatchObject({ value: 0.25, shown: { query: 'up' } });
    expect(await ask({ query: 'up' }, samples())).toMatchObject({
      value: undefined,
      problem: 'the query gave no sample',
    });
    expect(await ask({ query: 'up' }, samples(1, 1))).toMatchObject({
      value: undefined,
      problem: 'the query gave 2 samples, not one',
    });
    for (const odd of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])
      expect(await ask({ query: 'up' }, samples(odd))).toMatchObject({
        value: undefined,
        problem: `the query gave ${odd}`,
      });
    expect(await ask({ query: 'up' }, refused([{ code: 'x', message: 'Prometheus is gone' }]))).toMatchObject({
      value: undefined,
      problem: 'Prometheus is gone',
    });
  });

  it('takes `empty` for no sample, and for nothing else', async () => {
    expect(await ask({ query: 'up', empty: 0 }, samples())).toMatchObject({ value: 0 });
    expect(await ask({ query: 'up', empty: 0 }, samples(7))).toMatchObject({ value: 7 });
    expect((await ask({ query: 'up', empty: 0 }, samples(1, 2))).problem).toBeDefined();
    expect((await ask({ query: 'up', empty: 0 }, samples(Number.NaN))).problem).toBeDefined();
    expect((await ask({ query: 'up', empty: 0 }, refused([{ code: 'x', message: 'gone' }]))).problem).toBe('gone');
  });

  it('C11 puts labels in as quoted strings, whatever they say', async () => {
    const query = 'sum(rate(errors{instance={{ label.instance }},job!={{label.job}}}[5m]))';
    const { asked, shown } = await ask({ query, id: 'rate' }, samples(1), {
      instance: '"} or vector(1) #',
      job: 'a\\"\n\u0000é🧊`\'',
    });
    expect(asked).toEqual(['sum(rate(errors{instance="\\"} or vector(1) #",job!="a\\\\\\"\\n\\u0000é🧊`\'"}[5m]))']);
    expect(shown).toEqual({ id: 'rate', query: asked[0] });
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: 'binary', minLength: 1 }), async (value) => {
        const [filled = ''] = (await ask({ query: 'x{a={{ label.a }}}' }, samples(1), { a: value })).asked;
        const literal = filled.slice('x{a='.length, -1);
        expect(literal).toMatch(/^"(?:[^"\\\n]|\\["\\bfnrt]|\\u[0-9a-f]{4})*"$/);
        expect(JSON.parse(literal)).toBe(value);
      }),
    );
  });

  it('knows the target and the component, and asks nobody when something it needs is missing', async () => {
    const query = 'up{target={{ target }},component={{ component }}}';
    expect((await ask({ query }, samples(1), {}, { target: 'a"b', component: 'shop' })).asked).toEqual([
      'up{target="a\\"b",component="shop"}',
    ]);
    for (const changes of [{}, { target: 'a' }, { component: 'shop' }])
      expect(await ask({ query }, samples(1), {}, changes)).toMatchObject({
        asked: [],
        value: undefined,
        problem: expect.stringMatching(/which is not there/),
      });
    expect(await ask({ query: 'up{a={{ label.__proto__ }}}' })).toMatchObject({ asked: [], value: undefined });
    expect(await ask({ query: 'up{a={{ label.a }}}' }, samples(1), { a: '' })).toMatchObject({
      asked: [],
      value: undefined,
    });
  });

  it.each([
    'up',
    'up{a="{b}"}',
    "up{a='it''s'}",
    'up{a={{ label.a }}, b != {{label.b.c}}}',
    'up{a="\\"",b={{ label.b }}}',
    '# what is "up\nup{a={{ label.a }}}',
    'up{a=`\\`,b={{ label.b }}}',
  ])('takes %s', (query) => expect(refusedBecause(query)).toEqual([]));

  it.each([
    'up{a="{{ label.a }}"}',
    "up{a='{{ label.a }}'}",
    'up{a=`{{ label.a }}`}',
    'up{a="\\"{{ label.a }}"}',
    'up # {{ label.a }}',
    'up{a=~{{ label.a }}}',
    'up{a!~{{ label.a }}}',
    '{{ label.a }}',
    'up[{{ label.a }}]',
    'up == {{ label.a }}',
    'up >= {{ label.a }}',
    'up{{{ label.a }}="x"}',
    'up{a={{ annotation.a }}}',
    'up{a={{ label }}}',
    'up{a={{ label.a }',
    'up{a=${{ label.a }}}',
    '   ',
    '# nothing',
    '',
  ])('C11 refuses %s', (query) => expect([...new Set(refusedBecause(query))]).toEqual(['bad-params']));
});
