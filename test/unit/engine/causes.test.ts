// The janitor closes what is over, so that the next storm, or the next time amends is blind, pages again.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { openShop } from '../../support/guarded-shop.ts';
import type { Shop } from '../../support/guarded-shop.ts';

const MINUTE = 60_000;

describe('an inbox entry whose cause is over', () => {
  let shop: Shop;
  afterEach(() => shop.close());
  const entries = async (dedup: string) =>
    (await shop.amends.list('inbox')).filter((entry) => entry.dedup === dedup).map((entry) => entry.status);
  const pages = async (topic: string) => (await shop.amends.list('outbox')).filter((row) => row.topic === topic).length;

  it('F39 a storm is closed when no more targets fall, and the next one pages again', async () => {
    shop = await openShop({ targets: ['one', 'two', 'three', 'four'] });
    const { amends } = shop;
    const all = ['one', 'two', 'three', 'four'];
    const blow = (status: 'firing' | 'resolved') => amends.post(all.map((target) => shop.alert(target, status)));
    await blow('firing');
    expect(await entries('storm:shop')).toEqual(['open']);
    amends.clock.advance(MINUTE);
    await amends.settle();
    expect(await entries('storm:shop')).toEqual(['open']);
    await blow('resolved');
    amends.clock.advance(20 * MINUTE);
    await amends.settle();
    expect(await entries('storm:shop')).toEqual(['closed']);
    const closed = (await amends.list('audit')).find((row) => row.action === 'inbox.close');
    expect(closed).toMatchObject({ actor: 'amends', detail: { comment: 'the storm is over' } });
    await blow('firing');
    expect(await entries('storm:shop')).toEqual(['open', 'closed']);
    expect(await pages('storm')).toBe(2);
    expect(shop.mended()).toEqual([]);
  });

  it('blind for the health floor, it is closed when Prometheus answers again', async () => {
    let answers = false;
    const prometheus = createServer((_, response) => {
      const data = { resultType: 'vector', result: [{ metric: {}, value: [0, '2'] }] };
      response.writeHead(answers ? 200 : 500, { 'content-type': 'application/json' });
      response.end(JSON.stringify(answers ? { status: 'success', data } : { status: 'error', error: 'down' }));
    });
    await new Promise<void>((resolve) => void prometheus.listen(0, '127.0.0.1', resolve));
    shop = await openShop({
      targets: ['one', 'two', 'three'],
      component: "min_healthy: { query: 'sum(up)', min: 1 }",
      rest: `prometheus: { url: "http://127.0.0.1:${(prometheus.address() as AddressInfo).port}" }`,
    });
    const { amends } = shop;
    await amends.post([shop.alert('one')]);
    expect((await shop.reasons()).at(-1)).toBe('unhealthy');
    expect(await entries('blind:unhealthy:shop')).toEqual(['open']);
    expect(await pages('blind')).toBe(1);
    amends.clock.advance(MINUTE);
    await amends.settle();
    expect(await entries('blind:unhealthy:shop')).toEqual(['open']);
    answers = true;
    amends.clock.advance(5 * MINUTE);
    await amends.settle();
    expect(await entries('blind:unhealthy:shop')).toEqual(['closed']);
    expect(shop.mended()).toEqual(['one']);
    prometheus.closeAllConnections();
    await new Promise((resolve) => void prometheus.close(resolve));
  });

  it('what a human has to close stays open', async () => {
    shop = await openShop({ component: 'attempts: [ { max: 1, per: 1d } ]' });
    shop.ledger.answer('/health', 500);
    await shop.amends.post([shop.alert('main')]);
    shop.amends.clock.advance(24 * 60 * MINUTE);
    await shop.amends.settle();
    expect((await shop.amends.list('inbox')).map((entry) => entry.status)).toEqual(['open']);
  });
});

/** A Prometheus that answers as it is told: a figure for every query, or a failure. */
const fakePrometheus = async () => {
  const told = { status: 200, samples: 1 };
  const server = createServer((_, response) => {
    const result = Array.from({ length: told.samples }, () => ({ metric: {}, value: [0, '3'] }));
    const answer =
      told.status === 200
        ? { status: 'success', data: { resultType: 'vector', result } }
        : { status: 'error', error: 'down' };
    response.writeHead(told.status, { 'content-type': 'application/json' }).end(JSON.stringify(answer));
  });
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  return {
    told,
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => void server.close(resolve));
    },
  };
};

describe('an alert that no rule can decide about', () => {
  let shop: Shop;
  let prometheus: Awaited<ReturnType<typeof fakePrometheus>>;
  beforeEach(async () => {
    prometheus = await fakePrometheus();
  });
  afterEach(async () => {
    await shop.close();
    await prometheus.close();
  });
  const asking = (name: string, alertname: string, query: string): object => ({
    name,
    priority: 10,
    conditions: {
      all: [
        { fact: 'alertname', operator: 'equal', value: alertname },
        { fact: 'prometheus', params: { query }, operator: 'greaterThan', value: 2 },
      ],
    },
    event: { type: 'remediate', params: { runbook: 'shop/mend', mode: 'auto' } },
  });
  const open = async (recovery = ''): Promise<void> => {
    shop = await openShop({
      targets: Array.from({ length: 9 }, (_, index) => `shop-${index}`),
      recovery: `, storm: { gather: 0s } ${recovery}`,
      rest: `prometheus: { url: "${prometheus.url}" }`,
    });
    await shop.amends.reload({
      'rules/shop.json': asking('shop-down', 'ShopDown', 'rate'),
      'rules/other.json': asking('shop-slow', 'ShopSlow', 'other_rate'),
    });
  };
  const slow = (target: string) => ({
    ...shop.alert(target),
    labels: { alertname: 'ShopSlow', component: 'shop', target },
  });
  const about = async () =>
    (await shop.amends.list('inbox'))
      .filter(({ dedup }) => dedup?.startsWith('undecidable:') === true)
      .map(({ dedup, status, comment }) => [dedup, status, comment])
      .toReversed();
  const pages = async () => (await shop.amends.list('outbox')).filter(({ topic }) => topic === 'undecidable');
  const later = async (ms: number): Promise<void> => {
    shop.amends.clock.advance(ms);
    await shop.amends.settle();
  };

  it('I7 I9 because Prometheus does not answer: nothing is done, one page for all of them, closed when it answers again', async () => {
    prometheus.told.status = 500;
    await open();
    await shop.amends.post([shop.alert('shop-0'), slow('shop-1')]);
    for (let look = 0; look < 5; look += 1) await later(5 * MINUTE);
    expect(new Set(await shop.reasons())).toEqual(new Set(['undecidable']));
    expect(shop.mended()).toEqual([]);
    expect(await about()).toEqual([['undecidable:*', 'open', null]]);
    const [page, ...more] = await pages();
    expect(more).toEqual([]);
    expect(page).toMatchObject({ severity: 'SEV2', component: null });
    expect(page?.title).toBe('Prometheus does not answer: nothing is done about the alerts that wait for it');
    expect(page?.body).toContain(`Prometheus at ${prometheus.url}: status 500`);

    prometheus.told.status = 200;
    await later(5 * MINUTE);
    expect(await about()).toEqual([['undecidable:*', 'closed', 'Prometheus answers again']]);
    expect(shop.mended()).toHaveLength(1);
    // The next time is another cause.
    prometheus.told.status = 503;
    shop.amends.clock.advance(MINUTE);
    await shop.amends.post([shop.alert('shop-4')]);
    expect((await about()).map(([, status]) => status)).toEqual(['closed', 'open']);
    expect(await pages()).toHaveLength(2);
  });

  it('I9 because its question has no one answer: one page for each rule, closed once it has one', async () => {
    prometheus.told.samples = 2;
    await open();
    await shop.amends.post([shop.alert('shop-0'), slow('shop-1'), slow('shop-2')]);
    for (let look = 0; look < 5; look += 1) await later(5 * MINUTE);
    expect(await about()).toEqual([
      ['undecidable:shop-down', 'open', null],
      ['undecidable:shop-slow', 'open', null],
    ]);
    expect((await pages()).map(({ title }) => title).toSorted()).toEqual([
      'Rule shop-down cannot be decided: nothing is done about the alerts that wait for it',
      'Rule shop-slow cannot be decided: nothing is done about the alerts that wait for it',
    ]);
    prometheus.told.samples = 1;
    await later(5 * MINUTE);
    await later(7 * MINUTE);
    expect((await about()).map(([, status]) => status)).toEqual(['closed', 'closed']);
    expect(await pages()).toHaveLength(2);
  });

  it('because Prometheus refuses the query is the rule that is wrong, not Prometheus', async () => {
    prometheus.told.status = 400;
    await open();
    await shop.amends.post([shop.alert('shop-0')]);
    expect(await about()).toEqual([['undecidable:shop-down', 'open', null]]);
    await shop.amends.reload({ 'rules/shop.json': asking('shop-gone', 'Nothing', 'rate') });
    await later(MINUTE);
    expect(await about()).toEqual([['undecidable:shop-down', 'closed', 'the rule is gone']]);
  });

  it('pages nobody in shadow, where nothing would be done anyway', async () => {
    prometheus.told.status = 500;
    await open();
    await shop.amends.reload(
      {},
      readFileSync(join(shop.amends.folder, 'amends.yaml'), 'utf8').replace('mode: auto', 'mode: shadow'),
    );
    await shop.amends.post([shop.alert('shop-0')]);
    expect(await shop.reasons()).toEqual(['undecidable']);
    expect([await about(), await pages()]).toEqual([[], []]);
  });
});
