// When a page about a state of the world is over.
import { describe, expect, it } from '@jest/globals';
import { defaultPolicy } from '../../../src/config.ts';
import { causeOf, isStormOver } from '../../../src/run/causes.ts';

describe('the causes that end by themselves', () => {
  it.each([
    ['clock', { kind: 'clock' }],
    ['storm:*', { kind: 'storm', component: null }],
    ['storm:cache', { kind: 'storm', component: 'cache' }],
    ['blind:unconfirmed:cache', { kind: 'blind', guard: 'unconfirmed', component: 'cache' }],
    ['blind:unhealthy:shop-db', { kind: 'blind', guard: 'unhealthy', component: 'shop-db' }],
    ['blind:other:cache', null],
    ['escalated:0192', null],
    ['clockwork', null],
    [null, null],
  ])('are told by %s', (dedup, cause) => {
    expect(causeOf(dedup)).toEqual(cause);
  });

  it.each([
    ['targets', 3, 0, false],
    ['targets', 2, 9, true],
    ['components', 9, 4, false],
    ['components', 9, 3, true],
    ['truncated', 1, 0, false],
    ['truncated', 0, 0, true],
  ] as const)('F39 a storm of %s is over by %i targets and %i components: %s', (of, targets, components, over) => {
    expect(isStormOver(defaultPolicy.storm, 10, { targets, components }, of)).toBe(over);
  });
});
