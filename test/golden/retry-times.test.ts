// What is held for want of knowledge is decided again by our own clock: after 30 s, then twice as long each time, up to
// 5 minutes. Alertmanager's own repeats, hours apart, are not waited for.
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { EngineUnderTest } from '../support/engine.ts';
import { createLedger } from '../support/ledger.ts';
import type { Ledger } from '../support/ledger.ts';
import { ALERT, FIRING, alertmanagersAt, configOf, openShop, prometheusAt, ruleOf } from '../support/shop.ts';

const NOWHERE = 'http://127.0.0.1:9';
/** The clock goes on by itself too. */
const EARLY_MS = 10_000;
const SECONDS = [30, 60, 120, 240, 300, 300, 300];

let folder: string;
let ledger: Ledger;
let amends: EngineUnderTest;
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'amends-ledger-'));
  ledger = await createLedger(join(folder, 'ledger.ndjson'));
});
afterEach(async () => {
  await amends.close();
  await ledger.close();
  rmSync(folder, { recursive: true, force: true });
});

/** Counted from the end of a look, which itself may take a moment: down to the half minute. */
const seconds30 = (ms: number): number => Math.floor(ms / 30_000) * 30;

/** Waits for each decision in turn and answers the reasons, and the seconds between one and the next. */
const watch = async (times: number): Promise<{ readonly reasons: readonly string[]; readonly seconds: readonly number[] }> => {
  const seconds: number[] = [];
  await amends.post([FIRING]);
  for (let count = 0; count < times; count += 1) {
    const [episode] = await amends.list('episodes');
    const [decision] = await amends.list('decisions');
    const wait = (episode?.nextEvaluationAt ?? 0) - (decision?.at ?? 0);
    seconds.push(seconds30(wait));
    // A repeat from Alertmanager changes nothing of it, nor does a look that comes too early.
    await amends.post([FIRING]);
    amends.clock.advance((episode?.nextEvaluationAt ?? 0) - amends.clock.now() - EARLY_MS);
    await amends.settle();
    const before = (await amends.list('decisions')).filter(({ reason }) => reason !== 'duplicate').length;
    expect(before).toBe(count + 1);
    amends.clock.advance(EARLY_MS);
    await amends.settle();
  }
  const decisions = (await amends.list('decisions')).filter(({ reason }) => reason !== 'duplicate');
  expect(decisions.map(({ origin }) => origin).toReversed()).toEqual(['delivery', ...Array.from({ length: times }, () => 'retry')]);
  return { reasons: [...new Set(decisions.map(({ reason }) => reason))], seconds };
};

describe('the times of looking again', () => {
  it('F56 are those, when a rule could not be decided', async () => {
    const condition = { fact: 'prometheus', params: { query: 'up' }, operator: 'greaterThan', value: 0 };
    amends = await openShop(configOf(ledger, { top: prometheusAt(NOWHERE) }), ruleOf({}, [condition]));
    expect(await watch(SECONDS.length)).toEqual({ reasons: ['undecidable'], seconds: SECONDS });
  });

  it('C2 are those, when nobody confirms the alert', async () => {
    amends = await openShop(configOf(ledger, { top: alertmanagersAt(NOWHERE) }));
    expect(await watch(SECONDS.length)).toEqual({ reasons: ['unconfirmed'], seconds: SECONDS });
  });

  it('are those, when it is silenced', async () => {
    const silenced = [{ labels: ALERT, status: { state: 'suppressed', silencedBy: ['s'], inhibitedBy: [] } }];
    const server = createServer((_, response) => void response.setHeader('content-type', 'application/json').end(JSON.stringify(silenced)));
    await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
    amends = await openShop(configOf(ledger, { top: alertmanagersAt(`http://127.0.0.1:${(server.address() as AddressInfo).port}`) }));
    expect(await watch(SECONDS.length)).toEqual({ reasons: ['silenced'], seconds: SECONDS });
    server.closeAllConnections();
    await new Promise((resolve) => void server.close(resolve));
  });

  it('are those, when too few others are healthy', async () => {
    amends = await openShop(configOf(ledger, { top: prometheusAt(NOWHERE), component: `min_healthy: { query: up, min: 1 }` }));
    expect(await watch(SECONDS.length)).toEqual({ reasons: ['unhealthy'], seconds: SECONDS });
  });

  it('F39 are those, while a storm lasts', async () => {
    amends = await openShop(configOf(ledger, { recovery: 'storm: { min: 1, max: 1, window: 1d }' }));
    expect(await watch(SECONDS.length)).toEqual({ reasons: ['storm'], seconds: SECONDS });
    expect(ledger.effects()).toEqual([]);
  });

  it('begin anew with the next incident', async () => {
    amends = await openShop(configOf(ledger, { top: alertmanagersAt(NOWHERE), recovery: 'resolve_hold: 1m' }));
    await watch(3);
    await amends.post([{ ...FIRING, status: 'resolved' }]);
    amends.clock.advance(120_000);
    await amends.settle();
    const at = amends.clock.now();
    await amends.post([{ ...FIRING, startsAt: at }]);
    const [episode] = await amends.list('episodes');
    expect(seconds30((episode?.nextEvaluationAt ?? 0) - at)).toBe(30);
  });
});
