// What deciding promises: one decision an alert, decision and admission both or neither, and no decision on an old history.
import { describe, expect, it } from '@jest/globals';
import type { Admit } from '../../../src/port/store.ts';
import {
  HOUR,
  START,
  admitAlways,
  admitBelow,
  attemptOf,
  deliveryOf,
  everything,
  givenRun,
  heldClock,
  historyOf,
  ids,
  requestOf,
} from './given.ts';
import type { OpenStore } from './given.ts';
import { onEveryStore } from './stores.ts';

const never: Admit = () => {
  throw new Error('nobody was to be asked');
};

const deciding = (openStore: OpenStore): void => {
  describe('deciding', () => {
    it('gives each alert exactly one decision of its delivery, however often it is tried (I3, F2)', async () => {
      const store = await openStore(heldClock());
      const delivery = deliveryOf([{}, { name: 'other' }]);
      await store.receive([delivery]);
      const [first, second] = delivery.alerts.map((alert) =>
        requestOf({
          origin: 'delivery',
          alertId: alert.id,
          deliveryId: delivery.id,
          reason: 'no_match',
          component: null,
          target: null,
        }),
      );
      if (first === undefined || second === undefined) throw new Error('two alerts were sent');
      expect(await store.decide([first], START, never)).toEqual([
        { type: 'decided', reason: 'no_match', runId: null, retryAt: null, verdicts: [] },
      ]);
      expect((await store.undecided(10)).map((alert) => alert.index)).toEqual([1]);
      const again = { ...requestOf({ origin: 'delivery', alertId: first.alertId }), id: ids.next() };
      expect(await store.decide([again, second], START, never)).toMatchObject([
        { reason: 'no_match' },
        { reason: 'no_match' },
      ]);
      expect((await store.list('decisions', everything)).items.length).toBe(2);
      expect(await store.undecided(10)).toEqual([]);
      expect(await store.alert(first.alertId ?? '')).toMatchObject({ decided: true });
    });

    it('answers a second try of an admitted alert with the run of the first (F2)', async () => {
      const store = await openStore(heldClock());
      const delivery = deliveryOf([{}]);
      await store.receive([delivery]);
      const request = requestOf({ origin: 'delivery', alertId: delivery.alerts[0]?.id ?? null });
      const first = await store.decide([request], START, admitBelow(1));
      expect(await store.decide([{ ...request, id: ids.next() }], START, never)).toEqual(first);
      expect((await store.activeRuns()).length).toBe(1);
    });

    it('keeps what explains it: the record, the time, a list of verdicts for each wish, the version it saw', async () => {
      const store = await openStore(heldClock());
      const request = requestOf({ record: { facts: { severity: 'page' } } });
      const [decided] = await store.decide([request], START, admitBelow(1));
      const row = await store.decision(request.id);
      expect(row).toMatchObject({
        id: request.id,
        reason: 'admitted',
        origin: 'retry',
        component: 'cache',
        runId: decided?.type === 'decided' ? decided.runId : '',
      });
      expect(row?.record).toEqual({
        facts: { severity: 'page' },
        now: START,
        historyVersion: 0,
        verdicts: [
          [{ guard: 'attempts_used_up', passed: true, detail: '', inputs: { used: 0, max: 1 }, endsAt: null }],
        ],
      });
    });

    it('writes nothing of a request whose facts are of an older version, and all of its neighbours', async () => {
      const store = await openStore(heldClock());
      await givenRun(store);
      const { version } = await store.snapshot({ component: 'cache', since: 0 });
      expect(version).toBeGreaterThan(0);
      const old = requestOf({ version: version - 1 });
      const current = requestOf({ version });
      const other = requestOf({ version: 0, component: 'shop', target: 'orders' });
      const decided = await store.decide([old, current, other, requestOf({ version })], START, admitAlways);
      expect(decided.map((answer) => answer.type)).toEqual(['changed', 'decided', 'decided', 'changed']);
      expect(await store.decision(old.id)).toBeNull();
      expect((await store.activeRuns()).map((run) => run.component)).toEqual(['cache', 'cache', 'shop']);
    });

    it('takes reason and run from the last wish and applies the writes of all', async () => {
      const store = await openStore(heldClock());
      const request = requestOf();
      const [wish] = request.wishes;
      const [query] = request.historyQueries;
      if (wish === undefined || query === undefined) throw new Error('a request has a wish');
      const shadow = { ...wish, ledger: 'shadow:slow-queries' as const };
      const both = { ...request, wishes: [shadow, wish], historyQueries: [{ ...query, ledger: shadow.ledger }, query] };
      const asked: string[] = [];
      const [decided] = await store.decide([both], START, (asking, history, of) => {
        asked.push(`${asking.ledger} ${history.attempts.length}`);
        return { ...admitAlways(asking, history, of), reason: asking.ledger === 'live' ? 'admitted' : 'shadow' };
      });
      expect(asked).toEqual(['shadow:slow-queries 0', 'live 0']);
      expect(decided).toMatchObject({ reason: 'admitted' });
      expect((await store.attempts({ component: 'cache', ledger: 'shadow:slow-queries', since: 0 })).length).toBe(1);
      expect((await store.attempts({ component: null, ledger: 'live', since: 0 })).length).toBe(1);
    });

    it('is whole or not at all: what breaks inside takes decision, run and attempt with it (F3)', async () => {
      const store = await openStore(heldClock());
      const good = requestOf();
      const bad = requestOf({
        writes: [
          { type: 'attempt.add', attempt: attemptOf({ id: 'twice' }) },
          { type: 'attempt.add', attempt: attemptOf({ id: 'twice' }) },
        ],
      });
      await expect(store.decide([good, bad], START, admitAlways)).rejects.toMatchObject({
        code: expect.stringMatching(/^SQLITE_CONSTRAINT/),
      });
      expect(await store.decision(good.id)).toBeNull();
      expect(await store.activeRuns()).toEqual([]);
      expect(await store.attempts({ component: null, ledger: 'live', since: 0 })).toEqual([]);
      expect((await historyOf(store, START)).version).toBe(0);
    });

    it('decides ten thousand settled requests while the event loop goes on turning', async () => {
      const store = await openStore(heldClock());
      let turns = 0;
      let going = true;
      const count = (): void => {
        turns += 1;
        if (going) setImmediate(count);
      };
      setImmediate(count);
      await store.decide(
        Array.from({ length: 10_000 }, () => requestOf({ reason: 'duplicate' })),
        START,
        never,
      );
      going = false;
      expect(turns).toBeGreaterThan(30);
    });
  });

  describe('time', () => {
    it('never goes back: an hour set back loosens no cap and moves no admission into the past (F61)', async () => {
      const store = await openStore(heldClock());
      const admit = admitBelow(3);
      for (let round = 0; round < 3; round += 1) await store.decide([requestOf()], START, admit);
      const [refused] = await store.decide([requestOf()], START - HOUR, admit);
      expect(refused).toMatchObject({ reason: 'attempts_used_up', retryAt: START + HOUR });
      expect((await historyOf(store, START - HOUR)).now).toBe(START);
      const claimed = await store.claim('worker', START - HOUR, 30_000);
      expect(claimed?.lease.until).toBe(START + 30_000);
      expect(claimed?.view.now).toBe(START);
      const [later] = await store.decide([requestOf()], START + HOUR, admit);
      expect(later).toMatchObject({ reason: 'admitted' });
    });
  });
};

onEveryStore(deciding);
