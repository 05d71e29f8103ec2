// A breaker from its opening to a human's word, on a whole engine.
import { afterEach, describe, expect, it } from '@jest/globals';
import { openShop } from '../../support/guarded-shop.ts';
import type { Shop } from '../../support/guarded-shop.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

describe('a strategy fails on three targets running', () => {
  let shop: Shop;
  afterEach(() => shop.close());

  const failThree = async (): Promise<void> => {
    shop = await openShop({
      targets: ['one', 'two', 'three', 'four'],
      component:
        'attempts: [ { max: 100, per: 1h } ]\n    budget: [ { max: 100, per: 1h } ]\n    storm: { min: 100, max: 100, window: 1s }',
    });
    shop.ledger.answer('/health', 500);
    for (const target of ['one', 'two', 'three']) {
      await shop.amends.post([shop.alert(target)]);
      await shop.amends.post([shop.alert(target, 'resolved')]);
      shop.amends.clock.advance(301_000);
    }
    expect(shop.mended()).toEqual(['one', 'two', 'three']);
    shop.ledger.answer('/health', 200);
  };
  const close = () =>
    shop.amends.engine.desk.closeBreaker({ component: 'shop', strategy: 'mend', by: 'ann', comment: '' });

  it('F40 the next one is refused until a human closes the breaker, and is then decided anew at once', async () => {
    await failThree();
    const { amends } = shop;
    await amends.post([shop.alert('four')]);
    expect((await shop.reasons()).at(-1)).toBe('breaker_open');
    amends.clock.advance(10 * MINUTE);
    await amends.settle();
    expect(shop.mended()).toHaveLength(3);

    expect(await close()).toEqual({ ok: true, value: { component: 'shop', strategy: 'mend' } });
    await amends.settle();
    expect(shop.mended()).toEqual(['one', 'two', 'three', 'four']);
    expect((await amends.list('runs'))[0]).toMatchObject({ target: 'four', outcome: 'resolved' });
    expect((await amends.list('audit')).find((row) => row.action === 'breaker.close')).toMatchObject({
      actor: 'ann',
      subject: 'shop/mend',
    });
  });

  it('F40 without a human one trial is let through after an hour; when it goes well the breaker closes', async () => {
    await failThree();
    const { amends } = shop;
    await amends.post([shop.alert('four')]);
    amends.clock.advance(54 * MINUTE);
    await amends.settle();
    expect(shop.mended()).toHaveLength(3);
    amends.clock.advance(2 * MINUTE);
    await amends.settle();
    expect(shop.mended()).toEqual(['one', 'two', 'three', 'four']);
    expect(await close()).toMatchObject({ ok: false, status: 409 });
  });

  it('F40 and when the trial fails, the next comes after four hours', async () => {
    await failThree();
    const { amends } = shop;
    shop.ledger.answer('/health', 500);
    amends.clock.advance(HOUR);
    await amends.post([shop.alert('four')]);
    expect(shop.mended()).toHaveLength(4);
    await amends.post([shop.alert('four', 'resolved')]);
    amends.clock.advance(2 * HOUR);
    await amends.post([shop.alert('one')]);
    expect((await shop.reasons()).at(-1)).toBe('breaker_open');
  });

  it('what is not there or not open is said', async () => {
    shop = await openShop({});
    const { desk } = shop.amends.engine;
    const act = { by: 'ann', comment: '' };
    expect(await desk.closeBreaker({ ...act, component: 'shop', strategy: 'mend' })).toMatchObject({ status: 409 });
    expect(await desk.closeBreaker({ ...act, component: 'shop', strategy: 'mnd' })).toMatchObject({
      status: 404,
      problem: expect.stringContaining('did you mean mend?'),
    });
    expect(await desk.closeBreaker({ ...act, component: 'nobody', strategy: 'mend' })).toMatchObject({ status: 404 });
  });
});
