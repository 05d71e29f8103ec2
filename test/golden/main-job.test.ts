// The main job, on the engine alone: an alert is decided, a run recovers its target, everything is on record.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { createLedger } from '../support/ledger.ts';
import type { Ledger } from '../support/ledger.ts';
import { body, startEngine } from '../support/engine.ts';
import type { EngineUnderTest } from '../support/engine.ts';

const RULE = {
  name: 'shop-down', description: 'The shop is mended.', priority: 10,
  conditions: { all: [{ fact: 'alertname', operator: 'equal', value: 'ShopDown' }] },
  event: { type: 'remediate', params: { runbook: 'shop/mend', mode: 'auto' } },
};
const RUNBOOK = `
version: 1
summary: Mend the shop.
severity: SEV3
timeout: 20s
steps:
  - id: look
    uses: http.get
    with: { url: "\${{ connect.url }}/state" }
    continue_on_error: true
  - id: mend
    uses: http.request
    with: { url: "\${{ connect.url }}/mend", method: POST }
    idempotent: true
    retry: { attempts: 2, delay: 10ms, factor: 2 }
verify:
  - { uses: http.get, with: { url: "\${{ connect.url }}/health" }, need: 1, of: 1, every: 10ms }
on_failure: { degrade: shop_closed }
on_success: { clear: shop_closed }
guide: Look at the shop.
`;
const config = (host: string, extra = ''): string => `
version: 1
recovery: { mode: auto, settle: 15m, cooldown: { after_failure: 300s, after_success: 60s } ${extra} }
components:
  shop:
    inventory: { static: [ { target: main, connect: { url: "http://${host}" } } ] }
    allow: { actions: ["http.*"] }
allow: { hosts: ["${host}"] }
degraded_modes:
  shop_closed: { available: [reading], unavailable: [ordering], impact: "no orders" }
`;
const BEGAN = Date.now() - 60_000;
const FIRING = { labels: { alertname: 'ShopDown', component: 'shop', target: 'main' }, startsAt: BEGAN };
const RESOLVED = { ...FIRING, status: 'resolved' } as const;

describe('an alert comes in', () => {
  let folder: string;
  let ledger: Ledger;
  let amends: EngineUnderTest;

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'amends-ledger-'));
    ledger = await createLedger(join(folder, 'ledger.ndjson'));
    amends = await startEngine({ config: config(ledger.host), files: { 'rules/shop.json': RULE, 'runbooks/shop/mend.yaml': RUNBOOK } });
  });
  afterEach(async () => {
    await amends.close();
    await ledger.close();
    rmSync(folder, { recursive: true, force: true });
  });

  it('R1 and its target is mended once, verified, and settles until the alert has stayed quiet', async () => {
    await amends.post([FIRING]);
    const [run] = await amends.list('runs');
    expect(run).toMatchObject({ state: 'done', outcome: 'resolved', cause: 'verified', component: 'shop', target: 'main', strategy: 'mend' });
    expect(ledger.effects().map((effect) => effect.path)).toEqual(['/mend']);
    const stored = await amends.store.run(run?.id ?? '');
    expect(stored?.events.map(({ event }) => ('step' in event && event.step !== null ? `${event.type} ${event.step}` : event.type))).toMatchSnapshot();

    await amends.post([FIRING]);
    expect((await amends.list('decisions')).map((decision) => decision.reason)).toEqual(['duplicate', 'admitted']);

    await amends.post([RESOLVED]);
    amends.clock.advance(16 * 60_000);
    await amends.settle();
    expect((await amends.list('episodes'))[0]).toMatchObject({ state: 'closed' });
    expect((await amends.list('runs'))[0]).toMatchObject({ outcome: 'resolved' });
  });

  it('R3 R17 and a target that stays broken is tried three times, five minutes apart, and then handed to a human once', async () => {
    ledger.answer('/health', 500);
    await amends.post([FIRING]);
    expect((await amends.list('runs')).map((run) => [run.outcome, run.cause])).toEqual([['unresolved', 'not_verified']]);
    expect(await amends.store.degraded()).toMatchObject([{ mode: 'shop_closed', component: 'shop' }]);

    amends.clock.advance(299_000);
    await amends.settle();
    expect(await amends.list('runs')).toHaveLength(1);
    amends.clock.advance(2_000);
    await amends.settle();
    expect(await amends.list('runs')).toHaveLength(2);
    amends.clock.advance(301_000);
    await amends.settle();
    expect(await amends.list('runs')).toHaveLength(3);
    for (let hour = 0; hour < 5; hour += 1) {
      amends.clock.advance(3_600_000);
      await amends.post([FIRING]);
    }
    expect(await amends.list('runs')).toHaveLength(3);
    const inbox = await amends.list('inbox');
    expect(inbox).toHaveLength(1);
    expect(inbox[0]).toMatchObject({ kind: 'escalation', status: 'open', severity: 'SEV3', count: 1 });
    expect(JSON.stringify(inbox[0]?.body)).toMatch(/breaker_open|attempts_used_up/);
    expect((await amends.list('outbox')).filter((row) => row.topic === 'escalation')).toHaveLength(1);
  });

  it('and an alert that comes back while its run settles makes the run ineffective', async () => {
    await amends.post([FIRING]);
    await amends.post([RESOLVED]);
    amends.clock.advance(120_000);
    await amends.post([{ ...FIRING, startsAt: amends.clock.now() }]);
    expect((await amends.list('runs')).at(-1)).toMatchObject({ outcome: 'unresolved', cause: 'ineffective' });
  });

  it('F38 a thousand times at once and is acted on once, with a thousand decisions', async () => {
    const ten = body(amends.clock, Array.from({ length: 10 }, () => FIRING));
    await Promise.all(Array.from({ length: 100 }, () => amends.engine.intake.submit('alertmanager', ten)));
    await amends.settle();
    expect(await amends.list('runs')).toHaveLength(1);
    const figures = await amends.store.figures();
    expect(figures.undecided).toBe(0);
    expect(ledger.effects()).toHaveLength(1);
    const { items: decisions } = await amends.store.list('decisions', { limit: 1_000, cursor: null, filters: { origin: 'delivery' }, since: null });
    expect(decisions.map(({ reason }) => reason).toSorted((left, right) => (left < right ? -1 : 1))).toEqual(['admitted', ...Array.from({ length: 999 }, () => 'duplicate')]);
    // And none but these.
    const { next } = await amends.store.list('decisions', { limit: 1_000, cursor: null, filters: {}, since: null });
    expect(next).toBeNull();
  });

  it('F34 and what waits for an approval is withdrawn when the alert resolves', async () => {
    await amends.reload({ 'rules/shop.json': { ...RULE, event: { type: 'remediate', params: { runbook: 'shop/mend', mode: 'approve' } } } });
    await amends.post([FIRING]);
    const [run] = await amends.list('runs');
    expect(run).toMatchObject({ state: 'awaiting_approval' });
    expect((await amends.list('decisions'))[0]).toMatchObject({ reason: 'awaiting_approval' });
    await amends.post([RESOLVED]);
    expect((await amends.list('runs'))[0]).toMatchObject({ state: 'done', outcome: 'withdrawn', cause: 'resolved' });
    const late = await amends.engine.desk.approve({ runId: run?.id ?? '', step: null, by: 'ann', comment: '' });
    expect(late).toMatchObject({ ok: false, status: 409 });
    expect(ledger.effects()).toEqual([]);
  });

  it('F47 and an approved run starts, a denied one never does, an unanswered one expires and is escalated', async () => {
    await amends.reload({ 'rules/shop.json': { ...RULE, event: { type: 'remediate', params: { runbook: 'shop/mend', mode: 'approve' } } } });
    await amends.post([FIRING]);
    const [run] = await amends.list('runs');
    await amends.engine.desk.approve({ runId: run?.id ?? '', step: null, by: 'ann', comment: 'go' });
    await amends.settle();
    expect((await amends.list('runs'))[0]).toMatchObject({ outcome: 'resolved' });
    expect(ledger.effects()).toHaveLength(1);

    const other = { labels: { ...FIRING.labels, extra: 'x' } };
    await amends.post([RESOLVED]);
    amends.clock.advance(20 * 60_000);
    await amends.post([other]);
    const waiting = (await amends.list('runs'))[0];
    expect(waiting).toMatchObject({ state: 'awaiting_approval' });
    amends.clock.advance(31 * 60_000);
    await amends.settle();
    expect((await amends.list('runs'))[0]).toMatchObject({ outcome: 'withdrawn', cause: 'expired' });
    expect((await amends.list('inbox')).filter((entry) => entry.kind === 'escalation')).toHaveLength(1);
    expect(ledger.effects()).toHaveLength(1);
  });

  it('F45 and nothing begins while the halt file is there; without it the alert is decided anew', async () => {
    const { writeFileSync } = await import('node:fs');
    writeFileSync(amends.haltFile, '');
    await amends.post([FIRING]);
    expect((await amends.list('decisions'))[0]).toMatchObject({ reason: 'halted' });
    expect(ledger.effects()).toEqual([]);
    rmSync(amends.haltFile);
    expect(await amends.engine.desk.resume({ by: 'ann', reason: 'over' })).toMatchObject({ ok: true });
    await amends.settle();
    expect(ledger.effects()).toHaveLength(1);
  });

  it('F45 and what waits for an answer stands still while everything is halted: three hours later it can still be given', async () => {
    await amends.reload({
      'rules/shop.json': { ...RULE, event: { type: 'remediate', params: { runbook: 'shop/mend', mode: 'approve' } } },
    });
    await amends.post([FIRING]);
    const [run] = await amends.list('runs');
    await amends.engine.desk.halt({ by: 'ann', reason: 'deploy', hard: false });
    amends.clock.advance(3 * 60 * 60_000);
    await amends.settle();
    expect(await amends.engine.desk.approve({ runId: run?.id ?? '', step: null, by: 'bob', comment: 'go' })).toMatchObject({ ok: true });
    await amends.settle();
    expect(ledger.effects()).toEqual([]);
    await amends.engine.desk.resume({ by: 'ann', reason: 'done' });
    await amends.settle();
    expect((await amends.list('runs'))[0]).toMatchObject({ outcome: 'resolved' });
    expect(ledger.effects()).toHaveLength(1);
  });

  it('F43 F44 and one bad alert among a hundred is invalid while ninety-nine are decided', async () => {
    const good = Array.from({ length: 99 }, (_, index) => ({ labels: { alertname: 'Other', n: String(index) } }));
    const raw = JSON.parse(String(body(amends.clock, good))) as { alerts: unknown[] };
    raw.alerts.splice(50, 0, { status: 'firing', labels: { alertname: 7 }, startsAt: 'not-a-date' });
    await amends.engine.intake.submit('alertmanager', Buffer.from(JSON.stringify(raw)));
    await amends.settle();
    const reasons = (await amends.list('decisions')).map((decision) => decision.reason);
    expect(reasons.filter((reason) => reason === 'invalid')).toHaveLength(1);
    expect(reasons.filter((reason) => reason === 'no_match')).toHaveLength(99);
  });
});
