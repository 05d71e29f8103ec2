// Halts: everything stands still while one holds, time too, over several of them and over restarts.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { Page, Rows } from '../../src/port/record.ts';
import { createLedger } from '../support/ledger.ts';
import type { Ledger } from '../support/ledger.ts';
import { startEngine } from '../support/engine.ts';
import type { EngineUnderTest } from '../support/engine.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const rule = (mode: string): object => ({
  name: 'shop-down',
  priority: 10,
  conditions: { all: [{ fact: 'alertname', operator: 'equal', value: 'ShopDown' }] },
  event: { type: 'remediate', params: { runbook: 'shop/mend', mode } },
});
const MEND = `
version: 1
summary: Mend the shop.
severity: SEV3
steps:
  - { id: mend, uses: http.request, with: { url: "\${{ connect.url }}/mend/\${{ target }}" }, idempotent: true }
verify:
  - { uses: http.get, with: { url: "\${{ connect.url }}/health" }, need: 1, of: 1, every: 10ms }
guide: Look at the shop.
`;
const config = (host: string, targets: readonly string[]): string => `
version: 1
recovery:
  mode: auto
  attempts: [ { max: 3, per: 1h }, { max: 9, per: 1d } ]
  storm: { share: 100%, min: 600, max: 600, window: 5m, gather: 1s }
components:
  shop:
    inventory: { static: [${targets.join(', ')}] }
    connect: { url: "http://${host}" }
    allow: { actions: ["http.*"] }
allow: { hosts: ["${host}"] }
`;
const BEGAN = Date.now() - MINUTE;
const firing = (target = 'main') => ({ labels: { alertname: 'ShopDown', component: 'shop', target }, startsAt: BEGAN });

let folder: string;
let ledger: Ledger;
let amends: EngineUnderTest;
const start = async (mode: string, targets: readonly string[] = ['main']): Promise<void> => {
  folder = mkdtempSync(join(tmpdir(), 'amends-halts-'));
  ledger = await createLedger(join(folder, 'ledger.ndjson'));
  amends = await startEngine({
    config: config(ledger.host, targets),
    files: { 'rules/shop.json': rule(mode), 'runbooks/shop/mend.yaml': MEND },
  });
};
afterEach(async () => {
  await amends.close();
  await ledger.close();
  rmSync(folder, { recursive: true, force: true });
});

const halt = () => amends.engine.desk.halt({ by: 'ann', reason: 'an exercise', hard: false });
const resume = () => amends.engine.desk.resume({ by: 'ann', reason: 'over' });
const latest = async () => (await amends.list('runs'))[0];
const effects = (): readonly string[] => ledger.effects().map(({ path }) => path);
/** Halted for that long, with a restart in the middle. */
const standStill = async (ms: number): Promise<void> => {
  await halt();
  amends.clock.advance(ms / 2);
  amends.restart();
  await amends.settle();
  amends.clock.advance(ms / 2);
  await resume();
};

describe('what waited through several halts', () => {
  describe('an approval', () => {
    beforeEach(() => start('approve'));

    it('F46 F47 is still accepted within its own time, after 5 h of one halt and 3 h of another', async () => {
      await amends.post([firing()]);
      amends.clock.advance(10 * MINUTE);
      await standStill(5 * HOUR);
      amends.clock.advance(10 * MINUTE);
      await amends.settle();
      await standStill(3 * HOUR);
      await amends.settle();
      amends.clock.advance(9 * MINUTE);
      await amends.settle();
      const run = await latest();
      expect(run).toMatchObject({ state: 'awaiting_approval' });
      const answer = await amends.engine.desk.approve({ runId: run?.id ?? '', step: null, by: 'bob', comment: '' });
      expect(answer).toMatchObject({ ok: true });
      await amends.settle();
      expect(await latest()).toMatchObject({ outcome: 'resolved' });
      expect(effects()).toEqual(['/mend/main']);
    });

    it('F46 can still be denied within its own time', async () => {
      await amends.post([firing()]);
      await standStill(5 * HOUR);
      await standStill(5 * HOUR);
      amends.clock.advance(29 * MINUTE);
      const answer = await amends.engine.desk.deny({ runId: (await latest())?.id ?? '', step: null, by: 'bob', comment: '' });
      expect(answer).toMatchObject({ ok: true });
      expect(await latest()).toMatchObject({ outcome: 'withdrawn', cause: 'denied' });
    });

    it('F47 expires once its own time is over, and not a moment before', async () => {
      await amends.post([firing()]);
      for (let time = 0; time < 3; time += 1) {
        await standStill(HOUR);
        amends.clock.advance(9.9 * MINUTE);
        await amends.settle();
      }
      expect(await latest()).toMatchObject({ state: 'awaiting_approval' });
      amends.clock.advance(MINUTE);
      await amends.settle();
      expect(await latest()).toMatchObject({ outcome: 'withdrawn', cause: 'expired' });
    });
  });

  it('F45 I7 a run that is halted between two steps begins no further one, and goes on with it once the halt is lifted', async () => {
    folder = mkdtempSync(join(tmpdir(), 'amends-halts-'));
    ledger = await createLedger(join(folder, 'ledger.ndjson'));
    const second = `  - { id: after, uses: http.request, with: { url: "\${{ connect.url }}/after/\${{ target }}" }, idempotent: false }\n`;
    amends = await startEngine({
      config: config(ledger.host, ['main']),
      files: { 'rules/shop.json': rule('auto'), 'runbooks/shop/mend.yaml': MEND.replace('verify:', `${second}verify:`) },
    });
    let answer: (status: number) => void = () => undefined;
    ledger.answer('/mend/main', new Promise<number>((resolve) => (answer = resolve)));
    const begun = ledger.next('/mend/main');
    const posted = amends.post([firing()]);
    await begun;
    await halt();
    answer(200);
    await posted;
    amends.clock.advance(3 * HOUR);
    await amends.settle();
    expect(await latest()).toMatchObject({ outcome: null });
    expect(effects()).toEqual(['/mend/main']);
    await resume();
    await amends.settle();
    expect(await latest()).toMatchObject({ outcome: 'resolved' });
    expect(effects()).toEqual(['/mend/main', '/after/main']);
  });

  it('F4 F45 a run is not stale for the hours of two halts, and is for the minutes between them', async () => {
    await start('approve');
    await amends.post([firing()]);
    const run = await latest();
    await halt();
    await amends.engine.desk.approve({ runId: run?.id ?? '', step: null, by: 'bob', comment: '' });
    amends.clock.advance(2 * HOUR);
    await resume();
    // Lifted and set again before anybody came to it.
    amends.clock.advance(4 * MINUTE);
    await standStill(2 * HOUR);
    await amends.settle();
    expect(await latest()).toMatchObject({ id: run?.id, outcome: 'resolved' });
  });
});

const every = async <Kind extends 'decisions' | 'episodes'>(kind: Kind): Promise<ReadonlyArray<Rows[Kind]>> => {
  const found: Array<Rows[Kind]> = [];
  for (let cursor: string | null = null; ; ) {
    const page: Page<Rows[Kind]> = await amends.store.list(kind, { limit: 1_000, cursor, filters: {}, since: null });
    found.push(...page.items);
    cursor = page.next;
    if (cursor === null) return found;
  }
};

describe('a halt of three hours', () => {
  it('I3 I9 F34 F45 with 500 held, of which 480 resolve: those end as resolved, the rest is decided anew under the caps', async () => {
    const targets = Array.from({ length: 500 }, (_, index) => `shop-${index}`);
    const [gone, left] = [targets.slice(0, 480), targets.slice(480)];
    await start('auto', targets);
    await halt();
    await amends.post(targets.map((target) => firing(target)));
    expect((await every('decisions')).map(({ reason }) => reason)).toEqual(targets.map(() => 'halted'));
    for (let hour = 0; hour < 3; hour += 1) {
      amends.clock.advance(HOUR);
      await amends.post(gone.slice(hour * 160, (hour + 1) * 160).map((target) => ({ ...firing(target), status: 'resolved' as const })));
    }
    expect(effects()).toEqual([]);
    const lifted = amends.clock.now();
    await resume();
    await amends.settle();

    const decisions = await every('decisions');
    expect(decisions.filter(({ reason }) => reason === 'resolved')).toHaveLength(480);
    const anew = decisions.filter(({ origin, at }) => origin === 'retry' && at >= lifted);
    const episodes = await every('episodes');
    const firingNow = episodes.filter(({ state }) => state === 'firing');
    // Each that still fires has been decided anew and says why, and no other.
    expect(new Set(firingNow.map(({ target }) => target))).toEqual(new Set(left));
    expect(new Set(anew.map(({ episodeId }) => episodeId))).toEqual(new Set(firingNow.map(({ id }) => id)));
    expect(anew.filter(({ reason }) => !['admitted', 'concurrency', 'cooldown'].includes(reason))).toEqual([]);
    expect(anew.filter(({ reason }) => reason === 'admitted')).toHaveLength(1);
    expect(effects()).toHaveLength(1);

    for (let minute = 0; minute < 59; minute += 1) {
      amends.clock.advance(MINUTE);
      await amends.settle();
    }
    // Three attempts an hour, and whoever is not helped has a time at which they are looked at again.
    expect(effects()).toHaveLength(3);
    expect(effects().every((path) => left.some((target) => path === `/mend/${target}`))).toBe(true);
    const waiting = (await every('episodes')).filter(({ state, exhausted, hadRun }) => state === 'firing' && !exhausted && !hadRun);
    expect(waiting).toHaveLength(17);
    expect(waiting.every(({ nextEvaluationAt }) => typeof nextEvaluationAt === 'number')).toBe(true);
  }, 60_000);
});
