// The janitor closes what is over, so that the next storm, or the next time amends is blind, pages again.
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from '@jest/globals';
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
