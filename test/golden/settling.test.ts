// Ineffective is a failure: a verified run whose alert does not go quiet, or comes back on the same target, counts as
// one that did not help.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { EngineUnderTest } from '../support/engine.ts';
import { createLedger } from '../support/ledger.ts';
import type { Ledger } from '../support/ledger.ts';
import { ALERT, FIRING, configOf, mended, openShop, reasons, ruleOf, runbookOf } from '../support/shop.ts';

const MINUTE = 60_000;
const RESOLVED = { ...FIRING, status: 'resolved' } as const;

let folder: string;
let ledger: Ledger;
let amends: EngineUnderTest;
beforeEach(async () => {
  counted = [];
  folder = mkdtempSync(join(tmpdir(), 'amends-ledger-'));
  ledger = await createLedger(join(folder, 'ledger.ndjson'));
});
afterEach(async () => {
  await amends.close();
  await ledger.close();
  rmSync(folder, { recursive: true, force: true });
});

const later = async (ms: number): Promise<void> => {
  amends.clock.advance(ms);
  await amends.settle();
};
const outcomes = async (): Promise<readonly unknown[]> =>
  (await amends.list('runs')).map(({ outcome, cause }) => `${outcome} (${cause})`).toReversed();
/** As counted for the metric. */
let counted: string[] = [];
const ineffective = (): number => counted.length;
const open = (config: string): Promise<EngineUnderTest> =>
  openShop(config, ruleOf(), runbookOf(), {
    runIneffective: (component, strategy) => void counted.push(`${component} ${strategy}`),
  });
const comesBack = (labels: Readonly<Record<string, string>> = {}): Promise<void> =>
  amends.post([{ labels: { ...ALERT, ...labels }, startsAt: amends.clock.now() }]);

const LADDER = ruleOf({ runbook: ['shop/mend', 'shop/replace'] });
const REPLACE = runbookOf().replaceAll('mend', 'replace');
const openLadder = async (recovery = ''): Promise<void> => {
  amends = await open(configOf(ledger, { recovery }));
  await amends.reload({ 'rules/shop.json': LADDER, 'runbooks/shop/replace.yaml': REPLACE });
};
const paths = (): readonly string[] => ledger.effects().map(({ path }) => path);

describe('a verified run', () => {
  it('R3 is ineffective when its alert is still there at the end of settling: a failure from its end on, and the next rung is next', async () => {
    await openLadder();
    await amends.post([FIRING]);
    expect(await outcomes()).toEqual(['resolved (verified)']);
    await later(14 * MINUTE);
    expect([await outcomes(), ineffective()]).toEqual([['resolved (verified)'], 0]);
    await later(2 * MINUTE);
    expect([(await outcomes())[0], ineffective()]).toEqual(['unresolved (ineffective)', 1]);
    // The cooldown counts from the end of the run, which is long ago.
    expect([await outcomes(), paths()]).toEqual([['unresolved (ineffective)', 'resolved (verified)'], ['/mend', '/replace']]);
    const attempt = (await amends.store.attempts({ component: 'shop', ledger: 'live', since: 0 })).find(({ cause }) => cause === 'ineffective');
    expect(attempt?.endedAt).toBeLessThan(amends.clock.now() - 15 * MINUTE);
  });

  it('is effective when its alert has gone quiet by then and stays so', async () => {
    await openLadder();
    await amends.post([FIRING]);
    await later(5 * MINUTE);
    await amends.post([RESOLVED]);
    await later(20 * MINUTE);
    expect([await outcomes(), ineffective(), paths()]).toEqual([['resolved (verified)'], 0, ['/mend']]);
  });

  it('is ineffective when its alert comes back before the end, and rests as long as after any failure', async () => {
    await openLadder();
    await amends.post([FIRING]);
    await amends.post([RESOLVED]);
    await later(2 * MINUTE);
    await comesBack();
    expect([await outcomes(), ineffective()]).toEqual([['unresolved (ineffective)'], 1]);
    await later(2 * MINUTE);
    expect(paths()).toEqual(['/mend']);
    await later(62_000);
    expect(paths()).toEqual(['/mend', '/replace']);
  });

  it('is ineffective when it comes back under the name of another pod: the target is who owns it', async () => {
    await openLadder();
    await amends.post([{ ...FIRING, labels: { ...ALERT, pod: 'shop-1' } }]);
    await amends.post([{ ...RESOLVED, labels: { ...ALERT, pod: 'shop-1' } }]);
    await later(2 * MINUTE);
    await comesBack({ pod: 'shop-2' });
    expect([await outcomes(), ineffective()]).toEqual([['unresolved (ineffective)'], 1]);
  });

  it('is ineffective when another pod fires in its stead since before it was verified', async () => {
    await openLadder();
    await amends.post([{ ...FIRING, labels: { ...ALERT, pod: 'shop-1' } }]);
    await amends.post([
      { ...RESOLVED, labels: { ...ALERT, pod: 'shop-1' } },
      { ...FIRING, labels: { ...ALERT, pod: 'shop-2' } },
    ]);
    await later(16 * MINUTE);
    expect((await outcomes())[0]).toBe('unresolved (ineffective)');
  });

  it('is not blamed for another alert on its target, nor for the same one on another target', async () => {
    amends = await open(configOf(ledger).replace('{ target: main,', `{ target: spare, connect: { url: "${ledger.url}" } }, { target: main,`));
    await amends.post([FIRING]);
    await amends.post([RESOLVED]);
    await later(2 * MINUTE);
    await comesBack({ alertname: 'ShopSlow' });
    await comesBack({ target: 'spare' });
    await later(14 * MINUTE);
    expect((await outcomes())[0]).toBe('resolved (verified)');
  });

  it('is tried once an episode on each rung: when all were ineffective a human has it, once', async () => {
    await openLadder();
    await amends.post([FIRING]);
    for (let quarter = 0; quarter < 12; quarter += 1) await later(16 * MINUTE);
    expect(await outcomes()).toEqual(['unresolved (ineffective)', 'unresolved (ineffective)']);
    expect([paths(), ineffective()]).toEqual([['/mend', '/replace'], 2]);
    const inbox = (await amends.list('inbox')).filter(({ title }) => title.startsWith('Nothing automatic'));
    expect(inbox).toMatchObject([{ kind: 'escalation', status: 'open', count: 1 }]);
    expect(JSON.stringify(inbox[0]?.body)).toMatch(/no rung of the ladder is left/);
  });

  it('F40 counts for the breaker: three in a row and the strategy is not tried on', async () => {
    amends = await open(configOf(ledger, { recovery: 'resolve_hold: 1m, settle: 5m, attempts: [{ max: 9, per: 1d }]' }));
    for (let incident = 0; incident < 3; incident += 1) {
      await amends.post([{ ...FIRING, startsAt: amends.clock.now() }]);
      await later(6 * MINUTE);
      await amends.post([RESOLVED]);
      await later(6 * MINUTE);
      // Two such runs in a day take a rule's autonomy away; this one was given it back by name.
      await amends.engine.desk.restore({ rule: 'shop-down', by: 'ann', reason: 'go on' });
    }
    expect(await outcomes()).toEqual(Array.from({ length: 3 }, () => 'unresolved (ineffective)'));
    await amends.post([{ ...FIRING, startsAt: amends.clock.now() }]);
    expect((await reasons(amends))[0]).toBe('breaker_open');
    expect(mended(ledger)).toBe(3);
  });

  it('that a human started for no alert does not settle', async () => {
    amends = await open(configOf(ledger));
    const started = await amends.engine.desk.recover({
      component: 'shop', target: 'main', strategy: 'mend', failureType: null, inputs: {}, context: {},
      requireApproval: false, overrideCooldown: false, reason: 'trying', by: 'ann',
    });
    expect(started).toMatchObject({ ok: true });
    await amends.settle();
    const [run] = await amends.list('runs');
    expect(run).toMatchObject({ outcome: 'resolved', settleUntil: null });
    await comesBack();
    await later(16 * MINUTE);
    expect((await amends.list('runs')).find(({ id }) => id === run?.id)).toMatchObject({ outcome: 'resolved' });
  });

  it('holds what else is asked for its target until it has settled', async () => {
    amends = await open(configOf(ledger));
    await amends.post([FIRING]);
    await amends.post([RESOLVED]);
    await later(5 * MINUTE);
    await amends.reload({ 'rules/other.json': { ...ruleOf(), name: 'other', conditions: { all: [{ fact: 'alertname', operator: 'equal', value: 'ShopSlow' }] } } });
    await comesBack({ alertname: 'ShopSlow' });
    expect((await reasons(amends))[0]).toBe('settling');
    await later(10 * MINUTE + 1_000);
    expect((await reasons(amends))[0]).toBe('admitted');
    expect(mended(ledger)).toBe(2);
  });
});
