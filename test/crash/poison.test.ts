// A run on which one worker after the other dies is taken from them, and the others go on.
import { afterEach, beforeEach, expect, it } from '@jest/globals';
import { check } from '../../torture/check.ts';
import { openRig } from '../../torture/rig.ts';
import type { Rig } from '../../torture/rig.ts';

const effect = `uses: torture.effect\n    with: { target: "\${{ target.name }}" }`;
const MEND = `version: 1
summary: Mend it.
severity: SEV3
timeout: 1h
guide: Look at it.
steps:
  - id: mend
    ${effect}
    idempotent: true
    timeout: 50m
verify:
  - { uses: torture.look, with: { target: "\${{ target.name }}" }, need: 1, of: 1, every: 10ms }
`;
const CONFIG = `version: 1
recovery:
  mode: auto
  settle: 0s
  max_concurrent: 2
  cooldown: { after_failure: 1m, after_success: 1s }
  storm: { min: 100, max: 100, share: 100%, components: 100, gather: 0s }
components:
  shop: { inventory: { static: [poison, other, third] }, allow: { actions: ["torture.*"] } }
`;
const RULE = {
  name: 'shop-down',
  priority: 10,
  conditions: { all: [{ fact: 'alertname', operator: 'equal', value: 'ShopDown' }] },
  event: { type: 'remediate', params: { runbook: 'shop/mend', mode: 'auto' } },
};

let rig: Rig;
beforeEach(async () => {
  rig = await openRig({ config: CONFIG, files: { 'rules/shop.json': RULE, 'runbooks/shop/mend.yaml': MEND } });
});
afterEach(() => rig.close());

const firing = (target: string) => ({ labels: { alertname: 'ShopDown', component: 'shop', target } });
const everything = { limit: 10, cursor: null, filters: {}, since: null };
const runOn = async (target: string) =>
  (await rig.store.list('runs', { ...everything, filters: { target } })).items.at(-1);
const felt = (target: string): number => rig.targets.felt().filter((one) => one.target === target).length;
/** The worker dies in the middle of its step; once its lease is over another comes. */
const die = async (): Promise<void> => {
  await rig.crash();
  await rig.clock.advance(120_000);
  await rig.settle();
};

it('F11 the fourth worker that dies on a run is its last: it is stuck, a human is paged once, nothing more is done, and other targets are recovered', async () => {
  rig.targets.manner('poison', 'holds');
  await rig.submit([firing('poison')]);
  await rig.settle();
  for (let recovery = 1; recovery <= 3; recovery += 1) {
    await die();
    expect([await runOn('poison'), felt('poison')]).toEqual([
      expect.objectContaining({ state: 'running', outcome: null, recoveries: recovery }),
      1 + recovery,
    ]);
  }
  for (let more = 0; more < 3; more += 1) await die();
  expect(await runOn('poison')).toMatchObject({
    state: 'done',
    outcome: 'stuck',
    cause: 'indeterminate',
    recoveries: 4,
  });
  expect(felt('poison')).toBe(4);
  const { items } = await rig.store.list('inbox', everything);
  expect(items.filter(({ kind }) => kind === 'escalation')).toEqual([
    expect.objectContaining({ status: 'open', target: 'poison' }),
  ]);
  await rig.submit([firing('other'), firing('poison')]);
  await rig.settle();
  expect(await runOn('other')).toMatchObject({ outcome: 'resolved' });
  expect([felt('other'), felt('poison')]).toEqual([1, 4]);
  expect(check({ database: rig.database, ledger: rig.targets.felt(), atRest: true, oneClock: true })).toEqual([]);
});
