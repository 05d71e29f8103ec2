// Autonomy is earned by what a rule has shown, and lost at once when its runs only look as if they helped.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { createLedger } from '../support/ledger.ts';
import type { Ledger } from '../support/ledger.ts';
import { startEngine } from '../support/engine.ts';
import type { EngineUnderTest } from '../support/engine.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const RULE = {
  name: 'shop-down',
  conditions: { all: [{ fact: 'alertname', operator: 'equal', value: 'ShopDown' }] },
  event: { type: 'remediate', params: { runbook: 'shop/mend', mode: 'auto' } },
};
const RUNBOOK = `
version: 1
summary: Mend the shop.
severity: SEV3
steps:
  - { id: mend, uses: http.request, with: { url: "\${{ connect.url }}/mend" }, idempotent: true }
verify:
  - { uses: http.get, with: { url: "\${{ connect.url }}/health" }, need: 1, of: 1, every: 10ms }
guide: Look.
`;
const config = (host: string): string => `
version: 1
recovery: { mode: auto, settle: 15m, attempts: [ { max: 100, per: 1d } ], budget: [ { max: 100, per: 1h } ] }
components:
  shop:
    inventory: { static: [ { target: main, connect: { url: "http://${host}" } } ] }
    allow: { actions: ["http.*"] }
  kiosk:
    kind: shop
    inventory: { static: [ { target: small, connect: { url: "http://${host}" } } ] }
    allow: { actions: ["http.*"] }
allow: { hosts: ["${host}"] }
`;

let folder: string;
let ledger: Ledger;
let amends: EngineUnderTest;
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'amends-autonomy-'));
  ledger = await createLedger(join(folder, 'ledger.ndjson'));
  amends = await startEngine({ config: config(ledger.host), files: { 'rules/shop.json': RULE, 'runbooks/shop/mend.yaml': RUNBOOK } });
});
afterEach(async () => {
  await amends.close();
  await ledger.close();
  rmSync(folder, { recursive: true, force: true });
});

const alert = (component: string, target: string, startsAt: number) => ({ labels: { alertname: 'ShopDown', component, target }, startsAt });

/** Mended and verified, but the alert goes on all through the settling time. */
const ineffectiveRun = async (component = 'shop', target = 'main'): Promise<void> => {
  const startsAt = amends.clock.now();
  await amends.post([alert(component, target, startsAt)]);
  amends.clock.advance(16 * MINUTE);
  await amends.settle();
  await amends.post([{ ...alert(component, target, startsAt), status: 'resolved' as const }]);
  amends.clock.advance(20 * MINUTE);
  await amends.settle();
};
const demotions = async (): Promise<readonly string[]> => [...(await amends.store.controls()).demotions.keys()];
const about = async () => (await amends.list('inbox')).filter(({ dedup }) => dedup === 'demoted:shop-down');

describe('a rule whose runs are ineffective', () => {
  it('twice in a day, wherever, is demoted at once, says so once, and asks from then on', async () => {
    await ineffectiveRun();
    expect(await demotions()).toEqual([]);
    await ineffectiveRun('kiosk', 'small');
    expect((await amends.list('runs')).map(({ cause }) => cause)).toEqual(['ineffective', 'ineffective']);
    expect(await demotions()).toEqual(['shop-down']);
    expect((await amends.store.controls()).demotions.get('shop-down')).toMatchObject({ mode: 'approve', until: null });
    expect(await about()).toMatchObject([{ kind: 'escalation', status: 'open', title: expect.stringContaining('shop-down was demoted') as unknown }]);
    expect((await amends.list('outbox')).filter(({ title }) => title.includes('was demoted'))).toHaveLength(1);
    expect((await amends.list('audit')).filter(({ action }) => action === 'rule.demote')).toMatchObject([{ actor: 'amends', subject: 'shop-down' }]);

    amends.clock.advance(HOUR);
    await amends.post([alert('shop', 'main', amends.clock.now())]);
    const [run] = await amends.list('runs');
    expect(run).toMatchObject({ state: 'awaiting_approval' });
    expect(ledger.effects()).toHaveLength(2);
    expect((await amends.list('decisions'))[0]).toMatchObject({ reason: 'awaiting_approval', record: { demoted: { mode: 'approve' } } });

    // A third one, which a human approved, demotes and pages nobody again.
    await amends.engine.desk.approve({ runId: run?.id ?? '', step: null, by: 'ann', comment: '' });
    await amends.settle();
    amends.clock.advance(16 * MINUTE);
    await amends.settle();
    expect((await amends.list('runs'))[0]).toMatchObject({ cause: 'ineffective' });
    expect((await amends.list('audit')).filter(({ action }) => action === 'rule.demote')).toHaveLength(1);
  });

  it('keeps its mode when more than a day lies between them', async () => {
    await ineffectiveRun();
    amends.clock.advance(24 * HOUR);
    await ineffectiveRun();
    expect(await demotions()).toEqual([]);
  });

  it('is restored by a human, by name, on record, and acts by itself again', async () => {
    await ineffectiveRun();
    await ineffectiveRun();
    const { desk } = amends.engine;
    expect(await desk.restore({ rule: 'shop-down', by: 'ann', reason: 'verifies longer now' })).toMatchObject({ ok: true });
    expect(await demotions()).toEqual([]);
    expect(await about()).toMatchObject([{ status: 'closed', closedBy: 'ann' }]);
    expect((await amends.list('audit'))[0]).toMatchObject({ actor: 'ann', action: 'rule.restore', subject: 'shop-down' });
    expect(await desk.restore({ rule: 'shop-down', by: 'ann', reason: '' })).toMatchObject({ ok: false, status: 409 });
    expect(await desk.restore({ rule: 'shop-up', by: 'ann', reason: '' })).toMatchObject({ ok: false, status: 404 });
    amends.clock.advance(HOUR);
    await amends.post([alert('shop', 'main', amends.clock.now())]);
    expect((await amends.list('runs'))[0]).toMatchObject({ state: 'done', outcome: 'resolved' });
  });

  it('stays demoted over a restart', async () => {
    await ineffectiveRun();
    await ineffectiveRun();
    amends.restart();
    amends.clock.advance(HOUR);
    await amends.post([alert('kiosk', 'small', amends.clock.now())]);
    expect((await amends.list('runs'))[0]).toMatchObject({ state: 'awaiting_approval' });
  });
});
