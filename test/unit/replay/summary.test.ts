// What two sets of rules do otherwise, and how it is told.
import { describe, expect, it } from '@jest/globals';
import { backtestMarkdown, differenceCells, differencesSentence } from '../../../src/replay/backtest-text.ts';
import { compare, createIncidents, createTally } from '../../../src/replay/summary.ts';
import type { Difference } from '../../../src/replay/summary.ts';
import type { Judged } from '../../../src/replay/witness.ts';

const judged = (said: Partial<Judged>): Judged => ({
  at: 0,
  origin: 'delivery',
  delivery: 0,
  episode: 1,
  alertname: 'ShopDown',
  component: 'shop',
  target: 'one',
  rule: 'shop-down',
  strategy: 'mend',
  reason: 'admitted',
  would: null,
  ...said,
});
const changesOf = (was: readonly Partial<Judged>[], is: readonly Partial<Judged>[]): readonly string[] => {
  const [left, right] = [createIncidents(), createIncidents()];
  for (const one of was) left.add(judged(one));
  for (const one of is) right.add(judged(one));
  return compare(left.found, right.found).map(({ change }) => change);
};
const SHADOW = { reason: 'shadow', would: 'admitted' } as const;

describe('what two sets of rules do otherwise', () => {
  it.each([
    ['newly_acts', [SHADOW], [{}]],
    ['no_longer_acts', [{}], [SHADOW]],
    ['acts_differently', [{}], [{ strategy: 'restart' }]],
    ['would_act_differently', [SHADOW], [{ ...SHADOW, strategy: 'restart' }]],
    ['would_act_differently', [SHADOW], [{ reason: 'shadow', would: 'cooldown' }]],
    ['other_reason', [{ reason: 'cooldown' }], [{ reason: 'storm' }]],
    ['other_reason', [{ reason: 'cooldown' }, {}], [{}]],
  ] as const)('is %s', (change, was, is) => {
    expect(changesOf(was, is)).toEqual([change]);
    expect(changesOf(was, was)).toEqual([]);
  });
});

describe('how it is told', () => {
  const one: Difference = {
    change: 'newly_acts',
    at: '2026-11-01T12:00:00.000Z',
    alertname: 'x'.repeat(1_000),
    component: 'shop',
    target: 'one',
    before: ['a', 'b', 'c', 'd', 'e', 'f'],
    after: ['a'],
  };

  it('counts one as one', () => {
    expect(differencesSentence([one], 'main')).toBe('Against main 1 incident changes: newly acts 1.');
    expect(differencesSentence([one, one], 'main')).toBe('Against main 2 incidents change: newly acts 2.');
  });

  it('keeps a cell short, whatever came in', () => {
    expect(differenceCells(one).slice(4)).toEqual(['a -> b -> 2 more -> e -> f', 'a']);
    const tally = createTally();
    tally.add(judged({}));
    const summary = tally.summary({
      from: 0,
      to: 0,
      deliveries: 1,
      alerts: 1,
      runs: [],
      handedOver: [],
      assumedRuns: 1,
      unknown: { alerts: {}, queries: {} },
      undone: [],
      refused: [],
    });
    const text = backtestMarkdown(
      summary,
      'recorded',
      { against: 'main', differences: [one] },
      { which: 'recorded', configurations: 1 },
    );
    expect(Math.max(...text.split('\n').map((line) => line.length))).toBeLessThan(600);
    expect(text).toContain('1 delivery with 1 alert, 1970');
    expect(text).toContain(' 1 run had no recorded outcome.');
    expect(text).toContain('1970-01-01T00:00Z 1 act, 1 alert.');
  });
});
