// A live engine's own journal decided again: unchanged rules decide as live did, and a changed one changes what it must.
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { openScratchStore } from '../../src/app.ts';
import { createLog } from '../../src/base/log.ts';
import { createRedactor } from '../../src/base/secret.ts';
import { loadByName } from '../../src/port/loader.ts';
import type { Fact } from '../../src/port/fact.ts';
import { backtest } from '../../src/replay/backtest.ts';
import type { Assumption, BacktestResult } from '../../src/replay/backtest.ts';
import type { RecordedDelivery } from '../../src/replay/journal.ts';
import { compare, summarise } from '../../src/replay/summary.ts';
import { createOrderedIds, createVirtualClock } from '../../src/replay/virtual.ts';
import { startEngine } from '../support/engine.ts';
import type { AlertGiven, EngineUnderTest } from '../support/engine.ts';

const MINUTE = 60_000;
const CONFIG = `version: 1
recovery: { mode: auto, settle: 5m, resolve_hold: 2m, storm: { min: 10, max: 10 } }
components:
  shop:
    inventory: { static: [one, two, three, four, five] }
    allow: { actions: ["wait.*"] }
  hall:
    inventory: { static: [door] }
    allow: { actions: ["wait.*"] }
`;
const runbook = (what: string): string => `version: 1
summary: Mend ${what}.
severity: SEV3
steps:
  - { id: mend, uses: wait.for, with: { duration: 1ms } }
verify:
  - { uses: wait.for, with: { duration: 1ms }, need: 1, of: 1, every: 10ms }
guide: Look.
`;
const rule = (name: string, alertname: string, book: string, max: number): object => ({
  name,
  priority: 10,
  conditions: { all: [{ fact: 'alertname', operator: 'equal', value: alertname }] },
  event: { type: 'remediate', params: { runbook: book, mode: 'auto', limits: { attempts: [{ max, per: '1h' }] } } },
});
const FILES = {
  'rules/shop.json': rule('shop-down', 'ShopDown', 'shop/mend', 3),
  'rules/hall.json': rule('hall-dark', 'HallDark', 'hall/light', 1),
  'runbooks/shop/mend.yaml': runbook('the shop'),
  'runbooks/hall/light.yaml': runbook('the hall'),
};

describe('a journal is decided again', () => {
  let amends: EngineUnderTest;
  let began: number;
  let facts: ReadonlyMap<string, Fact>;
  beforeEach(async () => {
    amends = await startEngine({ config: CONFIG, files: FILES });
    began = amends.clock.now();
    facts = await loadByName<Fact>(new URL('../../src/facts/', import.meta.url), false);
  });
  afterEach(() => amends.close());

  /** An evening: a shop that goes down again and again, a hall, alerts that nobody answers, and each of them over. */
  const live = async (): Promise<void> => {
    const at = async (minute: number, ...alerts: ReadonlyArray<Omit<AlertGiven, 'startsAt'>>): Promise<void> => {
      amends.clock.advance(began + minute * MINUTE - amends.clock.now());
      await amends.settle();
      await amends.post(alerts);
    };
    const down = (target: string) => ({ labels: { alertname: 'ShopDown', component: 'shop', target } });
    const over = (target: string) => ({ ...down(target), status: 'resolved' as const });
    const dark = { labels: { alertname: 'HallDark', component: 'hall', target: 'door' } };
    await at(0, down('one'));
    await at(2, over('one'), { labels: { alertname: 'Unknown' } });
    await at(10, down('two'), dark);
    await at(11, down('two'));
    await at(13, over('two'), { ...dark, status: 'resolved' });
    await at(25, down('three'));
    await at(27, over('three'));
    await at(35, down('four'), dark);
    await at(36, over('four'), { ...dark, status: 'resolved' });
    await at(80, down('five'));
    await at(82, over('five'));
  };
  const journal = async (): Promise<readonly RecordedDelivery[]> => {
    const decided = (await amends.list('decisions')).toReversed().filter(({ origin }) => origin === 'delivery');
    const ids = [...new Set(decided.map(({ deliveryId }) => deliveryId ?? ''))];
    return Promise.all(
      ids.map(async (id, index) => {
        const row = await amends.store.delivery(id);
        if (row === null) throw new Error(`no delivery ${id}`);
        return { type: 'delivery' as const, line: index + 1, at: row.at, source: row.source, body: row.body };
      }),
    );
  };
  const again = async (
    deliveries: readonly RecordedDelivery[],
    files: Readonly<Record<string, object | string>> = FILES,
    assume: Assumption = 'success',
  ): Promise<BacktestResult> => {
    await amends.reload(files);
    const clock = createVirtualClock(deliveries[0]?.at ?? 0);
    const ids = createOrderedIds();
    const log = createLog('silent', createRedactor());
    const store = await openScratchStore(clock, ids, log);
    try {
      return await backtest({
        deliveries,
        outcomes: [],
        loaded: amends.loaded(),
        facts,
        assume,
        store,
        clock,
        ids,
        log,
      });
    } finally {
      await store.close();
    }
  };

  it('unchanged rules decide every delivery as live did, in the same order, twice the same', async () => {
    await live();
    const deliveries = await journal();
    // Within a delivery the list is in the order of receiving, the backtest in that of admission.
    const words = (at: string, one: { reason: string; rule: string | null; target: string | null }): string =>
      [at, one.rule, one.target, one.reason].join(' ');
    const posts = new Map<string | null, string>();
    const lived = (await amends.list('decisions'))
      .toReversed()
      .filter(({ origin }) => origin === 'delivery')
      .map((one) => {
        const number = posts.get(one.deliveryId) ?? String(posts.size + 10);
        posts.set(one.deliveryId, number);
        return words(number, one);
      })
      .toSorted();
    const first = await again(deliveries);
    const judged = first.decisions
      .filter(({ origin }) => origin === 'delivery')
      .map((one) => words(String((one.delivery ?? 0) + 10), one))
      .toSorted();
    expect(judged).toEqual(lived);
    for (const reason of ['admitted', 'resolved', 'duplicate', 'no_match', 'attempts_used_up'])
      expect(lived.some((line) => line.endsWith(reason))).toBe(true);
    expect(JSON.stringify(await again(deliveries))).toBe(JSON.stringify(first));
  });

  it('a tightened cap changes exactly the incidents that it must', async () => {
    await live();
    const deliveries = await journal();
    const before = await again(deliveries);
    const after = await again(deliveries, {
      ...FILES,
      'rules/shop.json': rule('shop-down', 'ShopDown', 'shop/mend', 2),
    });
    expect(compare(before, after)).toEqual([
      {
        change: 'no_longer_acts',
        at: expect.any(String) as unknown as string,
        alertname: 'ShopDown',
        component: 'shop',
        target: 'three',
        before: ['admitted: shop-down > mend'],
        after: ['attempts_used_up: shop-down > mend'],
      },
    ]);
    expect(compare(before, before)).toEqual([]);
  });

  it('a priority that only changes who is decided first is no difference to any incident', async () => {
    await live();
    const deliveries = await journal();
    const before = await again(deliveries);
    const first = { ...rule('shop-down', 'ShopDown', 'shop/mend', 3), priority: 20 };
    expect(compare(before, await again(deliveries, { ...FILES, 'rules/shop.json': first }))).toEqual([]);
  });

  it('what is assumed of runs decides what follows them', async () => {
    await live();
    const deliveries = await journal();
    const helped = summarise(await again(deliveries));
    const failed = summarise(await again(deliveries, FILES, 'failure'));
    expect(helped.runs.every(({ outcome }) => outcome === 'resolved')).toBe(true);
    expect(failed.runs.every(({ outcome }) => outcome === 'unresolved')).toBe(true);
    expect(helped.rules.find(({ rule: name }) => name === 'shop-down')).toMatchObject({ acted: 4, capped: 1 });
  });

  it('a body that cannot be read is said with its line, and the others are decided', async () => {
    await live();
    const [first, ...rest] = await journal();
    if (first === undefined) throw new Error('no delivery');
    const result = await again([{ ...first, body: Buffer.from('{"alerts":7}') }, ...rest]);
    expect(result.refused).toMatchObject([{ line: 1 }]);
    expect(result.deliveries).toBe(rest.length);
  });
});
