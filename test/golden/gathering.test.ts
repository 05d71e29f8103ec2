// An inventory of more than five is watched for a moment before its first run, and only for a moment.
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { startEngine } from '../support/engine.ts';
import type { EngineUnderTest } from '../support/engine.ts';

const CONFIG = `version: 1
recovery: { mode: auto, settle: 0s }
components:
  shop:
    inventory: { static: [a, b, c, d, e, f] }
    allow: { actions: ["wait.*"] }
`;
const RUNBOOK = `version: 1
summary: Mend the shop.
severity: SEV3
steps:
  - { id: mend, uses: wait.for, with: { duration: 1ms } }
verify:
  - { uses: wait.for, with: { duration: 1ms }, need: 1, of: 1, every: 10ms }
guide: Look at the shop.
`;
const RULE = {
  name: 'shop-down',
  description: 'The shop is mended.',
  priority: 10,
  conditions: { all: [{ fact: 'alertname', operator: 'equal', value: 'ShopDown' }] },
  event: { type: 'remediate', params: { runbook: 'shop/mend', mode: 'auto' } },
};

describe('of more than five targets one fires', () => {
  let amends: EngineUnderTest;
  beforeEach(async () => {
    amends = await startEngine({
      config: CONFIG,
      files: { 'rules/shop.json': RULE, 'runbooks/shop/mend.yaml': RUNBOOK },
    });
  });
  afterEach(() => amends.close());

  it('F39 and it is acted on although it was held for longer than what belongs to a storm', async () => {
    await amends.engine.desk.halt({ by: 'ann', reason: 'an exercise', hard: false });
    await amends.post([{ labels: { alertname: 'ShopDown', component: 'shop', target: 'a' } }]);
    amends.clock.advance(3_600_000);
    await amends.engine.desk.resume({ by: 'ann', reason: 'over' });
    await amends.settle();
    expect((await amends.list('decisions')).map(({ reason }) => reason)).toEqual(['admitted', 'halted']);
    expect(await amends.list('runs')).toHaveLength(1);
  });
});
