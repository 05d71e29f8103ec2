// What a lease promises: one worker a run, and a fence that a late one cannot pass.
import { describe, expect, it } from '@jest/globals';
import { LeaseLost } from '../../../src/base/failure.ts';
import type { DecisionRequest, Lease, RunChange } from '../../../src/port/store.ts';
import {
  DAY,
  START,
  admitAlways,
  endRun,
  givenRun,
  heldClock,
  projectionOf,
  requestOf,
  runWrites,
  ids,
} from './given.ts';
import type { OpenStore } from './given.ts';
import { onEveryStore } from './stores.ts';

const LEASE = 30_000;
const started = (said: Partial<RunChange<string>> = {}): RunChange<string> => ({
  events: [{ type: 'started' }],
  projection: projectionOf({ startedAt: START }),
  writes: [],
  release: false,
  answer: 'done',
  ...said,
});

const leases = (openStore: OpenStore): void => {
  describe('leases', () => {
    it('hands out queued runs once each, oldest first, and none before its time (F4)', async () => {
      const store = await openStore(heldClock());
      const first = await givenRun(store, START);
      const second = await givenRun(store, START + 10);
      const claims = await Promise.all([1, 2, 3].map((worker) => store.claim(`worker-${worker}`, START + 10, LEASE)));
      expect(claims.map((claim) => claim?.view.run.id ?? null)).toEqual([first, second, null]);
      expect(claims[0]).toMatchObject({
        lease: { owner: 'worker-1', fence: 1, until: START + 10 + LEASE },
        view: { run: { recoveries: 0, leaseOwner: 'worker-1', fence: 1 } },
      });
      const runId = ids.next();
      const later = requestOf();
      await store.decide([later], START + 10, (_wish, history) => ({
        reason: 'admitted',
        runId,
        verdicts: [],
        retryAt: null,
        writes: runWrites(later, history.now + DAY, runId),
      }));
      expect(await store.claim('worker', START + 10, LEASE)).toBeNull();
      expect((await store.claim('worker', START + 10 + DAY, LEASE))?.view.run.recoveries).toBe(1);
    });

    it('gives a free worker the run that is next with the commit of an admission, and nothing with any other', async () => {
      const store = await openStore(heldClock());
      const taker = { owner: 'worker', leaseMs: LEASE };
      const waiting = await givenRun(store, START);
      const decide = (request: DecisionRequest) => store.decide([request], START + 1, admitAlways, taker);
      const [unmatched] = await decide(requestOf({ reason: 'no_match', wishes: [], historyQueries: [] }));
      expect(unmatched).not.toHaveProperty('claimed');
      const [first] = await decide(requestOf());
      expect(first).toMatchObject({ claimed: { view: { run: { id: waiting } } } });
      const [second] = await decide(requestOf({ reason: 'no_match', wishes: [], historyQueries: [] }));
      expect(second).not.toHaveProperty('claimed');
      const admitted = (await store.claim('worker', START + 1, LEASE))?.view.run.id;
      expect(first).toMatchObject({ reason: 'admitted', runId: admitted });
      await store.write([{ type: 'halt', on: true, hard: false, by: 'anna', reason: 'stop' }], START + 2);
      expect((await decide(requestOf()))[0]).not.toHaveProperty('claimed');
    });

    it('shows plan, events and history with the run', async () => {
      const store = await openStore(heldClock());
      const runId = await givenRun(store);
      const claim = await store.claim('worker', START, LEASE);
      expect(claim?.view.plan).toMatchObject({ component: { name: 'cache' }, rule: 'redis-connection-lost' });
      expect(claim?.view.events).toEqual([
        { seq: 1, at: START, event: { type: 'admitted', approval: false, notBefore: START } },
      ]);
      const past = await store.changeRun(runId, claim?.lease ?? null, START, ({ history }) => ({
        events: [],
        projection: null,
        writes: [],
        release: false,
        answer: {
          attempts: history.attempts.map((attempt) => attempt.runId),
          active: history.active.map((run) => run.id),
        },
      }));
      expect(past).toEqual({ attempts: [runId], active: [runId] });
      expect(await store.run(runId)).toEqual({
        run: claim?.view.run,
        plan: claim?.view.plan,
        events: claim?.view.events,
      });
    });

    it('leaves what awaits approval alone', async () => {
      const store = await openStore(heldClock());
      const request = requestOf();
      const runId = ids.next();
      await store.decide([request], START, () => ({
        reason: 'awaiting_approval',
        runId,
        verdicts: [],
        retryAt: null,
        writes: runWrites(request, START, runId, true),
      }));
      expect(await store.claim('worker', START + DAY, LEASE)).toBeNull();
      expect((await store.figures()).approvalsWaiting).toBe(1);
      await store.changeRun(runId, null, START, () =>
        started({
          events: [{ type: 'approved', step: null, by: 'anna', notBefore: START }],
          projection: projectionOf({ state: 'queued' }),
        }),
      );
      expect((await store.claim('worker', START + 1, LEASE))?.view.run.id).toBe(runId);
    });

    it("gives a dead worker's run to another after the lease, with a newer fence, and counts it (F11)", async () => {
      const store = await openStore(heldClock());
      const runId = await givenRun(store);
      const first = await store.claim('worker-1', START, LEASE);
      const lease = first?.lease as Lease;
      await store.changeRun(runId, lease, START, () => started());
      expect(await store.claim('worker-2', START + LEASE, LEASE)).toBeNull();
      const renewed = await store.renew(runId, lease, START + LEASE, LEASE);
      expect(renewed).toEqual({ owner: 'worker-1', fence: 1, until: START + 2 * LEASE });
      expect(await store.claim('worker-2', START + LEASE + 1, LEASE)).toBeNull();
      const second = await store.claim('worker-2', START + 2 * LEASE + 1, LEASE);
      expect(second).toMatchObject({
        lease: { owner: 'worker-2', fence: 2 },
        view: { run: { recoveries: 1, state: 'running' } },
      });
      await expect(store.renew(runId, renewed, START + 2 * LEASE + 1, LEASE)).rejects.toThrow(LeaseLost);
    });

    it('lets a worker whose lease was lost write nothing', async () => {
      const store = await openStore(heldClock());
      const runId = await givenRun(store);
      const old = (await store.claim('worker', START, LEASE))?.lease as Lease;
      const current = (await store.claim('worker', START + LEASE + 1, LEASE))?.lease as Lease;
      let asked = false;
      const late = store.changeRun(runId, old, START + LEASE + 2, () => {
        asked = true;
        return started();
      });
      await expect(late).rejects.toThrow(LeaseLost);
      await expect(store.changeRun(runId, { ...current, owner: 'another' }, START, () => started())).rejects.toThrow(
        LeaseLost,
      );
      expect(asked).toBe(false);
      expect((await store.run(runId))?.events.length).toBe(1);
      expect(await store.changeRun(runId, current, START + LEASE + 2, () => started())).toBe('done');
    });

    it('appends events in order, sets what the fold says, and gives the lease back on release', async () => {
      const store = await openStore(heldClock());
      const runId = await givenRun(store);
      const lease = (await store.claim('worker', START, LEASE))?.lease as Lease;
      await store.changeRun(runId, lease, START + 1, () =>
        started({ events: [{ type: 'claimed', owner: 'worker', fence: 1, recovery: false }, { type: 'started' }] }),
      );
      await store.changeRun(runId, lease, START + 2, (view) => {
        expect(view.events.map((stored) => [stored.seq, stored.event.type])).toEqual([
          [1, 'admitted'],
          [2, 'claimed'],
          [3, 'started'],
        ]);
        return started({ events: [{ type: 'resolved_during_run' }], projection: null, release: true });
      });
      const stored = await store.run(runId);
      expect(stored?.run).toMatchObject({ state: 'running', startedAt: START, leaseOwner: null, fence: 1 });
      expect(stored?.events.at(-1)).toEqual({ seq: 4, at: START + 2, event: { type: 'resolved_during_run' } });
      expect((await store.claim('next', START + 3, LEASE))?.view.run).toMatchObject({
        id: runId,
        fence: 2,
        recoveries: 0,
      });
    });

    it('writes nothing when there is nothing to change, no such run, or what changes it throws', async () => {
      const store = await openStore(heldClock());
      const runId = await givenRun(store);
      expect(await store.changeRun(runId, null, START, () => null)).toBeNull();
      expect(await store.changeRun('none', null, START, () => started())).toBeNull();
      const bug = store.changeRun(runId, null, START, () => {
        throw new RangeError('a bug');
      });
      await expect(bug).rejects.toThrow('a bug');
      const twice = store.changeRun(runId, null, START, () =>
        started({ writes: runWrites(requestOf(), START, runId) }),
      );
      await expect(twice).rejects.toMatchObject({ code: expect.stringMatching(/^SQLITE_CONSTRAINT/) });
      expect((await store.run(runId))?.events.length).toBe(1);
      expect(await store.run('none')).toBeNull();
    });

    it('hands out nothing while halted, neither queued runs nor what a dead worker left (F45)', async () => {
      const store = await openStore(heldClock());
      await givenRun(store, START);
      const left = await givenRun(store, START + 1);
      await store.claim('dead', START + 1, LEASE);
      const halt = { type: 'halt', on: true, hard: false, by: 'anna', reason: 'drill' } as const;
      await store.write([halt], START);
      expect(await store.claim('worker', START + DAY, LEASE)).toBeNull();
      expect((await store.controls()).halt).toMatchObject({
        on: true,
        by: 'anna',
        reason: 'drill',
        at: START + 1,
        hard: false,
      });
      await store.write([{ ...halt, on: false }], START);
      expect(await store.claim('worker', START + DAY, LEASE)).not.toBeNull();
      expect((await store.claim('worker', START + DAY, LEASE))?.view.run.id).toBe(left);
    });

    it('ends a run with its attempt, once', async () => {
      const store = await openStore(heldClock());
      const runId = await givenRun(store);
      await endRun(store, runId, START + 5, { outcome: 'unresolved' });
      expect(await store.activeRuns()).toEqual([]);
      expect((await store.run(runId))?.run).toMatchObject({
        state: 'done',
        outcome: 'unresolved',
        cause: 'step_failed',
        endedAt: START + 5,
      });
      expect(await store.attempts({ component: 'cache', ledger: 'live', since: 0 })).toMatchObject([
        { runId, endedAt: START + 5, outcome: 'unresolved' },
      ]);
      expect(await store.claim('worker', START + DAY, LEASE)).toBeNull();
    });
  });
};

onEveryStore(leases);
