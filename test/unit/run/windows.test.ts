// Whatever is asked for and whenever: in no rolling window are there more attempts than the caps allow, and nobody is
// touched again before its rest is over. Every wish is decided by all guards over the past that earlier ones left.
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { Limit, Policy } from '../../../src/rule/limits.ts';
import { firstRefusal, verdictsOf } from '../../../src/run/guards.ts';
import type { Attempt } from '../../../src/run/history.ts';
import { HOUR, MINUTE, NOW, SECOND, activeOf, attemptOf, historyOf, inputOf, planOf, policyOf } from './given.ts';

const limit = fc.record({
  max: fc.integer({ min: 1, max: 5 }),
  per: fc.integer({ min: 1, max: 120 }).map((m) => m * MINUTE),
});
const limits = fc.array(limit, { minLength: 1, maxLength: 3 });
const wishes = fc.array(
  fc.record({
    after: fc.integer({ min: 0, max: 40 * 60 }).map((seconds) => seconds * SECOND),
    target: fc.constantFrom('one', 'two', 'three'),
    takes: fc.integer({ min: 0, max: 300 }).map((seconds) => seconds * SECOND),
    fails: fc.boolean(),
  }),
  { minLength: 20, maxLength: 120 },
);
type Wish = { readonly after: number; readonly target: string; readonly takes: number; readonly fails: boolean };

const admitAll = (policy: Policy, given: readonly Wish[]): readonly Attempt[] => {
  const all: Attempt[] = [];
  let now = NOW;
  for (const { after, target, takes, fails } of given) {
    now += after;
    const attempts = all.map((attempt): Attempt =>
      (attempt.endedAt ?? 0) <= now ? attempt : { ...attempt, endedAt: null, outcome: null, cause: null },
    );
    const active = attempts
      .filter((attempt) => attempt.endedAt === null)
      .map((attempt) => activeOf({ id: attempt.runId ?? '', target: attempt.target }));
    const history = historyOf({ now, attempts, active, budget: attempts.map(({ at }) => at) });
    if (firstRefusal(verdictsOf(inputOf({ plan: planOf({ policy, on: target }), history }))) !== null) continue;
    const ending = { endedAt: now + takes, outcome: fails ? ('unresolved' as const) : ('resolved' as const) };
    all.push(attemptOf({ at: now, target, ...ending }));
  }
  return all;
};

/** The most attempts in any window of `per`: each such window may as well begin with an attempt. */
const most = (attempts: readonly Attempt[], { per }: Limit): number =>
  Math.max(0, ...attempts.map(({ at }) => attempts.filter((other) => other.at >= at && other.at < at + per).length));

const restKept = (attempts: readonly Attempt[], { cooldown }: Policy): void => {
  for (const [index, attempt] of attempts.entries()) {
    const before = attempts[index - 1];
    if (before === undefined) continue;
    const rest = before.outcome === 'resolved' ? cooldown.afterSuccess : cooldown.afterFailure;
    expect(attempt.at).toBeGreaterThanOrEqual((before.endedAt ?? 0) + rest);
  }
};

const byTarget = (attempts: readonly Attempt[]): ReadonlyArray<readonly Attempt[]> =>
  ['one', 'two', 'three'].map((target) => attempts.filter((attempt) => attempt.target === target));

const free = policyOf({ breaker: { failures: 1_000, trials: [HOUR] }, budget: [{ max: 1_000, per: HOUR }] });
const cooldown = fc.record({
  afterFailure: fc.integer({ min: 0, max: 600 }).map((seconds) => seconds * SECOND),
  afterSuccess: fc.integer({ min: 0, max: 120 }).map((seconds) => seconds * SECOND),
});

describe('a rolling window', () => {
  it('I1 I2 I10 never holds more attempts of a component than its caps', () => {
    fc.assert(
      fc.property(limits, cooldown, wishes, (caps, rests, given) => {
        const policy: Policy = { ...free, attempts: caps, cooldown: { factor: 1, max: HOUR, ...rests } };
        const attempts = admitAll(policy, given);
        expect(attempts.length).toBeGreaterThan(0);
        for (const cap of caps) expect(most(attempts, cap)).toBeLessThanOrEqual(cap.max);
        restKept(attempts, policy);
      }),
      { numRuns: 200 },
    );
  });

  it('I1 I2 I10 split by target: never more of a target than its caps, nor of all than the fleet’s', () => {
    fc.assert(
      fc.property(
        limits,
        limits,
        fc.integer({ min: 1, max: 3 }),
        cooldown,
        wishes,
        (caps, fleet, maxConcurrent, rests, given) => {
          const policy: Policy = {
            ...free,
            attempts: caps,
            cooldown: { factor: 1, max: HOUR, ...rests },
            fleet: { attempts: fleet, maxConcurrent },
          };
          const attempts = admitAll(policy, given);
          for (const cap of fleet) expect(most(attempts, cap)).toBeLessThanOrEqual(cap.max);
          for (const own of byTarget(attempts)) {
            for (const cap of caps) expect(most(own, cap)).toBeLessThanOrEqual(cap.max);
            restKept(own, policy);
          }
          for (const { at } of attempts)
            expect(attempts.filter((other) => other.at <= at && (other.endedAt ?? 0) > at).length).toBeLessThanOrEqual(
              maxConcurrent,
            );
        },
      ),
      { numRuns: 200 },
    );
  });

  it('I1 never holds more of all components than the budget', () => {
    fc.assert(
      fc.property(limits, wishes, (budget, given) => {
        const policy: Policy = { ...free, budget, attempts: [{ max: 1_000, per: HOUR }] };
        for (const cap of budget) expect(most(admitAll(policy, given), cap)).toBeLessThanOrEqual(cap.max);
      }),
      { numRuns: 100 },
    );
  });
});
