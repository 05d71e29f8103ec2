// Questions to people: what an approval is bound to, who may give it, and what is asked again after it.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { z } from 'zod';
import { defineAction } from '../../src/port/action.ts';
import type { Action } from '../../src/port/action.ts';
import { createLedger } from '../support/ledger.ts';
import type { Ledger } from '../support/ledger.ts';
import { startEngine } from '../support/engine.ts';
import type { EngineUnderTest } from '../support/engine.ts';

const MINUTE = 60_000;
const rule = (params: object = {}, name = 'shop-down'): object => ({
  name, priority: 10,
  conditions: { all: [{ fact: 'alertname', operator: 'equal', value: 'ShopDown' }] },
  event: { type: 'remediate', params: { runbook: 'shop/mend', mode: 'approve', ...params } },
});
const runbook = (steps: string, summary = 'Mend the shop.'): string => `
version: 1
summary: ${summary}
severity: SEV3
timeout: 20s
steps:
${steps}
verify:
  - { uses: http.get, with: { url: "\${{ connect.url }}/health" }, need: 1, of: 1, every: 10ms }
guide: Look at the shop.
`;
const post = (id: string): string => `  - { id: ${id}, uses: http.request, with: { url: "\${{ connect.url }}/${id}" }, idempotent: true }`;
const MEND = runbook(post('mend'));
const ASKS = runbook([post('drain'), '  - { id: ask, approve: { question: "Go on?", expires: 20m } }', post('mend')].join('\n'));
const ASKS_FIRST = runbook(['  - { id: ask, approve: { question: "Go on?", expires: 60m } }', post('mend')].join('\n'));
const WIPE = runbook('  - { id: wipe, uses: shop.wipe, idempotent: true }');
const config = (host: string, extra = ''): string => `
version: 1
recovery: { mode: auto, settle: 15m, attempts: [ { max: 9, per: 1h } ] ${extra} }
components:
  shop:
    inventory: { static: [ { target: main, connect: { url: "http://${host}" } }, { target: other, connect: { url: "http://${host}" } } ] }
    allow: { actions: ["http.*", "shop.*"] }
allow: { hosts: ["${host}"] }
`;

const BEGAN = Date.now() - MINUTE;
const firing = (target = 'main'): { labels: Record<string, string>; startsAt: number } => ({
  labels: { alertname: 'ShopDown', component: 'shop', target, failure_type: 'gone' },
  startsAt: BEGAN,
});

let folder: string;
let ledger: Ledger;
let amends: EngineUnderTest;
let wiped: string[];

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'amends-approvals-'));
  ledger = await createLedger(join(folder, 'ledger.ndjson'));
  wiped = [];
  const wipe = defineAction({
    summary: 'Destroys.', effect: 'destroy', input: z.strictObject({}), outputs: {}, undo: 'none', defaultTimeout: 1_000,
    run: (_input, { run }) => {
      wiped.push(run.target);
      return Promise.resolve({ outputs: {} });
    },
  }) as unknown as Action;
  amends = await startEngine(
    { config: config(ledger.host), files: { 'rules/shop.json': rule(), 'runbooks/shop/mend.yaml': MEND, 'runbooks/shop/wipe.yaml': WIPE } },
    { actions: new Map([['shop.wipe', wipe]]) },
  );
});
afterEach(async () => {
  await amends.close();
  await ledger.close();
  rmSync(folder, { recursive: true, force: true });
});

const latest = async () => (await amends.list('runs'))[0];
const approve = (runId: string | undefined, by = 'ann', step: string | null = null) =>
  amends.engine.desk.approve({ runId: runId ?? '', step, by, comment: '' });
const effects = (): readonly string[] => ledger.effects().map(({ path }) => path);
const tries = async () => (await amends.list('audit')).filter(({ action }) => action === 'run.approve');
const topics = async (...wanted: string[]) => (await amends.list('outbox')).map(({ topic }) => topic).filter((topic) => wanted.includes(topic));

describe('an approval', () => {
  it('F46 after it expired is refused with 409 and on record', async () => {
    await amends.post([firing()]);
    const run = await latest();
    amends.clock.advance(30 * MINUTE);
    expect(await approve(run?.id)).toMatchObject({ ok: false, status: 409, problem: 'the question has expired' });
    expect(await tries()).toMatchObject([{ actor: 'ann', subject: run?.id, detail: { outcome: 'refused: the question has expired' } }]);
    await amends.settle();
    expect(await latest()).toMatchObject({ outcome: 'withdrawn', cause: 'expired' });
    expect(await approve(run?.id)).toMatchObject({ ok: false, status: 409 });
    expect(effects()).toEqual([]);
  });

  it('F46 counts once: given twice, the second is refused and one run is made', async () => {
    await amends.post([firing()]);
    const run = await latest();
    expect(await approve(run?.id)).toMatchObject({ ok: true });
    expect(await approve(run?.id)).toMatchObject({ ok: false, status: 409 });
    await amends.settle();
    expect(await approve(run?.id)).toMatchObject({ ok: false, status: 409 });
    expect(effects()).toEqual(['/mend']);
    expect(await tries()).toHaveLength(3);
  });

  it('F46 by two people at once has one winner, who is on record', async () => {
    await amends.post([firing()]);
    const run = await latest();
    const people = ['ann', 'bob', 'cid', 'dan', 'eve'];
    const answers = await Promise.all(people.map((by) => approve(run?.id, by)));
    expect(answers.filter(({ ok }) => ok)).toHaveLength(1);
    expect(answers.filter((answer) => !answer.ok && answer.status === 409)).toHaveLength(4);
    await amends.settle();
    const winner = people[answers.findIndex(({ ok }) => ok)];
    const events = (await amends.store.run(run?.id ?? ''))?.events.map(({ event }) => event) ?? [];
    expect(events.filter(({ type }) => type === 'approved')).toMatchObject([{ by: winner }]);
    expect(effects()).toEqual(['/mend']);
    expect(await tries()).toHaveLength(5);
  });

  it('F46 holds over a restart: asked before, answered after, one run', async () => {
    await amends.post([firing()]);
    const run = await latest();
    amends.restart();
    expect(await approve(run?.id)).toMatchObject({ ok: true });
    amends.restart();
    await amends.settle();
    expect(await latest()).toMatchObject({ outcome: 'resolved' });
    expect(effects()).toEqual(['/mend']);
  });

  it('F46 of something that destroys is not given by whoever asked for it, by strategy or by failure type', async () => {
    await amends.reload({ 'rules/shop.json': rule({ runbook: 'shop/wipe' }) });
    const asked = { component: 'shop', inputs: {}, context: {}, requireApproval: true, overrideCooldown: false, reason: 'x', by: 'ops/ann' };
    await amends.engine.desk.recover({ ...asked, target: 'main', strategy: 'wipe', failureType: null });
    const byType = await amends.engine.desk.recover({ ...asked, target: 'other', strategy: null, failureType: 'gone' });
    expect(byType).toMatchObject({ ok: true, value: { reason: 'no_match' } });
    await amends.reload({ 'rules/shop.json': { ...rule({ runbook: 'shop/wipe' }), conditions: { any: [
      { fact: 'alertname', operator: 'equal', value: 'ShopDown' }, { fact: 'label.failure_type', operator: 'equal', value: 'gone' },
    ] } } });
    await amends.engine.desk.recover({ ...asked, target: 'other', strategy: null, failureType: 'gone' });
    const runs = await amends.list('runs');
    expect(runs.map(({ target, state }) => [target, state])).toEqual([['other', 'awaiting_approval'], ['main', 'awaiting_approval']]);
    for (const { id } of runs) {
      expect(await approve(id, 'ops/ann')).toMatchObject({ ok: false, status: 409, problem: expect.stringContaining('somebody else has to approve') as unknown });
      // The bare credential may be the same person.
      expect(await approve(id, 'ops')).toMatchObject({ ok: false, status: 409 });
    }
    await amends.settle();
    expect(wiped).toEqual([]);
    for (const { id } of runs) {
      expect(await approve(id, 'ops/bob')).toMatchObject({ ok: true });
      amends.clock.advance(2 * MINUTE);
      await amends.settle();
    }
    expect(wiped.toSorted()).toEqual(['main', 'other']);
    expect(await tries()).toHaveLength(6);
  });

  it('F46 of something that destroys, which an alert asked for, is given by anybody who may', async () => {
    await amends.reload({ 'rules/shop.json': rule({ runbook: 'shop/wipe' }) });
    await amends.post([firing()]);
    expect(await approve((await latest())?.id)).toMatchObject({ ok: true });
    await amends.settle();
    expect(wiped).toEqual(['main']);
  });

  it.each([
    ['rule', { 'rules/shop.json': rule({ mode: 'approve', limits: { attempts: [{ max: 1, per: '1h' }] } }) }, undefined],
    ['runbook', { 'runbooks/shop/mend.yaml': runbook(post('other')) }, undefined],
    ['configuration', {}, (host: string) => config(host, ', stale: 5m')],
  ])('F46 C3 of a plan whose %s has changed is refused, and the alert is decided anew', async (what, files, changed) => {
    await amends.post([firing()]);
    const run = await latest();
    await amends.reload(files, changed?.(ledger.host));
    expect(await approve(run?.id)).toMatchObject({ ok: false, status: 409, problem: `the ${what} has changed since it was asked` });
    expect(await tries()).toMatchObject([{ actor: 'ann', subject: run?.id, detail: { outcome: `refused: the ${what} has changed since it was asked` } }]);
    await amends.settle();
    expect((await amends.list('runs'))[0]).toMatchObject({ outcome: 'withdrawn', cause: 'stale' });
    amends.clock.advance(31_000);
    await amends.settle();
    expect(effects()).toEqual([]);
    const next = await latest();
    expect(next?.id).not.toBe(run?.id);
    expect(await approve(next?.id)).toMatchObject({ ok: true });
    await amends.settle();
    expect(effects()).toEqual([what === 'runbook' ? '/other' : '/mend']);
  });

  it('F46 outlives a reload that changes nothing of its plan', async () => {
    await amends.post([firing()]);
    await amends.reload({}, config(ledger.host).replace('components:', 'components:\n  lamp: { inventory: { static: [one] } }'));
    await amends.settle();
    expect(await approve((await latest())?.id)).toMatchObject({ ok: true });
  });

  it('C3 is for one run: it is not good for another, nor for a step that nobody asked about', async () => {
    await amends.post([firing()]);
    const first = await latest();
    await approve(first?.id);
    await amends.settle();
    // Two targets of two within five minutes are a storm.
    amends.clock.advance(6 * MINUTE);
    await amends.post([firing('other')]);
    const other = await latest();
    expect(other).toMatchObject({ state: 'awaiting_approval', target: 'other' });
    expect(await approve(first?.id)).toMatchObject({ ok: false, status: 409 });
    expect(await approve(other?.id, 'ann', 'steps/mend')).toMatchObject({ ok: false, status: 409 });
    expect(effects()).toEqual(['/mend']);
    expect((await tries()).map(({ subject, detail }) => [subject, JSON.stringify(detail['outcome']).slice(1, 8)])).toEqual([
      [other?.id, 'refused'], [first?.id, 'refused'], [first?.id, 'done"'],
    ]);
  });

  it('F30 of a rule that was removed is refused, and the run is withdrawn as stale', async () => {
    await amends.post([firing()]);
    const run = await latest();
    await amends.reload({ 'rules/shop.json': rule({}, 'another-rule') });
    expect(await approve(run?.id)).toMatchObject({ ok: false, status: 409, problem: 'the rule was removed since it was asked' });
    await amends.settle();
    expect(await latest()).toMatchObject({ id: run?.id, outcome: 'withdrawn', cause: 'stale' });
    expect(await approve(run?.id)).toMatchObject({ ok: false, status: 409 });
    expect((await amends.list('inbox')).filter(({ kind, status }) => kind === 'approval' && status === 'open')).toEqual([]);
    // The attempt is given back.
    expect(await amends.store.attempts({ component: 'shop', ledger: 'live', since: 0 })).toEqual([]);
  });

  it('F34 of an alert that has resolved is refused, and its attempt is given back', async () => {
    await amends.post([firing()]);
    const run = await latest();
    await amends.post([{ ...firing(), status: 'resolved' as const }]);
    expect(await latest()).toMatchObject({ outcome: 'withdrawn', cause: 'resolved' });
    expect(await approve(run?.id)).toMatchObject({ ok: false, status: 409 });
    expect(await amends.store.attempts({ component: 'shop', ledger: 'live', since: 0 })).toEqual([]);
    expect(effects()).toEqual([]);
  });

  it('F34 given to a queued run of an alert that resolves before it starts does nothing', async () => {
    await amends.post([firing()]);
    const run = await latest();
    await amends.engine.desk.halt({ by: 'ann', reason: 'wait', hard: false });
    await approve(run?.id);
    await amends.post([{ ...firing(), status: 'resolved' as const }]);
    await amends.engine.desk.resume({ by: 'ann', reason: 'go' });
    await amends.settle();
    expect(await latest()).toMatchObject({ outcome: 'withdrawn', cause: 'resolved' });
    expect(effects()).toEqual([]);
  });

  it('in the middle of a run shows what earlier steps found out, in one line', async () => {
    const look = '  - { id: look, uses: http.get, with: { url: "${{ connect.url }}/state" } }';
    const asks = '  - { id: ask, approve: { question: "Mend ${{ target }}, which is ${{ steps.look.outputs.status }}?", expires: 20m } }';
    await amends.reload({ 'runbooks/shop/mend.yaml': runbook([look, asks, post('mend')].join('\n')), 'rules/shop.json': rule({ mode: 'auto' }) });
    await amends.post([firing()]);
    const run = await latest();
    expect(run).toMatchObject({ state: 'awaiting_approval' });
    expect((await amends.list('inbox')).map(({ title }) => title)).toContain('Mend main, which is 200?');
    expect(await approve(run?.id)).toMatchObject({ ok: true });
    await amends.settle();
    expect(await latest()).toMatchObject({ outcome: 'resolved' });
  });

  it('that cannot be put, since what it would show is not there, is not asked: the step fails and nothing is done', async () => {
    const look = '  - { id: look, uses: http.get, with: { url: "${{ connect.url }}/state" } }';
    const asks = '  - { id: ask, approve: { question: "Mend what is ${{ steps.look.outputs.json }}?", expires: 20m } }';
    await amends.reload({ 'runbooks/shop/mend.yaml': runbook([look, asks, post('mend')].join('\n')), 'rules/shop.json': rule({ mode: 'auto' }) });
    await amends.post([firing()]);
    expect(await latest()).toMatchObject({ outcome: 'unresolved', cause: 'step_failed' });
    const { events = [] } = (await amends.store.run((await latest())?.id ?? '')) ?? {};
    expect(events.map(({ event }) => event)).toContainEqual(
      expect.objectContaining({ type: 'step_failed', step: 'steps/ask', error: expect.stringContaining('its question cannot be put') as unknown }),
    );
  });

  it('given while halted keeps the run queued, and its guards are asked when the halt is lifted', async () => {
    await amends.post([firing()]);
    const run = await latest();
    await amends.engine.desk.halt({ by: 'ann', reason: 'wait', hard: false });
    expect(await approve(run?.id)).toMatchObject({ ok: true, value: { state: 'queued' } });
    await amends.settle();
    expect(await latest()).toMatchObject({ state: 'queued' });
    expect(effects()).toEqual([]);
    await amends.engine.desk.disable({ scope: 'component', name: 'shop', forMs: null, by: 'ann', reason: 'not now' });
    await amends.engine.desk.resume({ by: 'ann', reason: 'go' });
    await amends.settle();
    expect(await latest()).toMatchObject({ outcome: 'withdrawn', cause: 'stale' });
    expect(effects()).toEqual([]);
  });

  it('F47 that nobody gives is asked for again once, then of the next level once, over restarts, and expires unexecuted', async () => {
    await amends.post([firing()]);
    for (let minute = 0; minute < 29; minute += 1) {
      amends.clock.advance(MINUTE);
      amends.restart();
      await amends.settle();
      await amends.settle();
    }
    expect(await topics('approval', 'approval_reminder', 'approval_escalated')).toEqual(['approval_escalated', 'approval_reminder', 'approval']);
    expect((await amends.list('outbox')).find(({ topic }) => topic === 'approval_escalated')).toMatchObject({ severity: 'SEV2' });
    amends.clock.advance(2 * MINUTE);
    await amends.settle();
    expect(await latest()).toMatchObject({ outcome: 'withdrawn', cause: 'expired' });
    expect((await amends.list('inbox')).filter(({ kind }) => kind === 'escalation')).toHaveLength(1);
    expect(await topics('escalation')).toHaveLength(1);
    expect(effects()).toEqual([]);
  });
});

describe('an approval step inside a run', () => {
  beforeEach(() => amends.reload({ 'rules/shop.json': rule({ mode: 'auto' }), 'runbooks/shop/mend.yaml': ASKS }));

  it('gives the lease back while it waits and goes on where it stood', async () => {
    await amends.post([firing()]);
    const run = await latest();
    expect(run).toMatchObject({ state: 'awaiting_approval', leaseOwner: null });
    expect(effects()).toEqual(['/drain']);
    expect(await approve(run?.id, 'ann', 'steps/ask')).toMatchObject({ ok: true });
    await amends.settle();
    expect(effects()).toEqual(['/drain', '/mend']);
    expect(await latest()).toMatchObject({ outcome: 'resolved', recoveries: 0 });
  });

  it('has its guards asked anew: a component disabled meanwhile stops it before the next step', async () => {
    await amends.post([firing()]);
    await amends.engine.desk.disable({ scope: 'component', name: 'shop', forMs: null, by: 'bob', reason: 'not now' });
    await approve((await latest())?.id);
    await amends.settle();
    // What was done is verified; that holds, so the run resolved with one step.
    expect(effects()).toEqual(['/drain']);
  });

  it('is refused, and the run stopped, when the rule changed while it waited', async () => {
    await amends.post([firing()]);
    const run = await latest();
    await amends.reload({ 'rules/shop.json': rule({ mode: 'shadow' }) });
    expect(await approve(run?.id)).toMatchObject({ ok: false, status: 409 });
    await amends.settle();
    await amends.settle();
    expect(effects()).toEqual(['/drain']);
    expect(await latest()).toMatchObject({ state: 'done' });
  });

  it.each([
    [9, ['/mend'], { outcome: 'resolved' }],
    [11, [], { outcome: 'withdrawn', cause: 'stale' }],
  ])('begins within stale after the approval or not at all: %d minutes later', async (minutes, done, end) => {
    await amends.reload({ 'runbooks/shop/mend.yaml': ASKS_FIRST });
    await amends.post([firing()]);
    amends.clock.advance(40 * MINUTE);
    await amends.settle();
    expect(await latest()).toMatchObject({ state: 'awaiting_approval' });
    expect(await approve((await latest())?.id)).toMatchObject({ ok: true });
    amends.clock.advance(minutes * MINUTE);
    await amends.settle();
    expect(effects()).toEqual(done);
    expect(await latest()).toMatchObject(end);
    expect((await amends.list('inbox')).filter(({ title }) => title.startsWith('Came too late'))).toHaveLength(done.length === 0 ? 1 : 0);
  });
});

describe('F29 a rule while its run is active', () => {
  beforeEach(() => amends.reload({ 'rules/shop.json': rule({ mode: 'auto' }), 'runbooks/shop/mend.yaml': runbook([post('drain'), post('mend')].join('\n')) }));

  const whenDraining = async (act: () => Promise<unknown>): Promise<void> => {
    let answer: (status: number) => void = () => undefined;
    ledger.answer('/drain', new Promise((resolve) => void (answer = resolve)));
    const begun = ledger.next('/drain');
    const posted = amends.post([firing()]);
    await begun;
    await act();
    answer(200);
    await posted;
    await amends.settle();
  };

  it('F29 may be removed or changed: the run goes on with the plan that it was admitted with', async () => {
    await whenDraining(() => amends.reload({ 'rules/shop.json': rule({}, 'another'), 'runbooks/shop/mend.yaml': runbook(post('other')) }));
    expect(effects().filter((path) => path === '/mend')).toEqual(['/mend']);
    expect(await latest()).toMatchObject({ outcome: 'resolved', rule: 'shop-down' });
  });

  it('F29 that is disabled stops it before the next step', async () => {
    await whenDraining(() => amends.engine.desk.disable({ scope: 'rule', name: 'shop-down', forMs: null, by: 'ann', reason: 'wrong' }));
    expect(effects()).not.toContain('/mend');
    const run = await latest();
    const events = (await amends.store.run(run?.id ?? ''))?.events.map(({ event }) => event) ?? [];
    expect(events.find(({ type }) => type === 'stop_requested')).toMatchObject({ why: expect.stringMatching(/^disabled/) as unknown });
  });
});
