// What episodes promise over time: looked at again when due, quiet and closed in their time, and kept while needed.
import { describe, expect, it } from '@jest/globals';
import type { Store } from '../../../src/port/store.ts';
import type { Write } from '../../../src/run/writes.ts';
import {
  DAY,
  HOLD,
  HOUR,
  MINUTE,
  START,
  admitAlways,
  deliveryOf,
  endRun,
  everything,
  givenRun,
  heldClock,
  requestOf,
} from './given.ts';
import type { AlertSaid, OpenStore } from './given.ts';
import { onEveryStore } from './stores.ts';

const hold = (): number => HOLD;
const ttl = (): number => DAY;

const episodes = (openStore: OpenStore): void => {
  const open = async (store: Store, said: AlertSaid = {}, at = START): Promise<string> => {
    const [received] = await store.receive([deliveryOf([said], at)]);
    return received?.[0]?.episodeId ?? '';
  };
  const due = async (store: Store, now: number) => (await store.dueEpisodes(now, 10)).map((episode) => episode.id);

  describe('episodes', () => {
    it('are due when their time has come, while no run of theirs is under way', async () => {
      const store = await openStore(heldClock());
      const first = await open(store, { name: 'a' });
      const second = await open(store, { name: 'b' });
      const third = await open(store, { name: 'c' });
      const at = (id: string, nextEvaluationAt: number | null) =>
        store.write([{ type: 'episode.update', id, patch: { nextEvaluationAt } }], START);
      await at(first, START + 20);
      await at(second, START + 10);
      expect(await due(store, START + 9)).toEqual([]);
      expect(await due(store, START + 20)).toEqual([second, first]);
      const runId = await givenRun(store, START, { episodeId: first });
      expect(await due(store, START + 20)).toEqual([second]);
      await endRun(store, runId, START + 1, { outcome: 'unresolved' });
      await at(second, null);
      await at(third, START);
      await open(store, { name: 'c', status: 'resolved' }, START + 1);
      expect(await due(store, START + 20)).toEqual([first]);
    });

    it('take a patch member by member', async () => {
      const store = await openStore(heldClock());
      const id = await open(store);
      await store.write(
        [
          {
            type: 'episode.update',
            id,
            patch: { backoff: 2, exhausted: true, catalogDigest: 'sha256:1', hadRun: true, nextEvaluationAt: START },
          },
        ],
        START,
      );
      await store.write(
        [
          { type: 'episode.update', id, patch: { nextEvaluationAt: null } },
          { type: 'episode.update', id, patch: {} },
        ],
        START,
      );
      expect(await store.episode(id)).toMatchObject({
        backoff: 2,
        exhausted: true,
        catalogDigest: 'sha256:1',
        hadRun: true,
        nextEvaluationAt: null,
      });
      expect(await store.episode('none')).toBeNull();
      expect([...(await store.episodesById([id, 'none'])).keys()]).toEqual([id]);
    });

    it("close after their component's hold, and count as resolved when nothing fires for their time to live", async () => {
      const store = await openStore(heldClock());
      const quiet = await open(store, { name: 'a' });
      const other = await open(store, { name: 'b', component: null, kind: null, target: null });
      const silent = await open(store, { name: 'c' });
      await store.receive([
        deliveryOf(
          [
            { name: 'a', status: 'resolved' },
            { name: 'b', status: 'resolved', component: null },
          ],
          START + 1,
        ),
      ]);
      const holdOf = (component: string | null): number => (component === null ? HOUR : HOLD);
      expect(await store.sweepEpisodes(START + HOLD, holdOf, ttl)).toEqual({ closed: [], expired: [] });
      expect(await store.sweepEpisodes(START + 1 + HOLD, holdOf, ttl)).toEqual({ closed: [quiet], expired: [] });
      expect(await store.sweepEpisodes(START + DAY, holdOf, ttl)).toEqual({ closed: [other], expired: [silent] });
      expect(await store.episode(silent)).toMatchObject({ state: 'quiet', resolvedAt: START + DAY });
      expect(await store.sweepEpisodes(START + DAY + HOLD, holdOf, ttl)).toEqual({ closed: [silent], expired: [] });
      expect((await store.figures()).openEpisodes).toBe(0);
    });

    it('tell how many targets of a component fire', async () => {
      const store = await openStore(heldClock());
      await open(store, { name: 'a' });
      await open(store, { name: 'b' });
      await open(store, { name: 'c', target: '10.0.0.8:6379' });
      await open(store, { name: 'd', target: '10.0.0.9:6379' });
      await open(store, { name: 'd', status: 'resolved' });
      await open(store, { name: 'e', component: 'shop' });
      expect((await store.snapshot({ component: 'cache', since: 0 })).firingTargets).toBe(2);
      expect((await store.snapshot({ component: null, since: 0 })).firingTargets).toBe(0);
    });
  });

  describe('pruning', () => {
    const decideAll = async (store: Store, episodeId: string | null, admitted: boolean): Promise<void> => {
      for (const alert of await store.undecided(100)) {
        const said = { origin: 'delivery', alertId: alert.alertId, deliveryId: alert.deliveryId, episodeId } as const;
        await store.decide([requestOf(admitted ? said : { ...said, reason: 'no_match' })], START, admitAlways);
      }
    };

    it('takes what is old and whose episode is closed, and nothing that a run or an open episode needs', async () => {
      const store = await openStore(heldClock());
      await decideAll(store, await open(store, { name: 'gone', status: 'firing' }), false);
      await decideAll(store, await open(store, { name: 'gone', status: 'resolved' }), false);
      await decideAll(store, await open(store, { name: 'ran' }), true);
      await open(store, { name: 'ran', status: 'resolved' });
      await decideAll(store, null, false);
      await store.sweepEpisodes(START + HOUR, hold, ttl);
      await decideAll(store, await open(store, { name: 'open' }), false);
      await open(store, { name: 'undecided', key: null });
      await store.decide([requestOf({ reason: 'busy', at: START })], START, admitAlways);
      expect(await store.prune(START, 100)).toBe(0);
      expect(await store.prune(START + MINUTE, 100)).toBe(11);
      expect(await store.prune(START + MINUTE, 100)).toBe(0);
      expect(
        (await store.list('episodes', everything)).items.map(({ labels }) => String(labels['alertname'])).toSorted(),
      ).toEqual(['open', 'ran']);
      expect((await store.list('alerts', everything)).items.length).toBe(3);
      expect((await store.list('decisions', everything)).items.map((decision) => decision.reason).toSorted()).toEqual([
        'admitted',
        'no_match',
      ]);
      const [run] = await store.activeRuns();
      const decision = await store.decision(run?.decisionId ?? '');
      expect(await store.delivery(decision?.deliveryId ?? '')).not.toBeNull();
      expect((await store.figures()).undecided).toBe(1);
    });

    it('takes messages that were sent, entries that were closed and no run explains; nothing that waits', async () => {
      const store = await openStore(heldClock());
      const runId = await givenRun(store);
      const entry = (id: string, of: string | null): Write => ({
        type: 'inbox.open',
        id,
        kind: 'note',
        dedup: null,
        severity: null,
        component: null,
        target: null,
        runId: of,
        episodeId: null,
        title: id,
        body: {},
      });
      const message = (id: string): Write =>
        ({ ...entry(id, null), type: 'notify', topic: 't', receiver: null, body: '' }) as Write;
      const close = (id: string): Write => ({ type: 'inbox.close', id, by: 'ann', comment: '' });
      await store.write(
        [
          ...['sent', 'dead', 'pending'].map(message),
          entry('open', null),
          entry('closed', null),
          entry('of a run', runId),
          ...['closed', 'of a run'].map(close),
        ],
        START,
      );
      await store.outboxDone('sent', START, { sent: true });
      await store.outboxDone('dead', START, { sent: false, error: 'no', nextAt: null });
      expect((await store.figures()).oldestDeliveryAt).toBeNull();
      expect(await store.prune(START, 100)).toBe(0);
      expect(await store.prune(START + MINUTE, 100)).toBe(3);
      expect((await store.list('outbox', everything)).items.map(({ id }) => id)).toEqual(['pending']);
      expect((await store.list('inbox', everything)).items.map(({ id }) => id).toSorted()).toEqual([
        'of a run',
        'open',
      ]);
      expect((await store.activeRuns()).map(({ id }) => id)).toEqual([runId]);
    });

    it('stops at its limit and goes on with the next call', async () => {
      const store = await openStore(heldClock());
      for (let index = 0; index < 5; index += 1) await open(store, { name: `a${index}`, key: null });
      await decideAll(store, null, false);
      const counts = [];
      for (let round = 0; round < 4; round += 1) counts.push(await store.prune(START + MINUTE, 2));
      expect(counts).toEqual([6, 6, 3, 0]);
      expect((await store.list('alerts', everything)).items).toEqual([]);
    });
  });
};

onEveryStore(episodes);
