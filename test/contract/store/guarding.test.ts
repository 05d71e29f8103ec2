// What guards look at beyond the window: a target's own last attempt, what a breaker is judged by, what began to fire
// lately; and that closing a breaker wakes what it held.
import { describe, expect, it } from '@jest/globals';
import {
  MINUTE,
  DAY,
  HOUR,
  START,
  attemptOf,
  deliveryOf,
  everything,
  heldClock,
  historyOf,
  requestOf,
} from './given.ts';
import type { OpenStore } from './given.ts';
import { onEveryStore } from './stores.ts';

const guarding = (openStore: OpenStore): void => {
  const add = (at: number, said: Parameters<typeof attemptOf>[0] = {}) => ({
    type: 'attempt.add' as const,
    attempt: attemptOf({ at, endedAt: at + MINUTE, outcome: 'unresolved', cause: 'not_verified', ...said }),
  });

  describe('guarding', () => {
    it("I10 shows the target's own last attempt too, even when it is older than the window and another target's is younger", async () => {
      const store = await openStore(heldClock());
      await store.write(
        [
          add(START - 3 * DAY, { target: 'a' }),
          add(START - 2 * DAY, { target: 'a' }),
          add(START - DAY - HOUR, { target: 'b' }),
          add(START - MINUTE, { target: 'c', endedAt: null }),
        ],
        START,
      );
      const seen = async (target: string) =>
        (await historyOf(store, START, { target, window: HOUR })).attempts.map((attempt) => [
          attempt.target,
          attempt.at,
        ]);
      const [b, c] = [
        ['b', START - DAY - HOUR],
        ['c', START - MINUTE],
      ];
      expect(await seen('a')).toEqual([['a', START - 2 * DAY], b, c]);
      expect(await seen('b')).toEqual([b, c]);
      expect(await seen('d')).toEqual([b, c]);
    });

    it('F40 a breaker is judged by what ended since a human last closed it', async () => {
      const clock = heldClock();
      const store = await openStore(clock);
      await store.write([add(START - HOUR), add(START - HOUR + 1), add(START, { endedAt: null })], START);
      const judged = async () =>
        (
          await store.breakerAttempts([
            { component: 'cache', strategy: 'reconnect' },
            { component: 'cache', strategy: 'restart' },
            { component: 'other', strategy: 'reconnect' },
          ])
        ).map((attempts) => attempts.map(({ at }) => at));
      expect(await judged()).toEqual([[START - HOUR, START - HOUR + 1], [], []]);
      await store.write([{ type: 'breaker.close', component: 'cache', strategy: 'reconnect' }], START);
      expect(await judged()).toEqual([[], [], []]);
      await store.write([add(START + 1)], START + HOUR);
      expect(await judged()).toEqual([[START + 1], [], []]);
    });

    it('F40 closing it wakes the episodes that it refused last, and no others', async () => {
      const store = await openStore(heldClock());
      const [received = []] = await store.receive([
        deliveryOf(['held', 'rests', 'went on', 'exhausted'].map((name) => ({ name }))),
      ]);
      const [held, rests, wentOn, exhausted] = received.map((entry) => entry.episodeId ?? '');
      const say = async (episodeId: string | undefined, ...reasons: ReadonlyArray<'breaker_open' | 'cooldown'>) => {
        for (const [index, reason] of reasons.entries())
          await store.decide(
            [requestOf({ episodeId: episodeId ?? '', reason, at: START + index })],
            START + index,
            () => null,
          );
        const patch = { nextEvaluationAt: START + DAY };
        await store.write([{ type: 'episode.update', id: episodeId ?? '', patch }], START);
      };
      await say(held, 'cooldown', 'breaker_open');
      await say(rests, 'cooldown');
      await say(wentOn, 'breaker_open', 'cooldown');
      await say(exhausted, 'breaker_open');
      await store.write([{ type: 'episode.update', id: exhausted ?? '', patch: { exhausted: true } }], START);
      const wake = { type: 'episodes.wake', component: 'cache', at: START } as const;
      await store.write([wake], START);
      expect(await store.dueEpisodes(START, 10)).toEqual([]);
      await store.write([{ ...wake, heldBy: 'breaker_open' }], START);
      expect((await store.dueEpisodes(START + 10, 10)).map((episode) => episode.id)).toEqual([held]);
    });

    it('F39 tells of a storm as admission sees it', async () => {
      const store = await openStore(heldClock());
      const alerts = ['a', 'b', 'c'].map((target) => ({ name: target, target }));
      await store.receive([deliveryOf(alerts)]);
      const query = { component: 'cache', stormWindow: 5 * MINUTE, componentsWindow: 2 * MINUTE };
      expect((await store.storm(query, START)).targets).toBe(3);
      expect(await store.storm(query, START)).toEqual((await historyOf(store, START)).storm);
      expect((await store.storm(query, START + HOUR + 1)).targets).toBe(0);
    });

    it('F61 says the time that it decides by, which a clock that is set back does not change', async () => {
      const clock = heldClock();
      const store = await openStore(clock);
      await store.decide([requestOf({ reason: 'observed' })], START, () => null);
      clock.set(START - HOUR);
      expect((await store.controls()).now).toBe(START);
      clock.set(START + HOUR);
      expect((await store.controls()).now).toBe(START + HOUR);
    });

    it('says what an inbox entry is about', async () => {
      const store = await openStore(heldClock());
      const place = { severity: null, component: null, target: null, runId: null, episodeId: null, body: {} };
      await store.write(
        [{ type: 'inbox.open', id: 'one', kind: 'escalation', dedup: 'storm:cache', title: 'a storm', ...place }],
        START,
      );
      expect((await store.list('inbox', everything)).items.map(({ dedup }) => dedup)).toEqual(['storm:cache']);
    });
  });
};

onEveryStore(guarding);
