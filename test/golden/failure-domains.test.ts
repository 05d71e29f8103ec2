// What shares power, a rack or a zone is one failure domain. When targets of a second one fall in the same window, the cause
// may be the cure: a human decides.
import { afterEach, describe, expect, it } from '@jest/globals';
import { openShop } from '../support/guarded-shop.ts';
import type { Shop } from '../support/guarded-shop.ts';

const MINUTE = 60_000;
const ZONES = { 'a-1': 'a', 'a-2': 'a', 'b-1': 'b', 'b-2': 'b' } as const;
const targets = Object.entries(ZONES).map(([target, zone]) => `{ target: ${target}, labels: { zone: ${zone} } }`);

describe('F41 failure domains', () => {
  let shop: Shop;
  afterEach(() => shop.close());
  const open = async (component = ''): Promise<void> => {
    shop = await openShop({
      targets,
      component: `domain: zone\n    storm: { min: 5, max: 9 }\n    attempts: [ { max: 9, per: 1h } ]\n    ${component}`,
    });
  };
  const later = async (ms: number): Promise<void> => {
    shop.amends.clock.advance(ms);
    await shop.amends.settle();
  };
  /** The alert of that target, mended by amends itself or asked about; afterwards the alert is over. */
  const falls = async (target: keyof typeof ZONES): Promise<string> => {
    await shop.amends.post([shop.alert(target)]);
    const [run] = await shop.amends.list('runs');
    return run?.target === target ? run.state : 'no run';
  };
  const recovers = async (target: keyof typeof ZONES): Promise<void> => {
    await shop.amends.post([shop.alert(target, 'resolved')]);
    await later(2 * MINUTE);
  };
  const approve = async (): Promise<void> => {
    const [run] = await shop.amends.list('runs');
    await shop.amends.engine.desk.approve({ runId: run?.id ?? '', step: null, by: 'ann', comment: '' });
    await later(2 * MINUTE);
  };

  it('in the first one amends acts by itself; in a second one in the same window it asks, and says why', async () => {
    await open();
    expect(await falls('a-1')).toBe('done');
    await recovers('a-1');
    expect(await falls('a-2')).toBe('done');
    await recovers('a-2');
    expect(shop.mended()).toEqual(['a-1', 'a-2']);

    expect(await falls('b-1')).toBe('awaiting_approval');
    const question = (await shop.amends.list('inbox')).find(({ kind }) => kind === 'approval');
    expect(question?.title).toContain('a was worked on in the same window: b is a second failure domain');
    expect((await shop.amends.list('outbox')).filter(({ topic }) => topic === 'approval')).toHaveLength(1);
    const audit = (await shop.amends.list('audit')).find(({ action }) => action === 'run.asked');
    expect(audit?.detail['asked_because']).toContain('second failure domain');
    await later(5 * MINUTE);
    expect(shop.mended()).toEqual(['a-1', 'a-2']);
    await approve();
    expect(shop.mended()).toEqual(['a-1', 'a-2', 'b-1']);
    await recovers('b-1');

    // Both were worked on: in each a human is asked.
    await later(20 * MINUTE);
    expect(await falls('a-1')).toBe('awaiting_approval');
  });

  it('over a restart too, and until the window is over', async () => {
    await open();
    await falls('b-2');
    await recovers('b-2');
    shop.amends.restart();
    expect(await falls('a-2')).toBe('awaiting_approval');
    await shop.amends.post([shop.alert('a-2', 'resolved')]);
    expect((await shop.amends.list('runs'))[0]).toMatchObject({ outcome: 'withdrawn', cause: 'resolved' });
    await later(61 * MINUTE);
    expect(await falls('a-1')).toBe('done');
    expect(shop.mended()).toEqual(['b-2', 'a-1']);
  });

  it('where each target has its own caps, domains are still those of all', async () => {
    await open('split: target\n    fleet: { attempts: [ { max: 9, per: 1h } ], max_concurrent: 2 }');
    expect(await falls('a-1')).toBe('done');
    expect(await falls('a-2')).toBe('done');
    expect(await falls('b-1')).toBe('awaiting_approval');
    expect(shop.mended()).toEqual(['a-1', 'a-2']);
  });
});
