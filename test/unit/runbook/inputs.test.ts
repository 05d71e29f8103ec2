import { describe, expect, it } from '@jest/globals';
import type { Json } from '../../../src/base/json.ts';
import { declareInput, resolveInputs } from '../../../src/runbook/inputs.ts';
import type { Input } from '../../../src/runbook/runbook.ts';

const input = (document: Parameters<typeof declareInput>[0]): Input => declareInput(document).input;
const runbook = {
  name: 'redis/reconnect',
  inputs: {
    idle_over: input({ type: 'duration', default: '60s' }),
    level: input({ type: 'string', default: 'low', enum: ['low', 'high'] }),
    queue: input({ type: 'string', default: 'q1', pattern: 'q[0-9]+' }),
    hosts: input({ type: 'list', default: [], pattern: '[a-z]+' }),
    share: input({ type: 'number', default: 0.5 }),
    force: input({ type: 'boolean', default: false }),
  },
};
const resolve = (given: Readonly<Record<string, Json>>): unknown => {
  const result = resolveInputs(runbook, given);
  return result.ok ? result.value : result.problems.map((problem) => `${problem.code} ${problem.pointer}`);
};

describe('resolveInputs', () => {
  it('puts defaults in and keeps what is given', () => {
    expect(resolve({ idle_over: '5m', hosts: ['a'] })).toEqual({
      idle_over: '5m',
      level: 'low',
      queue: 'q1',
      hosts: ['a'],
      share: 0.5,
      force: false,
    });
  });

  it.each<[string, Json]>([
    ['idle_over', 60],
    ['idle_over', 'soon'],
    ['level', 'mid'],
    ['level', 1],
    ['queue', 'q1; rm -rf /'],
    ['queue', 'xq1'],
    ['queue', 'q1\n'],
    ['hosts', 'a'],
    ['hosts', ['a', 'B']],
    ['hosts', [['a']]],
    ['hosts', [null]],
    ['share', '0.5'],
    ['force', 'true'],
    ['queue', '${{ label.x }}'],
  ])('refuses %s = %j', (name, value) => expect(resolve({ [name]: value })).toEqual([`bad-input /${name}`]));

  it('refuses an unknown input and names the near one', () => {
    const result = resolveInputs(runbook, { idle_ovr: '5m' });
    expect(result).toMatchObject({ ok: false, problems: [{ code: 'unknown-input', mend: 'did you mean idle_over?' }] });
    expect(resolve({ constructor: 1 })).toEqual(['unknown-input /constructor']);
    expect(resolveInputs(runbook, JSON.parse('{"__proto__": 1}') as Record<string, Json>).ok).toBe(false);
  });

  it('asks for what has no default', () => {
    const needs = { name: 'a/b', inputs: { path: input({ type: 'string' }) } };
    expect(resolveInputs(needs, {})).toMatchObject({ ok: false, problems: [{ code: 'missing-input' }] });
    expect(resolveInputs(needs, { path: '/a' })).toEqual({ ok: true, value: { path: '/a' } });
  });
});

describe('declareInput', () => {
  it('C11: takes RE2 alone, so that no pattern can hang on a label', () => {
    expect(declareInput({ type: 'string', pattern: '(?=a)b' }).problems).toMatchObject([{ code: 'bad-pattern' }]);
    const evil = { name: 'a/b', inputs: { x: input({ type: 'string', pattern: '(a+)+$' }) } };
    const started = performance.now();
    expect(resolveInputs(evil, { x: `${'a'.repeat(4_000)}!` }).ok).toBe(false);
    expect(performance.now() - started).toBeLessThan(200);
  });

  it('refuses a default that does not fit its own declaration', () => {
    expect(declareInput({ type: 'number', default: 'x' }).problems).toMatchObject([{ pointer: '/default' }]);
    expect(declareInput({ type: 'number', pattern: 'x' }).problems).toMatchObject([{ pointer: '/pattern' }]);
    expect(declareInput({ type: 'number', enum: [1, 'two'] }).problems).toMatchObject([{ pointer: '/enum/1' }]);
  });
});
