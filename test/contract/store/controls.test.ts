// What switches, the inbox, degraded modes and the outbox promise.
import { describe, expect, it } from '@jest/globals';
import type { Write } from '../../../src/run/writes.ts';
import { HOUR, START, everything, givenRun, heldClock, historyOf, ids } from './given.ts';
import type { OpenStore } from './given.ts';
import { onEveryStore } from './stores.ts';

const entryOf = (
  said: Partial<Extract<Write, { type: 'inbox.open' }>> = {},
): Extract<Write, { type: 'inbox.open' }> => ({
  type: 'inbox.open',
  id: ids.next(),
  kind: 'note',
  dedup: null,
  severity: null,
  component: 'cache',
  target: null,
  runId: null,
  episodeId: null,
  title: 'look',
  body: { a: [1] },
  ...said,
});

const noticeOf = (said: Partial<Extract<Write, { type: 'notify' }>> = {}): Extract<Write, { type: 'notify' }> => ({
  type: 'notify',
  id: ids.next(),
  topic: 'run.done',
  receiver: null,
  severity: 'SEV3',
  component: 'cache',
  target: null,
  runId: null,
  title: 'done',
  body: 'it is',
  ...said,
});

const controls = (openStore: OpenStore): void => {
  describe('switches', () => {
    it('disable a component or a rule until their time is over or someone enables it', async () => {
      const clock = heldClock();
      const store = await openStore(clock);
      const off = { type: 'disable', by: 'anna', reason: 'migration' } as const;
      await store.write(
        [
          { ...off, scope: 'component', name: 'cache', until: START + HOUR },
          { ...off, scope: 'rule', name: 'redis-connection-lost', until: null },
        ],
        START,
      );
      const history = await historyOf(store, START);
      expect(history.componentDisabled).toEqual({ until: START + HOUR, by: 'anna', reason: 'migration' });
      expect(history.ruleDisabled).toEqual({ until: null, by: 'anna', reason: 'migration' });
      expect(
        (await historyOf(store, START, { component: 'redis-connection-lost', rule: 'cache' })).componentDisabled,
      ).toBeNull();
      expect((await historyOf(store, START, { rule: null })).ruleDisabled).toBeNull();
      expect([...(await store.controls()).components]).toEqual([['cache', history.componentDisabled]]);
      expect((await historyOf(store, START + HOUR)).componentDisabled).toBeNull();
      expect((await store.controls()).components.size).toBe(0);
      await store.write(
        [{ ...off, scope: 'rule', name: 'redis-connection-lost', until: START + 9 * HOUR, by: 'ben' }],
        START,
      );
      expect([...(await store.controls()).rules.values()]).toEqual([
        { until: START + 9 * HOUR, by: 'ben', reason: 'migration' },
      ]);
      await store.write([{ type: 'enable', scope: 'rule', name: 'redis-connection-lost', by: 'ben' }], START);
      expect((await store.controls()).rules.size).toBe(0);
    });

    it('show a halt to every admission', async () => {
      const store = await openStore(heldClock());
      expect((await historyOf(store, START)).halt.on).toBe(false);
      await store.write([{ type: 'halt', on: true, hard: true, by: 'anna', reason: 'fire' }], START);
      expect((await historyOf(store, START)).halt).toEqual({
        on: true,
        hard: true,
        until: null,
        by: 'anna',
        reason: 'fire',
        at: START,
        past: [],
      });
    });

    it('keep the halts that a run has waited through, and no other', async () => {
      const store = await openStore(heldClock());
      const halt = (on: boolean, at: number) =>
        store.write([{ type: 'halt', on, hard: false, by: 'anna', reason: 'fire' }], at);
      const past = async () => (await historyOf(store, START)).halt.past;
      await halt(true, START);
      await halt(false, START + HOUR);
      expect(await past()).toEqual([]);
      await givenRun(store, START + 2 * HOUR);
      await halt(true, START + 3 * HOUR);
      // Said again by somebody else, it is the same halt; lifted twice, it was lifted once.
      await halt(true, START + 4 * HOUR);
      await halt(false, START + 5 * HOUR);
      await halt(false, START + 6 * HOUR);
      await halt(true, START + 7 * HOUR);
      await halt(false, START + 8 * HOUR);
      expect(await past()).toEqual([
        [START + 3 * HOUR, START + 5 * HOUR],
        [START + 7 * HOUR, START + 8 * HOUR],
      ]);
    });
  });

  describe('the inbox', () => {
    it('counts what comes again on the open entry, and opens a new one after it was closed', async () => {
      const store = await openStore(heldClock());
      const [first, second, third] = [entryOf({ dedup: 'd' }), entryOf({ dedup: 'd' }), entryOf({ dedup: 'd' })];
      await store.write([first, second, entryOf()], START);
      expect(await store.inbox(first.id)).toMatchObject({ status: 'open', count: 2, body: { a: [1] } });
      expect(await store.inbox(second.id)).toBeNull();
      await store.write([{ type: 'inbox.close', id: first.id, by: 'anna', comment: 'seen' }, third], START + 1);
      expect(await store.inbox(first.id)).toMatchObject({
        status: 'closed',
        closedAt: START + 1,
        closedBy: 'anna',
        comment: 'seen',
      });
      expect(await store.inbox(third.id)).toMatchObject({ status: 'open', count: 1 });
      await store.write([{ type: 'inbox.close', id: first.id, by: 'ben', comment: 'late' }], START + 2);
      expect(await store.inbox(first.id)).toMatchObject({ closedBy: 'anna' });
      expect((await store.figures()).inboxOpen).toBe(2);
    });

    it('closes what a run asked, by kind', async () => {
      const store = await openStore(heldClock());
      const [approval, note] = [entryOf({ kind: 'approval', runId: 'run' }), entryOf({ runId: 'run' })];
      await store.write(
        [approval, note, { type: 'inbox.close_for_run', runId: 'run', kind: 'approval', by: 'anna', comment: 'yes' }],
        START,
      );
      expect((await store.inbox(approval.id))?.status).toBe('closed');
      expect((await store.inbox(note.id))?.status).toBe('open');
    });
  });

  describe('degraded modes', () => {
    it('are on once for a target, since the first time', async () => {
      const store = await openStore(heldClock());
      const on = {
        type: 'degraded',
        mode: 'redis_unavailable',
        on: true,
        component: 'cache',
        target: 'a',
        runId: null,
      } as const;
      await store.write([on], START);
      await store.write([on, { ...on, target: 'b', runId: 'run' }], START + 1);
      expect(await store.degraded()).toEqual([
        { mode: 'redis_unavailable', component: 'cache', target: 'a', runId: null, since: START },
        { mode: 'redis_unavailable', component: 'cache', target: 'b', runId: 'run', since: START + 1 },
      ]);
      expect((await store.snapshot({ component: 'cache', since: 0 })).degraded).toEqual(['redis_unavailable']);
      await store.write(
        [
          { ...on, on: false },
          { ...on, target: 'b', on: false },
        ],
        START + 2,
      );
      expect(await store.degraded()).toEqual([]);
    });
  });

  describe('the outbox', () => {
    it('hands out what is due, in order, until it is sent or given up (F48)', async () => {
      const store = await openStore(heldClock());
      const [first, second] = [noticeOf(), noticeOf()];
      await store.write([first, second], START);
      const due = async (now: number) => (await store.outboxDue(now, 10)).map((row) => row.id);
      expect(await due(START - 1)).toEqual([]);
      expect(await due(START)).toEqual([first.id, second.id]);
      await store.outboxDone(first.id, START, { sent: true });
      await store.outboxDone(second.id, START, { sent: false, error: 'refused', nextAt: START + 10 });
      expect(await due(START + 9)).toEqual([]);
      expect(await store.outboxDue(START + 10, 10)).toMatchObject([
        { id: second.id, tries: 1, error: 'refused', status: 'pending' },
      ]);
      expect((await store.figures()).outboxDepth).toBe(1);
      await store.outboxDone(second.id, START + 10, { sent: false, error: 'refused', nextAt: null });
      expect((await store.list('outbox', { ...everything, filters: { status: 'dead' } })).items).toMatchObject([
        { id: second.id, tries: 2 },
      ]);
      expect((await store.figures()).outboxDepth).toBe(0);
    });

    it('keeps the order of a run to a receiver, and holds no other back (F48)', async () => {
      const store = await openStore(heldClock());
      const runId = await givenRun(store);
      const [first, second, elsewhere, other] = [
        noticeOf({ runId }),
        noticeOf({ runId }),
        noticeOf({ runId, receiver: 'chat' }),
        noticeOf(),
      ];
      await store.write([first, second, elsewhere, other], START);
      await store.outboxDone(first.id, START, { sent: false, error: 'down', nextAt: START + 10 });
      expect((await store.outboxDue(START + 9, 10)).map((row) => row.id)).toEqual([elsewhere.id, other.id]);
      expect((await store.outboxDue(START + 10, 10)).map((row) => row.id)).toEqual([
        first.id,
        second.id,
        elsewhere.id,
        other.id,
      ]);
    });
  });
};

onEveryStore(controls);
