// What people are told while something goes on: by a real receiver, on a real engine whose clock is moved ahead.
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { startEngine } from '../../support/engine.ts';
import type { EngineUnderTest } from '../../support/engine.ts';
import { startHttpDouble } from '../../support/http-double.ts';
import type { HttpDouble } from '../../support/http-double.ts';

const MINUTE = 60_000;
const rule = (name: string, runbook: string): object => ({
  name,
  description: 'The shop is mended.',
  priority: 10,
  conditions: { all: [{ fact: 'alertname', operator: 'equal', value: name }] },
  event: { type: 'remediate', params: { runbook, mode: 'auto' } },
});
const runbook = (path: string, severity: string): string => `
version: 1
summary: Mend the shop.
severity: ${severity}
timeout: 20s
steps:
  - { id: mend, uses: http.request, with: { url: "\${{ connect.url }}/mend", method: POST }, idempotent: true }
verify:
  - { uses: http.get, with: { url: "\${{ connect.url }}${path}" }, need: 1, of: 1, every: 10ms }
on_failure: { degrade: shop_closed, escalate: SEV3 }
on_success: { clear: shop_closed }
on_exhausted: { escalate: ${severity} }
guide: Look at the shop.
`;
const config = (host: string, more = ''): string => `
version: 1
recovery: { mode: auto, attempts: [{ max: 1, per: 1h }], cooldown: { after_failure: 1s, after_success: 1s } }
components:
  shop:
    inventory: { static: [ { target: main, connect: { url: "http://${host}" } } ] }
    allow: { actions: ["http.*"] }
allow: { hosts: ["${host}"] }
degraded_modes:
  shop_closed: { available: [reading], unavailable: [ordering], impact: "no orders", notify: [app] }
notify:
  receivers:
    - { name: oncall, type: webhook, url: "http://${host}/oncall" }
    - { name: team, type: webhook, url: "http://${host}/team" }
    - { name: app, type: webhook, url: "http://${host}/app" }
  routes: [ { severity: [SEV1, SEV2], receiver: oncall }, { severity: [SEV3, SEV4], receiver: team } ]
${more}`;

let target: HttpDouble;
let amends: EngineUnderTest;
const begin = async (more = ''): Promise<void> => {
  amends = await startEngine({
    config: config(target.host, more),
    files: {
      'rules/bad.json': rule('Hopeless', 'shop/hopeless'),
      'rules/good.json': rule('Mendable', 'shop/mendable'),
      'rules/minor.json': rule('Minor', 'shop/minor'),
      'runbooks/shop/hopeless.yaml': runbook('/status/500', 'SEV1'),
      'runbooks/shop/mendable.yaml': runbook('/ok', 'SEV3'),
      'runbooks/shop/minor.yaml': runbook('/status/500', 'SEV4'),
    },
  });
};
beforeEach(async () => {
  target = await startHttpDouble();
});
afterEach(async () => {
  await amends.close();
  await target.close();
});

const fire = (alertname: string): Promise<void> =>
  amends.post([{ labels: { alertname, component: 'shop', target: 'main' } }]);
type Message = {
  readonly topic: string;
  readonly severity: string | null;
  readonly title: string;
  readonly body: string;
};
const messages = (receiver: string): readonly Message[] =>
  target.seen.filter(({ url }) => url === `/${receiver}`).map(({ body }) => JSON.parse(body) as Message);
const later = async (ms: number): Promise<void> => {
  amends.clock.advance(ms);
  await amends.settle();
};
const updates = (): readonly string[] =>
  messages('oncall')
    .filter(({ topic }) => topic === 'status_update')
    .map(({ title }) => title);

describe('levels and severities', () => {
  it("R17 O1 a failure is watched at level 2, what nothing automatic is left for is a human's at level 3, each told to whom its severity names", async () => {
    await begin();
    await fire('Hopeless');
    const inbox = await amends.list('inbox');
    expect(inbox.map(({ severity, body }) => [severity, body['level']])).toEqual([
      ['SEV1', 3],
      ['SEV3', 2],
    ]);
    expect(inbox[0]?.body).toMatchObject({
      why: expect.any(String),
      guide: 'Look at the shop.',
      steps: [{ step: 'steps/mend' }],
    });
    expect(await amends.store.degraded()).toMatchObject([{ mode: 'shop_closed' }]);
    expect(messages('oncall').map(({ topic, severity }) => [topic, severity])).toEqual([['escalation', 'SEV1']]);
    expect(messages('team').map(({ topic, severity }) => [topic, severity])).toEqual([['escalation', 'SEV3']]);
  });

  it('O1 at SEV1 a status update is due every 15 minutes until the entry is closed, once each, over a restart and a halt too', async () => {
    await begin();
    await fire('Hopeless');
    await later(14 * MINUTE);
    expect(updates()).toEqual([]);
    await later(MINUTE);
    expect(updates()).toEqual([
      expect.stringMatching(/^Status update due \(SEV1, every 15m\): Nothing automatic is left/),
    ]);
    await amends.settle();
    amends.restart();
    await amends.settle();
    expect(updates()).toHaveLength(1);
    // Two fell due while nobody ran: they are said once.
    await later(31 * MINUTE);
    expect(updates()).toHaveLength(2);
    expect((await amends.engine.desk.halt({ by: 'ann', reason: 'to look', hard: false })).ok).toBe(true);
    await later(15 * MINUTE);
    expect(updates()).toHaveLength(3);
    const entry = (await amends.list('inbox')).find(({ severity }) => severity === 'SEV1');
    expect(messages('oncall').at(-1)?.body).toContain(`amends inbox close ${entry?.id}`);
    await amends.engine.desk.closeInbox({ id: entry?.id ?? '', by: 'ann', comment: 'mended' });
    await later(60 * MINUTE);
    expect(updates()).toHaveLength(3);
    expect(messages('team').filter(({ topic }) => topic === 'status_update')).toEqual([]);
  });

  it('O1 how often is configured by severity, and off is off', async () => {
    await begin('  status_updates: { SEV1: off, SEV4: 10m }');
    await fire('Hopeless');
    await later(60 * MINUTE);
    expect(updates()).toEqual([]);
    await later(61 * MINUTE);
    await fire('Minor');
    await later(10 * MINUTE);
    expect(messages('team').filter(({ topic }) => topic === 'status_update')).toMatchObject([{ severity: 'SEV4' }]);
  });
});

describe('degraded modes', () => {
  it('R18 on at failure and off at success, told once to whom the mode names, with what it takes away', async () => {
    await begin();
    await fire('Hopeless');
    await amends.settle();
    expect(messages('app')).toMatchObject([
      {
        topic: 'degraded',
        title: 'Degraded mode shop_closed is on: shop main',
        body: 'impact: no orders\navailable: reading\nnot available: ordering',
      },
    ]);
    await later(61 * MINUTE);
    await fire('Mendable');
    await amends.settle();
    expect(await amends.store.degraded()).toEqual([]);
    amends.restart();
    await amends.settle();
    expect(messages('app').map(({ title }) => title)).toEqual([
      'Degraded mode shop_closed is on: shop main',
      'Degraded mode shop_closed is off: shop main',
    ]);
    const switched = (await amends.list('audit')).filter(({ action }) => action.startsWith('degraded.'));
    expect(switched.map(({ action, subject }) => [action, subject])).toEqual([
      ['degraded.clear', 'shop_closed'],
      ['degraded.set', 'shop_closed'],
    ]);
  });
});
