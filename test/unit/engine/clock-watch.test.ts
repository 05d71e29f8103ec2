// What a jump of the wall clock does to an engine at work: nothing is loosened, and a human decides for one window.
import { afterEach, describe, expect, it } from '@jest/globals';
import { openShop } from '../../support/guarded-shop.ts';
import type { Shop } from '../../support/guarded-shop.ts';

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;

describe('the wall clock jumps', () => {
  let shop: Shop;
  afterEach(() => shop.close());
  const clockEntries = async () => (await shop.amends.list('inbox')).filter(({ dedup }) => dedup === 'clock');

  it('F61 I10 set back by an hour, a cooldown lasts as long as it says and no longer', async () => {
    shop = await openShop({});
    const { amends } = shop;
    shop.ledger.answer('/health', 500);
    await amends.post([shop.alert('main')]);
    amends.clock.setWall(-HOUR);
    await amends.settle();
    amends.clock.advance(299 * SECOND);
    await amends.settle();
    expect(await amends.list('runs')).toHaveLength(1);
    amends.clock.advance(2 * SECOND);
    await amends.settle();
    // Its time has come; who decides is a human, since the clock jumped.
    expect((await amends.list('runs')).map((run) => run.state)).toEqual(['awaiting_approval', 'done']);
    expect(shop.mended()).toEqual(['main']);
  });

  it('F61 I1 set back by an hour, the caps are not loosened', async () => {
    shop = await openShop({ component: 'attempts: [ { max: 2, per: 1h } ]', recovery: ', breaker: { failures: 100 }' });
    const { amends } = shop;
    shop.ledger.answer('/health', 500);
    await amends.post([shop.alert('main')]);
    amends.clock.advance(301 * SECOND);
    await amends.settle();
    expect(shop.mended()).toHaveLength(2);
    amends.clock.setWall(-HOUR);
    for (let round = 0; round < 9; round += 1) {
      amends.clock.advance(5 * MINUTE);
      await amends.post([shop.alert('main')]);
    }
    expect(shop.mended()).toHaveLength(2);
    expect((await amends.list('runs')).filter((run) => run.state !== 'done')).toEqual([]);
  });

  it('F62 two hours ahead, it is recorded, paged once, and a human is asked for one window', async () => {
    shop = await openShop({
      targets: ['one', 'two'],
      component: 'attempts: [ { max: 2, per: 1h } ]\n    storm: { min: 5 }',
    });
    const { amends } = shop;
    await amends.post([shop.alert('one')]);
    expect(shop.mended()).toEqual(['one']);
    amends.clock.setWall(2 * HOUR);
    await amends.post([shop.alert('two')]);
    expect(shop.mended()).toEqual(['one']);
    expect((await shop.reasons()).at(-1)).toBe('awaiting_approval');
    const [entry] = await clockEntries();
    expect(entry).toMatchObject({ status: 'open', severity: 'SEV2', title: expect.stringContaining('2h ahead') });
    expect((await amends.list('outbox')).filter((row) => row.topic === 'clock')).toHaveLength(1);
    expect((await amends.list('audit')).filter((row) => row.action === 'clock.jumped')).toHaveLength(1);
    const { clockSuspectUntil } = await amends.store.controls();
    expect(clockSuspectUntil ?? 0).toBeGreaterThan(amends.clock.now() + 59 * MINUTE);
    expect(clockSuspectUntil ?? 0).toBeLessThanOrEqual(amends.clock.now() + HOUR);
  });

  it('F62 I1 ahead between two looks of the watch, nothing is refilled: neither before it is noticed nor after, by nobody', async () => {
    shop = await openShop({
      targets: ['one', 'two', 'three'],
      component: 'attempts: [ { max: 1, per: 1h } ]\n    storm: { min: 5 }\n    cooldown: { after_success: 10s }',
    });
    const { amends } = shop;
    await amends.post([shop.alert('one')]);
    amends.clock.setWall(2 * HOUR);
    // Nobody has noticed yet.
    amends.clock.advance(20 * SECOND);
    await amends.submit([shop.alert('two')]);
    await amends.engine.decider.tick();
    expect((await shop.reasons()).at(-1)).toBe('attempts_used_up');
    // Noticed: by the wall clock the window is over, by the time that passed it is not.
    await amends.settle();
    expect(await clockEntries()).toHaveLength(1);
    await amends.post([shop.alert('three')]);
    expect((await shop.reasons()).at(-1)).toBe('attempts_used_up');
    for (let minute = 0; minute < 58; minute += 1) {
      amends.clock.advance(MINUTE);
      await amends.settle();
    }
    expect((await amends.list('runs')).map(({ target }) => target)).toEqual(['one']);
    // An hour has passed since the first.
    amends.clock.advance(2 * MINUTE);
    await amends.settle();
    expect((await amends.list('runs')).map(({ target }) => target).toSorted()).toContain('two');
  });

  it('F62 I1 the longer window is counted by the time that passed too, long after a human decided about the first', async () => {
    shop = await openShop({
      targets: ['one', 'two', 'three'],
      component:
        'attempts: [ { max: 5, per: 1h }, { max: 2, per: 1d } ]\n    storm: { min: 5 }\n    cooldown: { after_success: 10s }',
    });
    const { amends } = shop;
    await amends.post([shop.alert('one')]);
    amends.clock.advance(MINUTE);
    await amends.post([shop.alert('two')]);
    amends.clock.setWall(30 * HOUR);
    await amends.settle();
    amends.clock.advance(2 * HOUR);
    await amends.settle();
    expect((await amends.store.controls()).clockSuspectUntil).toBeNull();
    await amends.post([shop.alert('three')]);
    expect((await shop.reasons()).at(-1)).toBe('attempts_used_up');
    expect(shop.mended()).toEqual(['one', 'two']);
  });

  it('F62 I1 in steps that are too small for a jump, nothing is refilled', async () => {
    shop = await openShop({
      targets: ['one', 'two'],
      component: 'attempts: [ { max: 1, per: 1h } ]\n    storm: { min: 5 }',
    });
    const { amends } = shop;
    await amends.post([shop.alert('one')]);
    for (let step = 0; step < 70; step += 1) {
      amends.clock.setWall(59 * SECOND);
      amends.clock.now();
    }
    amends.clock.advance(MINUTE);
    await amends.post([shop.alert('two')]);
    expect(await clockEntries()).toEqual([]);
    expect((await shop.reasons()).at(-1)).toBe('attempts_used_up');
  });

  it('F64 I1 after a resume of six hours nothing is refilled, and a human is asked', async () => {
    shop = await openShop({
      targets: ['one', 'two', 'three'],
      component: 'attempts: [ { max: 2, per: 1h } ]\n    storm: { min: 5 }',
    });
    const { amends } = shop;
    await amends.post([shop.alert('one')]);
    // The monotonic clock stands still in a machine that is suspended.
    amends.clock.setWall(6 * HOUR);
    await amends.post([shop.alert('two')]);
    expect((await shop.reasons()).at(-1)).toBe('awaiting_approval');
    await amends.post([shop.alert('three')]);
    expect((await shop.reasons()).at(-1)).toBe('attempts_used_up');
    expect(shop.mended()).toEqual(['one']);
  });

  it('F62 and its cause over, the entry closes by itself and amends acts again', async () => {
    shop = await openShop({ targets: ['one', 'two'], component: 'storm: { min: 5 }' });
    const { amends } = shop;
    amends.clock.setWall(2 * HOUR);
    await amends.settle();
    expect(await clockEntries()).toMatchObject([{ status: 'open' }]);
    amends.clock.advance(61 * MINUTE);
    await amends.settle();
    expect(await clockEntries()).toMatchObject([{ status: 'closed', closedBy: 'amends' }]);
    await amends.post([shop.alert('two')]);
    expect(shop.mended()).toEqual(['two']);
    amends.clock.setWall(-2 * HOUR);
    await amends.settle();
    expect(await clockEntries()).toMatchObject([{ status: 'open' }, { status: 'closed' }]);
    expect((await amends.list('outbox')).filter((row) => row.topic === 'clock')).toHaveLength(2);
  });

  it('F64 after a resume of six hours a lease is taken as lost: the run is put down, and taken up as after a crash', async () => {
    shop = await openShop({});
    const { amends } = shop;
    shop.ledger.answer('/mend/main', 'hang');
    const reached = shop.ledger.next('/mend/main');
    const posted = amends.post([shop.alert('main')]);
    await reached;
    shop.ledger.answer('/mend/main', 200);
    amends.clock.setWall(6 * HOUR);
    await amends.settle();
    await posted;
    const [run] = await amends.list('runs');
    expect(run).toMatchObject({ state: 'done', recoveries: 1 });
    // The step is idempotent, so it was done again; it ran into the time that the runbook is given.
    const stored = await amends.store.run(run?.id ?? '');
    expect(stored?.events.filter(({ event }) => event.type === 'claimed')).toHaveLength(2);
    expect(shop.mended().length).toBeLessThanOrEqual(2);
  });
});
