// A maintenance window that opens while a run is under way: the step at work ends, and no other begins.
import { afterEach, describe, expect, it } from '@jest/globals';
import { z } from 'zod';
import { systemClock } from '../../src/base/clock.ts';
import type { Action } from '../../src/port/action.ts';
import { defineAction } from '../../src/port/action.ts';
import { startEngine } from '../support/engine.ts';
import type { EngineUnderTest } from '../support/engine.ts';

const RULE = {
  name: 'shop-down',
  description: 'The shop is mended.',
  priority: 10,
  conditions: { all: [{ fact: 'alertname', operator: 'equal', value: 'ShopDown' }] },
  event: { type: 'remediate', params: { runbook: 'shop/mend', mode: 'auto' } },
};
const RUNBOOK = `version: 1
summary: Mend the shop.
severity: SEV3
timeout: 4h
steps:
  - { id: first, uses: shop.first, idempotent: true }
  - { id: second, uses: shop.second, idempotent: true }
verify:
  - { uses: wait.for, with: { duration: 1ms }, need: 1, of: 1, every: 10ms }
guide: Look at the shop.
`;
const HOUR = 3_600_000;

/** Opens at the full hour after the next one. */
const configAt = (now: number): string => `version: 1
recovery: { mode: auto, settle: 0s }
components:
  shop:
    inventory: { static: [one] }
    allow: { actions: ["wait.*", "shop.*"] }
    maintenance: [{ schedule: '0 ${new Date(now + 2 * HOUR).getUTCHours()} * * *', timezone: UTC, duration: 1h, reason: patches }]
`;

describe('a maintenance window opens while a run is under way', () => {
  let amends: EngineUnderTest;
  afterEach(() => amends.close());

  it('I7 the step at work ends, the next one does not begin, and the run says why', async () => {
    const effects: string[] = [];
    const acting = (name: string, act: () => void): Action =>
      defineAction({
        summary: 'An effect of the test.',
        effect: 'change',
        input: z.strictObject({}),
        outputs: {},
        undo: 'none is needed',
        defaultTimeout: 1_000,
        async run(_input, context) {
          context.began();
          effects.push(name);
          act();
          return { outputs: {} };
        },
      });
    const intoTheWindow = (): void => {
      const now = amends.clock.now();
      amends.clock.advance(Math.ceil(now / HOUR) * HOUR + HOUR - now + 1);
    };
    const actions = new Map([
      ['shop.first', acting('first', intoTheWindow)],
      ['shop.second', acting('second', () => undefined)],
    ]);
    const files = { 'rules/shop.json': RULE, 'runbooks/shop/mend.yaml': RUNBOOK };
    amends = await startEngine({ config: configAt(systemClock.now()), files }, { actions });
    await amends.post([{ labels: { alertname: 'ShopDown', component: 'shop', target: 'one' } }]);
    await amends.settle();

    expect(effects).toEqual(['first']);
    const [run] = await amends.list('runs');
    const stored = await amends.store.run(run?.id ?? '');
    expect(stored?.events.map(({ event }) => event)).toContainEqual(
      expect.objectContaining({ type: 'stop_requested', by: 'amends', why: 'maintenance: maintenance: patches' }),
    );
    expect(run?.state).toBe('done');
  });
});
