// An explanation is made of what was stored with the decision alone.
import { describe, expect, it } from '@jest/globals';
import type { JsonObject } from '../../../src/base/json.ts';
import { explain } from '../../../src/replay/explain.ts';
import { REASONS } from '../../../src/run/reasons.ts';
import type { Reason } from '../../../src/run/reasons.ts';

const row = (reason: Reason, record: JsonObject, rule: string | null = 'redis-down') => ({
  id: 'd',
  at: 1_790_000_000_000,
  origin: 'delivery' as const,
  reason,
  caller: null,
  component: 'cache',
  target: 'a',
  rule,
  strategy: 'reconnect',
  runId: null,
  record,
});

describe('why', () => {
  it('a guard held it, and until when', () => {
    const found = explain(
      row('cooldown', {
        plans: [{ ledger: 'live' }],
        verdicts: [
          [
            { guard: 'halted', passed: true, detail: '', inputs: {}, endsAt: null },
            { guard: 'cooldown', passed: false, detail: 'rests for 5m', inputs: {}, endsAt: 1_790_000_100_000 },
          ],
        ],
      }),
    );
    expect(found.why).toBe(
      'the rule redis-down asked for reconnect on cache a, and the guard cooldown held it: rests for 5m',
    );
    expect(found.whatWouldHaveToChange).toEqual(['cooldown: rests for 5m, until 2026-09-21T14:15:00.000Z']);
  });

  it('rules in shadow matched, though none of them won: they are named', () => {
    const traced = (...matched: readonly string[]): JsonObject => ({
      trace: [...matched.map((rule) => ({ rule, matched: true })), { rule: 'other', matched: false }],
    });
    expect(explain(row('shadow', traced('redis-down'), null)).why).toBe(
      'the rule redis-down matched in shadow mode: what it would have done is recorded, nothing was done',
    );
    expect(explain(row('shadow', traced('a', 'b'), null)).why).toMatch(/^the rules a, b matched in shadow mode/);
  });

  it('no rule matched, and which comparison failed', () => {
    const found = explain(
      row(
        'no_match',
        {
          candidates: ['redis-down'],
          trace: [
            {
              rule: 'redis-down',
              digest: 'x',
              matched: false,
              conditions: {
                result: false,
                all: [
                  { fact: 'alertname', operator: 'equal', value: 'RedisDown', actual: 'RedisDown', result: true },
                  {
                    not: { fact: 'label.env', operator: 'equal', value: 'dev', actual: 'dev', result: true },
                    result: false,
                  },
                  { fact: 'label.zone', operator: 'equal', value: 'a', actual: null, absent: true, result: false },
                  { fact: 'attempts', operator: 'lessThan', value: 3, actual: null, result: null },
                ],
              },
            },
          ],
        },
        null,
      ),
    );
    expect(found.why).toBe('no rule that came into question matched');
    expect(found.whatWouldHaveToChange).toEqual([
      'redis-down: label.env not equal "dev" (it is "dev")',
      'redis-down: label.zone equal "a" (it is not there)',
    ]);
    expect(found.rules[0]?.conditions.at(-1)).toEqual({ text: 'attempts lessThan 3 (not looked at)', result: null });
  });

  it('F32 nothing may be done about what is not in the inventory', () => {
    const found = explain(row('invalid', { selection: { problem: '"x" is not in the inventory of cache' } }));
    expect([found.why, found.whatWouldHaveToChange]).toEqual([
      'nothing may be done about it: "x" is not in the inventory of cache',
      ['"x" is not in the inventory of cache'],
    ]);
  });

  it.each(REASONS)('every reason has words, also over an empty record: %s', (reason) => {
    expect(explain(row(reason, {})).why.length).toBeGreaterThan(10);
    expect(
      explain(row(reason, { trace: 5, verdicts: [[null]], plans: 'x', facts: [] }, null)).guards.length,
    ).toBeLessThan(2);
  });
});
