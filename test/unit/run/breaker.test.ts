// F40: after how many failures a strategy is only tried now and then, and when.
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { breakerState } from '../../../src/run/breaker.ts';
import { HOUR, MINUTE, NOW, attemptOf } from './given.ts';

const breaker = { failures: 3, trials: [HOUR, 4 * HOUR] };
const failed = (endedAt: number) => attemptOf({ at: endedAt - MINUTE, endedAt });

describe('F40 the breaker', () => {
  it.each([
    ['nothing was tried', [], { open: false, failures: 0, trialAt: null }],
    ['two failed', [failed(1), failed(2)], { open: false, failures: 2, trialAt: null }],
    ['three failed', [failed(1), failed(2), failed(NOW)], { open: true, failures: 3, trialAt: NOW + HOUR }],
    ['the first trial failed', [1, 2, 3, NOW].map(failed), { open: true, failures: 4, trialAt: NOW + 4 * HOUR }],
    [
      'the last distance holds for all that follow',
      [1, 2, 3, 4, 5, NOW].map(failed),
      { open: true, failures: 6, trialAt: NOW + 4 * HOUR },
    ],
    [
      'a stuck run is a failure',
      [failed(1), failed(2), { ...failed(NOW), outcome: 'stuck' as const }],
      { open: true, failures: 3, trialAt: NOW + HOUR },
    ],
    [
      'a success closes it',
      [failed(1), failed(2), failed(3), { ...failed(NOW), outcome: 'resolved' as const }],
      { open: false, failures: 0, trialAt: null },
    ],
    [
      'what was ineffective failed',
      [failed(1), failed(2), { ...failed(NOW), cause: 'ineffective' as const }],
      { open: true, failures: 3, trialAt: NOW + HOUR },
    ],
  ])('F40 %s', (_, attempts, state) => {
    expect(breakerState(attempts, breaker)).toEqual(state);
  });

  it('F40 within a day of hourly wishes lets through the failures that open it and one at each trial', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 1, max: 90 }), (most, every) => {
        const attempts = [];
        for (let now = NOW; now < NOW + 48 * HOUR; now += every * MINUTE) {
          const { open, trialAt } = breakerState(attempts, { failures: most, trials: [HOUR, 4 * HOUR, 24 * HOUR] });
          if (!open || (trialAt !== null && trialAt <= now)) attempts.push(failed(now));
        }
        // 1 h, 5 h and 29 h after it opened.
        expect(attempts.length).toBeLessThanOrEqual(most + 3);
        expect(attempts.length).toBeGreaterThanOrEqual(most + 2);
      }),
    );
  });
});
