// Many alerts at once: each has its one decision, in the order it came, and small deliveries share a commit.
import { afterEach, describe, expect, it } from '@jest/globals';
import { body, startEngine } from '../../support/engine.ts';
import type { EngineUnderTest } from '../../support/engine.ts';

const TARGETS = Array.from({ length: 12 }, (_, index) => `t${index}`);
const CONFIG = `
version: 1
recovery: { mode: shadow, attempts: [ { max: 100, per: 1h } ], budget: [ { max: 100, per: 1h } ], storm: { min: 100, max: 100 } }
components:
  shop: { inventory: { static: [${TARGETS.join(', ')}] }, split: target, fleet: { attempts: [ { max: 100, per: 1h } ], max_concurrent: 20 }, allow: { actions: ["degrade.*"] } }
degraded_modes: { slow: { available: [], unavailable: [], impact: "slow" } }
`;
const rule = (name: string, alertname: string, event: object): object => ({
  name,
  description: 'Says what is to be done.',
  priority: 10,
  conditions: { all: [{ fact: 'alertname', operator: 'equal', value: alertname }] },
  event,
});
const FILES = {
  'rules/shop.json': rule('shop-down', 'ShopDown', {
    type: 'remediate',
    params: { runbook: 'shop/mend', mode: 'auto' },
  }),
  'rules/seen.json': rule('seen', 'Seen', { type: 'observe' }),
  'runbooks/shop/mend.yaml': `
version: 1
summary: Says that it is slow.
severity: SEV3
steps: [ { id: say, uses: degrade.set, with: { mode: slow }, idempotent: true } ]
verify: [ { uses: sqlite.check, with: { path: /nowhere.db } } ]
guide: Look at it.
`,
};

let amends: EngineUnderTest;
afterEach(() => amends.close());

const down = (target: string) => ({ labels: { alertname: 'ShopDown', component: 'shop', target } });
const seen = (index: number) => ({ labels: { alertname: 'Seen', instance: String(index) } });

describe('many alerts at once', () => {
  it('each of one delivery is admitted or refused, though every admission changes what the next one is counted against', async () => {
    amends = await startEngine({ config: CONFIG, files: FILES });
    await amends.post(TARGETS.map(down));
    const decisions = await amends.list('decisions');
    expect(decisions.map(({ target, reason }) => `${target} ${reason}`).toSorted()).toEqual(
      TARGETS.map((target) => `${target} shadow`).toSorted(),
    );
  });

  it('small deliveries that wait together share a commit, and each alert has one decision, in the order it came', async () => {
    amends = await startEngine({ config: CONFIG, files: FILES });
    const { store, clock, engine } = amends;
    const decide = store.decide.bind(store);
    const commits: number[] = [];
    Object.assign(store, {
      decide: (...args: Parameters<typeof decide>) => {
        commits.push(args[0].length);
        return decide(...args);
      },
    });
    const alerts = [
      ...Array.from({ length: 40 }, (_, index) => seen(index)),
      down('t0'),
      seen(3),
      down('t0'),
      down('t1'),
      ...Array.from({ length: 40 }, (_, index) => seen(100 + index)),
    ];
    await Promise.all(alerts.map((alert) => engine.intake.submit('alertmanager', body(clock, [alert]))));
    await amends.settle();
    const decisions = (await amends.list('decisions')).toReversed();
    const entries = new Map((await amends.list('alerts')).map(({ id, deliveryId }) => [id, deliveryId]));
    expect(decisions).toHaveLength(alerts.length);
    expect(new Set(decisions.map(({ alertId }) => entries.get(alertId ?? ''))).size).toBe(alerts.length);
    const reasons = decisions.map(({ reason }) => reason);
    expect(reasons.filter((reason) => reason === 'observed')).toHaveLength(80);
    expect(reasons.filter((reason) => reason !== 'observed')).toEqual(['shadow', 'duplicate', 'duplicate', 'shadow']);
    expect(commits.length).toBeLessThan(20);
  });
});
