// What lists promise: newest first, every row once however they are paged, filters by name and no other.
import { describe, expect, it } from '@jest/globals';
import type { Rows } from '../../../src/port/record.ts';
import { START, admitAlways, deliveryOf, everything, givenRun, heldClock, requestOf } from './given.ts';
import type { OpenStore } from './given.ts';
import { onEveryStore } from './stores.ts';

const lists = (openStore: OpenStore): void => {
  describe('lists', () => {
    it('show every row once, newest first, in pages of any size, while rows are added', async () => {
      const store = await openStore(heldClock());
      const requests = Array.from({ length: 25 }, (_, index) =>
        requestOf({ reason: 'no_match', at: START + Math.floor(index / 3) }),
      );
      await store.decide(requests, START, admitAlways);
      const newestFirst = requests.map((request) => request.id).toReversed();
      for (const limit of [1, 2, 3, 7, 24, 25, 26]) {
        const seen: string[] = [];
        let cursor: string | null = null;
        do {
          const page: Awaited<ReturnType<typeof store.list<'decisions'>>> = await store.list('decisions', {
            ...everything,
            limit,
            cursor,
          });
          expect(page.items.length).toBeLessThanOrEqual(limit);
          seen.push(...page.items.map((row) => row.id));
          cursor = page.next;
          if (limit === 7)
            await store.decide([requestOf({ reason: 'duplicate', at: START + 100 })], START, admitAlways);
        } while (cursor !== null);
        expect(seen.filter((id) => newestFirst.includes(id))).toEqual(newestFirst);
      }
    });

    it('compare columns by their names outside, and name them when asked for another', async () => {
      const store = await openStore(heldClock());
      const delivery = deliveryOf([{}, { name: 'b', component: null }]);
      await store.receive([delivery]);
      await store.decide(
        [requestOf({ origin: 'delivery', alertId: delivery.alerts[0]?.id ?? null })],
        START,
        admitAlways,
      );
      const count = async (kind: keyof Rows, filters: Record<string, string>, since: number | null = null) =>
        (await store.list(kind, { ...everything, filters, since })).items.length;
      expect(await count('alerts', { decided: 'true' })).toBe(1);
      expect(await count('alerts', { decided: 'false', deliveryId: delivery.id })).toBe(1);
      expect(await count('episodes', { component: 'cache', hadRun: 'false' })).toBe(1);
      expect(await count('decisions', { reason: 'admitted', origin: 'delivery', component: 'cache' })).toBe(1);
      expect(await count('decisions', { alertId: delivery.alerts[0]?.id ?? '' }, START + 1)).toBe(0);
      await store.decide(
        [requestOf({ origin: 'retry', reason: 'cooldown', alertId: delivery.alerts[0]?.id ?? null })],
        START,
        admitAlways,
      );
      expect(await count('decisions', { alertId: delivery.alerts[0]?.id ?? '' })).toBe(2);
      expect(await count('decisions', { alertId: delivery.alerts[0]?.id ?? '', origin: 'delivery' })).toBe(1);
      expect(await count('decisions', { alertId: delivery.alerts[1]?.id ?? '' })).toBe(0);
      expect(await count('decisions', { deliveryId: delivery.id })).toBe(1);
      expect(await count('runs', { state: 'queued', strategy: 'reconnect' }, START)).toBe(1);
      expect(await count('runs', { component: "' or 1=1 --" })).toBe(0);
      for (const name of ['plan', 'component"', '__proto__', 'constructor', 'deliveryID']) {
        await expect(count('runs', { [name]: 'x' })).rejects.toThrow(RangeError);
      }
      await expect(count('runs', { colour: 'x' })).rejects.toThrow(/component.*state/);
      await expect(count('alerts', { decided: 'yes' })).rejects.toThrow(RangeError);
    });

    it('refuse a cursor or a limit that cannot be, and cut a limit that is too large', async () => {
      const store = await openStore(heldClock());
      await givenRun(store);
      for (const cursor of [
        '',
        'x',
        Buffer.from('[1]').toString('base64url'),
        Buffer.from('[1,{}]').toString('base64url'),
        Buffer.from('null').toString('base64url'),
      ]) {
        await expect(store.list('runs', { ...everything, cursor })).rejects.toThrow(RangeError);
      }
      for (const limit of [0, -1, 1.5, Number.NaN])
        await expect(store.list('runs', { ...everything, limit })).rejects.toThrow(RangeError);
      expect((await store.list('runs', { ...everything, limit: 1_000_000 })).items.length).toBe(1);
    });
  });
};

onEveryStore(lists);
