// What admission is shown: exact counts, whatever came before in the same call, the same component or another ledger.
import { describe, expect, it } from '@jest/globals';
import {
  DAY,
  HOUR,
  MINUTE,
  START,
  admitAlways,
  admitBelow,
  attemptOf,
  endRun,
  givenRun,
  heldClock,
  historyOf,
  ids,
  requestOf,
} from './given.ts';
import type { OpenStore } from './given.ts';
import { onEveryStore } from './stores.ts';

const admitting = (openStore: OpenStore): void => {
  describe('admitting', () => {
    it('is exact: of a hundred requests in ten calls at once, three are admitted (I1)', async () => {
      const store = await openStore(heldClock());
      const calls = Array.from({ length: 10 }, () =>
        store.decide(
          Array.from({ length: 10 }, () => requestOf()),
          START,
          admitBelow(3),
        ),
      );
      const reasons = (await Promise.all(calls))
        .flat()
        .map((decided) => (decided.type === 'decided' ? decided.reason : decided.type));
      expect(reasons.filter((reason) => reason === 'admitted').length).toBe(3);
      expect(reasons.filter((reason) => reason === 'attempts_used_up').length).toBe(97);
      expect((await store.attempts({ component: 'cache', ledger: 'live', since: 0 })).length).toBe(3);
    });

    it('counts by the window, by the ledger and by the component (I1)', async () => {
      const store = await openStore(heldClock());
      const at = (ago: number, said: object = {}) => ({
        type: 'attempt.add' as const,
        attempt: attemptOf({ at: START - ago, ...said }),
      });
      await store.write(
        [
          at(HOUR),
          at(HOUR + 1),
          at(MINUTE),
          at(0, { ledger: 'shadow' }),
          at(0, { ledger: 'shadow:slow' }),
          at(2 * MINUTE, { component: 'shop', kind: 'database', target: 'orders' }),
        ],
        START,
      );
      const live = await historyOf(store, START, { window: HOUR });
      expect(live.attempts.map((attempt) => attempt.at)).toEqual([START - HOUR, START - MINUTE]);
      expect(live.budget).toEqual([START - HOUR, START - 2 * MINUTE, START - MINUTE]);
      expect((await historyOf(store, START, { window: HOUR, ledger: 'shadow' })).attempts.length).toBe(1);
      expect((await historyOf(store, START, { window: 0, ledger: 'shadow:slow' })).budget.length).toBe(1);
      expect(
        (await store.snapshot({ component: 'cache', since: START - HOUR })).attempts.map((attempt) => attempt.ledger),
      ).toEqual(['live', 'live', 'shadow', 'shadow:slow']);
    });

    it('shows the attempt that ended last even when it is older than the window', async () => {
      const store = await openStore(heldClock());
      const add = (at: number, endedAt: number | null) =>
        store.write(
          [
            {
              type: 'attempt.add',
              attempt: attemptOf({ at, endedAt, outcome: endedAt === null ? null : 'unresolved' }),
            },
          ],
          START,
        );
      await add(START - 3 * DAY, START - 3 * DAY + 1);
      await add(START - 2 * DAY, START - MINUTE);
      expect((await historyOf(store, START, { window: HOUR })).attempts.map((attempt) => attempt.at)).toEqual([
        START - 2 * DAY,
      ]);
      await add(START - MINUTE, START);
      expect((await historyOf(store, START, { window: HOUR })).attempts.map((attempt) => attempt.at)).toEqual([
        START - MINUTE,
      ]);
    });

    it('gives back a reservation that did nothing, and keeps it in what the episode has tried', async () => {
      const store = await openStore(heldClock());
      const runId = await givenRun(store, START, { episodeId: 'episode' });
      await store.write(
        [{ type: 'attempt.release', runId, at: START + 1, outcome: 'withdrawn', cause: 'expired' }],
        START + 1,
      );
      const history = await historyOf(store, START + 2, { episodeId: 'episode' });
      expect(history.attempts).toEqual([]);
      expect(history.budget).toEqual([]);
      expect(history.episode).toMatchObject([{ runId, outcome: 'withdrawn', cause: 'expired', endedAt: START + 1 }]);
      expect((await store.snapshot({ component: 'cache', since: 0 })).attempts).toEqual([]);
    });

    it('shows every run under way of every component, in the order of their making', async () => {
      const store = await openStore(heldClock());
      const first = await givenRun(store, START);
      const second = await givenRun(store, START + 1, { component: 'shop', target: 'orders' });
      const third = await givenRun(store, START + 2);
      await endRun(store, third, START + 3, { outcome: 'unresolved' });
      expect((await historyOf(store, START + 4)).active.map((run) => [run.id, run.component, run.state])).toEqual([
        [first, 'cache', 'queued'],
        [second, 'shop', 'queued'],
      ]);
    });

    it('shows a stuck run on the same kind and target until its entry in the inbox is closed', async () => {
      const store = await openStore(heldClock());
      const runId = await givenRun(store);
      const entry = ids.next();
      await endRun(store, runId, START + 1, {
        outcome: 'stuck',
        writes: [
          {
            type: 'inbox.open',
            id: entry,
            kind: 'escalation',
            dedup: null,
            severity: 'SEV2',
            component: 'cache',
            target: '10.0.0.7:6379',
            runId,
            episodeId: null,
            title: 'stuck',
            body: {},
          },
        ],
      });
      expect((await historyOf(store, START + DAY * 30)).stuck).toBe(runId);
      expect((await historyOf(store, START + DAY * 30, { target: '10.0.0.8:6379' })).stuck).toBeNull();
      await store.write([{ type: 'inbox.close', id: entry, by: 'anna', comment: 'looked' }], START + 2);
      expect((await historyOf(store, START + DAY * 30)).stuck).toBeNull();
    });

    it('shows a settling run until its time is over or it is watched no longer', async () => {
      const store = await openStore(heldClock());
      const runId = await givenRun(store);
      const until = START + 15 * MINUTE;
      await endRun(store, runId, START + 1, { outcome: 'resolved', settleUntil: until });
      expect((await historyOf(store, START + 2)).settling).toEqual({ runId, until });
      expect((await historyOf(store, START + 2, { target: '10.0.0.8:6379' })).settling).toBeNull();
      const near = (target: string, episode: string) => store.settlingRuns({ targets: [target], episodes: [episode] });
      expect((await near('10.0.0.7:6379', 'none')).map((run) => run.id)).toEqual([runId]);
      expect(await near('10.0.0.8:6379', 'none')).toEqual([]);
      expect(await store.settledRuns(until - 1)).toEqual([]);
      expect((await store.settledRuns(until)).map((run) => run.id)).toEqual([runId]);
      expect((await historyOf(store, until)).settling).toBeNull();
      await store.endSettling(runId);
      expect(await near('10.0.0.7:6379', 'none')).toEqual([]);
      expect(await store.settledRuns(until)).toEqual([]);
      expect((await historyOf(store, until)).settling).toBeNull();
    });

    it('lets the version move with every admission, end, release, switch and degraded mode of the component alone', async () => {
      const store = await openStore(heldClock());
      const version = async (component = 'cache') => (await store.snapshot({ component, since: 0 })).version;
      const moves = async (act: () => Promise<unknown>) => {
        const before = await version();
        await act();
        return (await version()) > before;
      };
      let runId = '';
      expect(await moves(async () => (runId = await givenRun(store)))).toBe(true);
      expect(await moves(() => endRun(store, runId, START + 1, { outcome: 'unresolved' }))).toBe(true);
      expect(
        await moves(() =>
          store.write([{ type: 'attempt.release', runId, at: START, outcome: 'withdrawn', cause: 'cancelled' }], START),
        ),
      ).toBe(true);
      const on = {
        type: 'degraded',
        mode: 'redis_unavailable',
        on: true,
        component: 'cache',
        target: 't',
        runId,
      } as const;
      expect(await moves(() => store.write([on], START))).toBe(true);
      expect(await moves(() => store.write([on], START))).toBe(false);
      expect(await moves(() => store.write([{ ...on, on: false }], START))).toBe(true);
      expect(
        await moves(() =>
          store.write(
            [{ type: 'disable', scope: 'component', name: 'cache', until: null, by: 'a', reason: '' }],
            START,
          ),
        ),
      ).toBe(true);
      expect(
        await moves(() => store.write([{ type: 'enable', scope: 'component', name: 'cache', by: 'a' }], START)),
      ).toBe(true);
      expect(
        await moves(() =>
          store.write([{ type: 'disable', scope: 'rule', name: 'r', until: null, by: 'a', reason: '' }], START),
        ),
      ).toBe(true);
      expect(await moves(() => givenRun(store, START, { component: 'shop', target: 'orders' }))).toBe(false);
      expect(await moves(() => store.decide([requestOf({ reason: 'duplicate' })], START, admitAlways))).toBe(false);
    });
  });
};

onEveryStore(admitting);
