// A delivery that came in a trace is decided, recovered and told of in that trace; what is no trace is let drop.
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { childOf, readTraceparent, traceIdOf } from '../../src/base/trace.ts';
import { body, startEngine } from '../support/engine.ts';
import type { EngineUnderTest } from '../support/engine.ts';
import { startHttpDouble } from '../support/http-double.ts';
import type { HttpDouble } from '../support/http-double.ts';

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const PARENT = `00-${TRACE}-00f067aa0ba902b7-01`;
const MINUTE = 60_000;
const RULE = {
  name: 'shop-down',
  description: 'The shop is mended.',
  priority: 10,
  conditions: { all: [{ fact: 'alertname', operator: 'equal', value: 'ShopDown' }] },
  event: { type: 'remediate', params: { runbook: 'shop/mend', mode: 'auto' } },
};
const RUNBOOK = `
version: 1
summary: Mend the shop.
severity: SEV3
timeout: 20s
steps:
  - { id: mend, uses: http.request, with: { url: "\${{ connect.url }}/mend", method: POST }, idempotent: true }
  - { id: own, uses: http.request, with: { url: "\${{ connect.url }}/own", method: POST, headers: { Traceparent: mine } }, idempotent: true }
verify:
  - { uses: http.get, with: { url: "\${{ connect.url }}/health" }, need: 1, of: 1, every: 10ms }
on_success: { steps: [ { id: say, uses: notify.send, with: { severity: SEV3, title: mended, body: mended }, idempotent: true } ] }
guide: Look at the shop.
`;

let server: HttpDouble;
let amends: EngineUnderTest;
let lines: string[];
beforeEach(async () => {
  server = await startHttpDouble();
  lines = [];
  const given = {
    config: `
version: 1
recovery: { mode: auto, storm: { min: 5 }, cooldown: { after_failure: 300s, after_success: 300s } }
components:
  shop:
    connect: { url: "${server.url}" }
    inventory: { static: [ one, two, three ] }
    allow: { actions: ["http.*", "notify.*"] }
allow: { hosts: ["${server.host}"] }
notify: { receivers: [ { name: all, type: webhook, url: "${server.url}/hook" } ], routes: [ { receiver: all } ] }
`,
    files: { 'rules/shop.json': RULE, 'runbooks/shop/mend.yaml': RUNBOOK },
  };
  amends = await startEngine(given, { lines });
});
afterEach(async () => {
  await amends.close();
  await server.close();
});

const submit = (target: string, traceparent: string | null) =>
  amends.engine.intake.submit(
    'alertmanager',
    body(amends.clock, [{ labels: { alertname: 'ShopDown', component: 'shop', target } }]),
    traceparent,
  );
const sentTo = (path: string) => server.seen.filter(({ url }) => url === path).map(({ headers }) => headers['traceparent']);
const newestRun = async () => {
  const [run] = await amends.list('runs');
  const found = await amends.store.run(run?.id ?? '');
  if (run === undefined || found === null) throw new Error('there is no run');
  return { ...run, plan: found.plan };
};

describe('the trace of a delivery', () => {
  it('is kept with delivery, decision and run, and handed on by every step with a span of its own', async () => {
    await submit('one', PARENT);
    await amends.settle();
    const run = await newestRun();
    expect(run).toMatchObject({ outcome: 'resolved', plan: { traceparent: PARENT } });
    const [decision] = await amends.list('decisions');
    expect(decision?.record['traceparent']).toBe(PARENT);
    expect((await amends.store.delivery(decision?.deliveryId ?? ''))?.traceparent).toBe(PARENT);
    const mend = childOf(PARENT, `${run.id}/steps/mend`);
    expect(traceIdOf(mend)).toBe(TRACE);
    expect(sentTo('/mend')).toEqual([mend]);
    expect(sentTo('/health')).toEqual([childOf(PARENT, `${run.id}/verify`)]);
    // What a runbook says itself goes first.
    expect(sentTo('/own')).toEqual(['mine']);
    const [told] = await amends.list('outbox');
    expect(sentTo('/hook')).toEqual([childOf(PARENT, `notify/${told?.id ?? ''}`)]);
    expect(new Set([mend, ...sentTo('/health'), ...sentTo('/hook'), PARENT]).size).toBe(4);
  });

  it('is let drop where the run that a message tells of cannot be read any more: people are told all the same', async () => {
    await submit('one', PARENT);
    await amends.settle();
    const { id } = await newestRun();
    const database = new Database(join(amends.folder, 'data/amends.db'));
    database.exec("update runs set plan = '{'");
    database.close();
    const about = { severity: 'SEV2', component: 'shop', target: 'one', runId: id, receiver: null } as const;
    await amends.store.write([{ type: 'notify', id: 'late', topic: 'note', ...about, title: 'late', body: '' }], amends.clock.now());
    await amends.settle();
    expect(sentTo('/hook').slice(1)).toEqual([undefined]);
    expect((await amends.list('outbox')).map(({ status }) => status)).toEqual(['sent', 'sent']);
  });

  it('is in the log with run and incident, from admission to end', async () => {
    await submit('one', PARENT);
    await amends.settle();
    const { id, episodeId } = await newestRun();
    const told = lines.map((line) => JSON.parse(line) as Readonly<Record<string, unknown>>).filter(({ run_id: of }) => of === id);
    expect(told).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ level: 'debug', msg: 'decided', episode_id: episodeId, reason: 'admitted' }),
        expect.objectContaining({ level: 'info', msg: 'a run was admitted', episode_id: episodeId, trace_id: TRACE }),
        expect.objectContaining({ level: 'info', msg: 'a run ended', episode_id: episodeId, trace_id: TRACE, outcome: 'resolved', cause: 'verified' }),
      ]),
    );
  });

  it('outlasts a restart before the decision, and a rest before the run', async () => {
    await submit('one', PARENT);
    amends.restart();
    await amends.settle();
    expect((await newestRun()).plan.traceparent).toBe(PARENT);
    const other = PARENT.replace('4bf9', 'aaaa');
    await submit('two', other);
    await amends.settle();
    expect((await amends.list('decisions'))[0]).toMatchObject({ reason: 'cooldown', record: { traceparent: other } });
    amends.clock.advance(6 * MINUTE);
    await amends.settle();
    expect(await newestRun()).toMatchObject({ target: 'two', plan: { traceparent: other } });
  });

  it('is that of the request for a manual recovery, by strategy and by failure type', async () => {
    const asked = {
      component: 'shop',
      target: 'one',
      inputs: {},
      context: {},
      requireApproval: false,
      overrideCooldown: false,
      reason: 'an exercise',
      by: 'ann',
      traceparent: PARENT,
    };
    const answer = await amends.engine.desk.recover({ ...asked, strategy: 'mend', failureType: null });
    expect(answer).toMatchObject({ ok: true });
    await amends.settle();
    expect((await newestRun()).plan.traceparent).toBe(PARENT);
    await amends.engine.desk.recover({ ...asked, strategy: null, failureType: 'shop_down' });
    expect((await amends.list('decisions'))[0]?.record['traceparent']).toBe(PARENT);
  });

  it('is none where none came, nor where labels name one', async () => {
    await amends.post([{ labels: { alertname: 'ShopDown', component: 'shop', target: 'one', traceparent: PARENT } }]);
    const run = await newestRun();
    expect(run.plan).not.toHaveProperty('traceparent');
    expect([...sentTo('/mend'), ...sentTo('/hook')]).toEqual([undefined, undefined]);
  });

  it.each([
    ['another version', `01-${TRACE}-00f067aa0ba902b7-01`],
    ['no trace', `00-${'0'.repeat(32)}-00f067aa0ba902b7-01`],
    ['no span', `00-${TRACE}-${'0'.repeat(16)}-01`],
    ['capitals', PARENT.toUpperCase()],
    ['more behind it', `${PARENT}-x`],
    ['a line end', `${PARENT}\n`],
    ['two of them', `${PARENT}, ${PARENT}`],
    ['nothing', ''],
  ])('is let drop with %s', (_what, header) => {
    expect(readTraceparent(header)).toBeNull();
    expect(readTraceparent(PARENT)).toBe(PARENT);
  });
});
