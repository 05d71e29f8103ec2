// What alerts do over hours: they resolve too early or too late, flap, raise each other, and hit what cannot be mended.
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { startEngine } from '../support/engine.ts';
import type { EngineUnderTest } from '../support/engine.ts';
import { createLedger } from '../support/ledger.ts';
import type { Ledger } from '../support/ledger.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

type Given = { readonly recovery?: string; readonly components?: string; readonly rest?: string };

const config = (ledger: Ledger, { recovery = '', components = '', rest = '' }: Given = {}): string => `
version: 1
recovery: { mode: auto, settle: 0s${recovery} }
components:
  shop:
    inventory: { static: [ { target: main, connect: { url: "${ledger.url}" } } ] }
    allow: { actions: ["http.*", "wait.*"] }
${components}
allow: { hosts: ["${ledger.host}"] }
${rest}
`;
const call = (path: string): string => `uses: http.request\n    with: { url: "\${{ connect.url }}${path}", method: POST }`;
const runbook = (steps: string, { verify = '/health', more = '' } = {}): string =>
  `version: 1\nsummary: Mend it.\nseverity: SEV3\ntimeout: 20s\nguide: Look at it.\nsteps:\n${steps}\nverify:\n  - { uses: http.get, with: { url: "\${{ connect.url }}${verify}" }, need: 1, of: 1, every: 10ms }\n${more}`;
const MEND = runbook(`  - id: mend\n    ${call('/mend')}\n    idempotent: true`);

const ruleFor = (name: string, alertname: string, book: string): object => ({
  name, description: 'It is mended.', priority: 10,
  conditions: { all: [{ fact: 'alertname', operator: 'equal', value: alertname }] },
  event: { type: 'remediate', params: { runbook: book, mode: 'auto' } },
});

describe('alerts over time', () => {
  let folder: string;
  let ledger: Ledger;
  let amends: EngineUnderTest;
  const alert = (alertname = 'ShopDown', labels: Record<string, string> = {}) => ({ labels: { alertname, component: 'shop', target: 'main', ...labels }, startsAt: amends.clock.now() });
  const resolved = (of: ReturnType<typeof alert>) => ({ ...of, status: 'resolved' as const });
  const begin = async (books: Record<string, string>, rules: readonly object[], given: Given = {}): Promise<void> => {
    const files = Object.fromEntries<string | object>([
      ...Object.entries(books).map(([name, text]) => [`runbooks/shop/${name}.yaml`, text] as const),
      ...rules.map((rule, index) => [`rules/${index}.json`, rule] as const),
    ]);
    amends = await startEngine({ config: config(ledger, given), files });
  };

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'amends-stream-'));
    ledger = await createLedger(join(folder, 'ledger.ndjson'));
  });
  afterEach(async () => {
    await amends.close();
    await ledger.close();
    rmSync(folder, { recursive: true, force: true });
  });

  it('F35: one that resolves after the first effect lets the run go to its end, which says so', async () => {
    await begin({ mend: runbook(`  - id: mend\n    ${call('/mend')}\n    idempotent: true\n  - id: pause\n    uses: wait.for\n    with: { duration: 300ms }\n  - id: again\n    ${call('/again')}\n    idempotent: true`) }, [ruleFor('shop-down', 'ShopDown', 'shop/mend')]);
    const firing = alert();
    const felt = ledger.next('/mend');
    amends.engine.decider.start();
    amends.engine.runner.start();
    await amends.submit([firing]);
    await felt;
    await amends.submit([resolved(firing)]);
    await amends.until(async () => (await amends.list('runs'))[0]?.state === 'done');
    await amends.engine.decider.stop();
    const [run] = await amends.list('runs');
    expect(run).toMatchObject({ outcome: 'resolved' });
    const stored = await amends.store.run(run?.id ?? '');
    expect(stored?.events.some(({ event }) => event.type === 'resolved_during_run')).toBe(true);
    expect(ledger.effects().map(({ path }) => path)).toEqual(['/mend', '/again']);
  });

  it('F36 I10: one that flaps once a minute for a day stays one episode, keeps the cap in every hour, and is escalated once', async () => {
    await begin({ mend: MEND }, [ruleFor('shop-down', 'ShopDown', 'shop/mend')], { recovery: ', cooldown: { after_failure: 60s, after_success: 60s }, breaker: { failures: 100 }, attempts: [ { max: 3, per: 1h } ], budget: [ { max: 100, per: 1h } ]' });
    ledger.answer('/health', 500);
    for (let minute = 0; minute < 24 * 60; minute += 1) {
      const firing = alert();
      await amends.post([firing]);
      amends.clock.advance(30_000);
      await amends.post([resolved(firing)]);
      amends.clock.advance(30_000);
    }
    const runs = await amends.list('runs');
    const starts = runs.map((run) => run.createdAt).toSorted((left, right) => left - right);
    for (const start of starts) expect(starts.filter((other) => other >= start && other < start + HOUR).length).toBeLessThanOrEqual(3);
    expect(await amends.list('episodes')).toHaveLength(1);
    expect((await amends.list('inbox')).filter(({ kind }) => kind === 'escalation')).toHaveLength(1);
    expect((await amends.list('outbox')).filter(({ topic }) => topic === 'escalation')).toHaveLength(1);
  }, 300_000);

  it('F37: two rules whose runs raise each other\'s alerts end within their caps', async () => {
    await begin({ left: runbook(`  - id: mend\n    ${call('/left')}\n    idempotent: true`), right: runbook(`  - id: mend\n    ${call('/right')}\n    idempotent: true`) }, [ruleFor('left', 'Left', 'shop/left'), ruleFor('right', 'Right', 'shop/right')], { recovery: ', attempts: [ { max: 3, per: 1h } ]' });
    let felt = 0;
    for (let minute = 0; minute < 180; minute += 1) {
      const last = ledger.effects().at(-1)?.path;
      await amends.post([alert(last === '/left' ? 'Right' : 'Left', { n: String(felt) })]);
      felt = ledger.effects().length;
      amends.clock.advance(MINUTE);
      await amends.settle();
    }
    expect(felt).toBeGreaterThan(0);
    expect(felt).toBeLessThanOrEqual(9);
  }, 60_000);

  it('F40: a strategy that failed on three targets in a row is not tried on a fourth, until a trial an hour later', async () => {
    const targets = ['a', 'b', 'c', 'd'];
    await begin({ mend: MEND }, [ruleFor('shop-down', 'ShopDown', 'shop/mend')], {
      recovery: ', attempts: [ { max: 50, per: 1h } ], budget: [ { max: 50, per: 1h } ], cooldown: { after_failure: 10s }, storm: { min: 50, max: 50 }',
      components: `  farm:\n    kind: shop\n    inventory: { static: [ ${targets.map((name) => `{ target: ${name}, connect: { url: "${ledger.url}" } }`).join(', ')} ] }\n    allow: { actions: ["http.*"] }\n    storm: { gather: 0s, window: 1s }`,
    });
    ledger.answer('/health', 500);
    for (const target of targets) {
      await amends.post([alert('ShopDown', { component: 'farm', target })]);
      // The others of its episode are done with: a new one comes later.
      amends.clock.advance(11_000);
    }
    const reasons = (await amends.list('decisions')).map(({ reason, target }) => [target, reason]);
    expect(reasons).toContainEqual(['d', 'breaker_open']);
    expect(ledger.effects()).toHaveLength(3);
    amends.clock.advance(HOUR);
    await amends.settle();
    expect(ledger.effects()).toHaveLength(4);
  });

  it('F57: an undo that fails leaves the run stuck, the component disabled, a page, and is not tried again', async () => {
    await begin({ mend: runbook(`  - id: mend\n    ${call('/mend')}\n    idempotent: true\n    undo:\n      ${call('/undo').replace('\n', '\n  ')}\n      idempotent: true`, { verify: '/broken' }) }, [ruleFor('shop-down', 'ShopDown', 'shop/mend')]);
    ledger.answer('/broken', 500);
    ledger.answer('/undo', 404);
    await amends.post([alert()]);
    expect((await amends.list('runs'))[0]).toMatchObject({ outcome: 'stuck', cause: 'undo_failed' });
    expect([...(await amends.store.controls()).components.keys()]).toEqual(['shop']);
    amends.clock.advance(2 * HOUR);
    await amends.post([alert('ShopDown', { another: 'one' })]);
    expect((await amends.list('decisions'))[0]).toMatchObject({ reason: 'disabled' });
    expect(ledger.effects().map(({ path }) => path)).toEqual(['/mend', '/undo']);
    expect((await amends.list('inbox')).filter(({ kind }) => kind === 'escalation')).toHaveLength(1);
  });

  it('F55: a system that answers once and falls over again is not recovered: it has to hold', async () => {
    await begin({ mend: MEND.replace('every: 10ms }', 'every: 20ms, hold: 400ms }') }, [ruleFor('shop-down', 'ShopDown', 'shop/mend')]);
    const felt = ledger.next('/mend');
    const posted = amends.post([alert()]);
    await felt;
    setTimeout(() => ledger.answer('/health', 503), 150);
    await posted;
    expect((await amends.list('runs'))[0]).toMatchObject({ outcome: 'unresolved', cause: 'not_verified' });
  });

  it('F48 F49 I9: a sink that fails for a while, then echoes what it got, delays no run and is told in order, at least once, without secrets', async () => {
    const told: { id: string; runId: string; topic: string }[] = [];
    let status = 500;
    const sink = createServer((request, response) => {
      let text = '';
      request.on('data', (chunk) => (text += String(chunk)));
      request.on('end', () => {
        if (status === 200) told.push(JSON.parse(text) as (typeof told)[number]);
        response.writeHead(status).end(text);
      });
    });
    await new Promise<void>((resolve) => void sink.listen(0, '127.0.0.1', resolve));
    const url = `http://127.0.0.1:${(sink.address() as AddressInfo).port}/`;
    try {
      await begin({ mend: MEND }, [ruleFor('shop-down', 'ShopDown', 'shop/mend')], {
        recovery: ', attempts: [ { max: 1, per: 1h } ]',
        rest: `notify: { receivers: [ { name: oncall, type: webhook, url: "${url}" } ], routes: [ { receiver: oncall } ] }`,
      });
      ledger.answer('/health', 500);
      await amends.post([alert()]);
      expect((await amends.list('runs'))[0]).toMatchObject({ outcome: 'unresolved' });
      expect((await amends.list('outbox'))[0]).toMatchObject({ status: 'pending' });
      amends.clock.advance(2 * HOUR);
      status = 200;
      await amends.settle();
      expect((await amends.list('outbox'))[0]).toMatchObject({ status: 'sent' });
      expect(told).toHaveLength(1);
    } finally {
      sink.closeAllConnections();
      await new Promise<void>((resolve) => void sink.close(() => resolve()));
    }
  });
});
