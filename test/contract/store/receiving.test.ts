// What receiving promises: durable deliveries, and each alert at its place in an episode.
import { describe, expect, it } from '@jest/globals';
import type { Store } from '../../../src/port/store.ts';
import { HOLD, HOUR, START, alertOf, deliveryOf, everything, heldClock } from './given.ts';
import type { AlertSaid, OpenStore } from './given.ts';
import { onEveryStore } from './stores.ts';

const receiving = (openStore: OpenStore): void => {
  const receiveOne = async (store: Store, said: AlertSaid, at: number) => {
    const [received] = await store.receive([deliveryOf([said], at)]);
    const [first] = received ?? [];
    if (first === undefined) throw new Error('nothing was received');
    return first;
  };

  describe('receiving', () => {
    it('keeps the body as it came and hands out its alerts in the order of receiving (I3)', async () => {
      const store = await openStore(heldClock());
      const deliveries = [deliveryOf([{ name: 'a' }, { name: 'b' }], START + 5), deliveryOf([{ name: 'c' }], START)];
      const received = await store.receive(deliveries);
      expect(received.map((alerts) => alerts.map((alert) => alert.change))).toEqual([['opened', 'opened'], ['opened']]);
      const waiting = await store.undecided(10);
      expect(waiting.map((alert) => alert.alertId)).toEqual(
        deliveries.flatMap((delivery) => delivery.alerts.map((alert) => alert.id)),
      );
      expect(waiting[1]).toMatchObject({
        index: 1,
        receivedAt: START + 5,
        source: 'alertmanager',
        change: 'opened',
        body: deliveries[0]?.body,
      });
      expect(waiting[0]?.body).toBe(waiting[1]?.body);
      expect((await store.undecided(2)).length).toBe(2);
      expect(await store.delivery(deliveries[0]?.id ?? '')).toMatchObject({ body: deliveries[0]?.body, groupSize: 2 });
    });

    it('says in which trace the newest delivery about an episode came', async () => {
      const store = await openStore(heldClock());
      const traced = (at: number, traceparent: string | null) => ({ ...deliveryOf([{ name: 'a' }], at), traceparent });
      const [first] = await store.receive([traced(START, '00-first')]);
      const episode = first?.[0]?.episodeId ?? '';
      expect(await store.traceOf(episode)).toBe('00-first');
      await store.receive([traced(START + 1, '00-second')]);
      expect(await store.traceOf(episode)).toBe('00-second');
      await store.receive([traced(START + 2, null)]);
      expect([await store.traceOf(episode), await store.traceOf('nobody')]).toEqual([null, null]);
    });

    it('takes one incident through opened, repeated, resolved, reopened and a new one after the hold', async () => {
      const store = await openStore(heldClock());
      const steps: Array<readonly [number, 'firing' | 'resolved', string]> = [
        [0, 'firing', 'opened'],
        [1, 'firing', 'repeated'],
        [2, 'resolved', 'resolved'],
        [3, 'resolved', 'none'],
        [3 + HOLD - 2, 'firing', 'reopened'],
        [HOUR, 'resolved', 'resolved'],
        [HOUR + HOLD, 'resolved', 'none'],
        [HOUR + HOLD, 'firing', 'opened'],
      ];
      const seen = [];
      for (const [after, status, change] of steps)
        seen.push([after, status, (await receiveOne(store, { status }, START + after)).change, change]);
      for (const [after, status, change, expected] of seen)
        expect([after, status, change]).toEqual([after, status, expected]);
      const { items } = await store.list('episodes', everything);
      expect(
        items.map((episode) => [
          episode.state,
          episode.firings,
          episode.openedAt,
          episode.resolvedAt,
          episode.closedAt,
        ]),
      ).toEqual([
        ['firing', 1, START + HOUR + HOLD, null, null],
        ['closed', 3, START, START + HOUR, START + HOUR + HOLD],
      ]);
    });

    it('treats two entries of one delivery as if they had come one after the other', async () => {
      const store = await openStore(heldClock());
      const [received] = await store.receive([deliveryOf([{}, {}, { status: 'resolved' }, {}])]);
      expect(received?.map((alert) => alert.change)).toEqual(['opened', 'repeated', 'resolved', 'reopened']);
      expect(new Set(received?.map((alert) => alert.episodeId)).size).toBe(1);
    });

    it('keeps an invalid entry beside its neighbours, without an episode', async () => {
      const store = await openStore(heldClock());
      const [received] = await store.receive([
        deliveryOf([{}, { key: null, status: null, labels: null, annotations: null }, { name: 'c' }]),
      ]);
      expect(received?.map((alert) => [alert.change, alert.episodeId === null])).toEqual([
        ['opened', false],
        ['none', true],
        ['opened', false],
      ]);
      expect((await store.undecided(10)).length).toBe(3);
    });

    it('keeps labels that are no plain names: __proto__, NUL, emoji, right-to-left marks (F44)', async () => {
      const store = await openStore(heldClock());
      const labels = JSON.parse('{"__proto__":"a","constructor":"b","x":"\\u0000\\u202e😀"}') as Record<string, string>;
      const { episodeId } = await receiveOne(store, { labels }, START);
      const episode = await store.episode(episodeId ?? '');
      expect(Object.entries(episode?.labels ?? {})).toEqual(Object.entries(labels));
      expect(Object.getPrototypeOf(episode?.labels)).toBeNull();
    });

    it('follows a component that a reload has declared since', async () => {
      const store = await openStore(heldClock());
      await receiveOne(store, { component: null, kind: null, target: null }, START);
      const { episodeId } = await receiveOne(store, {}, START + 1);
      expect(await store.episode(episodeId ?? '')).toMatchObject({
        component: 'cache',
        kind: 'redis',
        target: '10.0.0.7:6379',
        lastFiringAt: START + 1,
      });
    });

    it('is whole or not at all: one entry that cannot be stored takes the call with it (F1)', async () => {
      const store = await openStore(heldClock());
      const good = deliveryOf([{}]);
      const twice = alertOf();
      await expect(store.receive([good, { ...deliveryOf([]), alerts: [twice, twice] }])).rejects.toMatchObject({
        code: expect.stringMatching(/^SQLITE_CONSTRAINT/),
      });
      expect(await store.undecided(10)).toEqual([]);
      expect(await store.delivery(good.id)).toBeNull();
      await store.receive([good]);
      expect((await store.undecided(10)).length).toBe(1);
    });

    it('commits ten thousand alerts of one body while the event loop goes on turning', async () => {
      const store = await openStore(heldClock());
      let turns = 0;
      let going = true;
      const count = (): void => {
        turns += 1;
        if (going) setImmediate(count);
      };
      setImmediate(count);
      await store.receive([deliveryOf(Array.from({ length: 10_000 }, (_, index) => ({ name: `a${index}` })))]);
      going = false;
      expect(turns).toBeGreaterThan(15);
      expect((await store.figures()).undecided).toBe(10_000);
    });
  });
};

onEveryStore(receiving);
