// Labels select among declared components and targets, and never name new ones.
import { describe, expect, it } from '@jest/globals';
import { parseMatchers } from '../../../src/alert/matcher.ts';
import { createMapping, createSelector } from '../../../src/alert/select.ts';
import type { Component } from '../../../src/alert/component.ts';
import type { Result } from '../../../src/base/failure.ts';

const value = <T>(result: Result<T>): T => {
  if (!result.ok) throw new Error(JSON.stringify(result.problems));
  return result.value;
};
const component = (
  name: string,
  match: string | null,
  targets: readonly string[],
  mapping = createMapping('instance', null, ''),
): Component => ({
  name,
  kind: name,
  team: null,
  allowedActions: [],
  mapping: value(mapping),
  matchers: match === null ? [] : value(parseMatchers(match)),
  targets: new Map(targets.map((target) => [target, { name: target, connect: {}, labels: {} }])),
});
const selector = (...components: readonly Component[]) =>
  createSelector(new Map(components.map((entry) => [entry.name, entry])));
const cache = component(
  'cache',
  'job="redis-cache"',
  ['10.0.0.7:6379'],
  createMapping('instance', '(.+):9121', '$1:6379'),
);
const shop = component('shop-db', null, ['orders', 'users']);

describe('the component', () => {
  it('is the one that the label names, before any match', () => {
    const found = selector(cache, shop)({ component: 'shop-db', job: 'redis-cache', instance: 'orders' });
    expect(found).toMatchObject({ found: true, component: { name: 'shop-db' }, target: { name: 'orders' } });
  });

  it('is the one whose matchers hold when the label names nothing that is declared', () => {
    expect(selector(cache, shop)({ component: 'nope', job: 'redis-cache', instance: '10.0.0.7:9121' })).toMatchObject({
      found: true,
      component: { name: 'cache' },
    });
  });

  it('is none when nothing matches, and one without matchers is never matched', () => {
    expect(selector(cache, shop)({ job: 'other', instance: 'orders' })).toMatchObject({
      found: false,
      ambiguous: false,
      component: null,
      problem: 'no component matches',
    });
  });

  it('names both when two match', () => {
    const twin = component('twin', 'job=~"redis-.*"', ['x']);
    expect(selector(cache, twin)({ job: 'redis-cache' })).toMatchObject({
      found: false,
      ambiguous: true,
      component: null,
      problem: expect.stringContaining('cache and twin'),
    });
  });

  it('needs all of its matchers', () => {
    const strict = component('strict', 'job="a",env!="test",zone=~"eu-.+",host!~"canary.*"', ['x']);
    const select = selector(strict);
    expect(select({ job: 'a', env: 'prod', zone: 'eu-1', instance: 'x' }).found).toBe(true);
    expect(select({ job: 'a', env: 'test', zone: 'eu-1', instance: 'x' }).component).toBeNull();
    expect(select({ job: 'a', zone: 'xeu-1', instance: 'x' }).component).toBeNull();
    expect(select({ job: 'a', zone: 'eu-1', host: 'canary-1', instance: 'x' }).component).toBeNull();
  });
});

describe('the target', () => {
  it('is the one that the label names, if it is in the inventory, else the mapped one', () => {
    expect(selector(cache)({ job: 'redis-cache', target: '10.0.0.7:6379', instance: 'anything' })).toMatchObject({
      found: true,
      target: { name: '10.0.0.7:6379' },
    });
    expect(selector(cache)({ job: 'redis-cache', target: 'evil', instance: '10.0.0.7:9121' })).toMatchObject({
      found: true,
      target: { name: '10.0.0.7:6379' },
    });
  });

  it.each([
    ['missing', {}, null, 'is missing'],
    ['empty', { instance: '' }, null, 'is missing'],
    ['a star', { instance: '*' }, null, 'shape'],
    ['of another shape', { instance: '10.0.0.7:9122' }, null, 'shape'],
    ['not in the inventory', { instance: '10.0.0.8:9121' }, '10.0.0.8:6379', 'not in the inventory'],
    ['only the beginning of one', { instance: 'x\n10.0.0.7:9121' }, null, 'shape'],
  ])('F32 is not found when its label is %s', (_, labels, targetName, problem) => {
    expect(selector(cache)({ job: 'redis-cache', ...labels })).toMatchObject({
      found: false,
      ambiguous: false,
      component: { name: 'cache' },
      targetName,
      problem: expect.stringContaining(problem),
    });
  });

  it('F32 a star is a name like any other', () => {
    expect(selector(shop)({ component: 'shop-db', instance: '*' })).toMatchObject({ found: false, targetName: '*' });
  });
});

describe('matchers', () => {
  it.each([
    ['a=b', 'a', '=', 'b'],
    ['{a="b"}', 'a', '=', 'b'],
    [' a = "b c" ', 'a', '=', 'b c'],
    ['a="x\\"y\\\\z\\n"', 'a', '=', 'x"y\\z\n'],
    ['a=~"10\\.0"', 'a', '=~', '10\\.0'],
    ['a!=""', 'a', '!=', ''],
    ['"k8s.pod"="x"', 'k8s.pod', '=', 'x'],
    ['a=', 'a', '=', ''],
    ['a="x,y}"', 'a', '=', 'x,y}'],
  ])('reads %s', (text, label, operator, expected) => {
    expect(value(parseMatchers(text))).toMatchObject([{ label, operator, value: expected }]);
  });

  it.each([
    '',
    '{}',
    '="x"',
    'a',
    'a>1',
    'a="x',
    'a="x" b="y"',
    'a=x"',
    '9a=b',
    'a=~"("',
    'a=~"(?=x)"',
    `a=~"${'x'.repeat(2_000)}"`,
  ])('refuses %# with a mend', (text) => {
    const result = parseMatchers(text);
    expect(result.ok).toBe(false);
    expect(result.ok ? '' : result.problems[0]?.mend).toBeTruthy();
  });

  it('anchors expressions at both ends and never runs away', () => {
    const [evil] = value(parseMatchers('a=~"(a+)+b"'));
    const start = performance.now();
    expect(evil?.matches('a'.repeat(10_000))).toBe(false);
    expect(performance.now() - start).toBeLessThan(500);
    expect(value(parseMatchers('a=~"b|c"'))[0]?.matches('xb')).toBe(false);
  });
});

describe('the mapping', () => {
  it.each([
    ['(.+):(\\d+)', '$2@$1', 'h:1', '1@h'],
    ['(?P<host>.+):1', '${host}-x$$', 'h:1', 'h-x$'],
    ['(a)|b', '[${1}]', 'b', '[]'],
  ])('applies %s -> %s', (expression, replacement, from, to) => {
    expect(value(createMapping('l', expression, replacement)).apply(from)).toBe(to);
  });

  it('refuses a group that is not there', () => {
    expect(createMapping('l', '(.+)', '$2').ok).toBe(false);
    expect(createMapping('l', '(.+)', '${nope}').ok).toBe(false);
  });
});
