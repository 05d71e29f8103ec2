// What a scrape is told of the store is what counting would say, whatever was done before.
import { afterEach, describe, expect, it } from '@jest/globals';
import { assert, array, asyncProperty, constantFrom, nat, record } from 'fast-check';
import { systemClock } from '../../../src/base/clock.ts';
import type { Store } from '../../../src/port/store.ts';
import { openSqliteStore } from '../../../src/store/sqlite.ts';
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
  heldClock,
  ids,
  newFolder,
  requestOf,
  runWrites,
  silentLog,
} from './given.ts';
import { onEveryStore } from './stores.ts';

const NAMES = ['a', 'b', 'c', 'd'] as const;
const COMPONENTS = ['cache', 'shop', null] as const;
type Step = { readonly name: string; readonly choice: number; readonly now: number };
type Verb = (store: Store, step: Step) => Promise<unknown>;

/** The verbs that open or close something, each in the ways that it can go. */
const VERBS: Readonly<Record<string, Verb>> = {
  receive: (store, { name, choice, now }) =>
    store.receive([
      deliveryOf(
        [
          { name, status: choice % 3 === 0 ? 'resolved' : 'firing' },
          choice % 5 === 0 ? { name, key: null } : { name: `${name}${choice % 2}` },
        ],
        now,
      ),
    ]),
  async decide(store, { choice, now }) {
    const [alert] = await store.undecided(5);
    if (alert === undefined) return;
    const said = { origin: 'delivery', alertId: alert.alertId, deliveryId: alert.deliveryId } as const;
    const request = requestOf(choice % 2 === 0 ? { ...said, reason: 'no_match' } : said);
    const runId = ids.next();
    const verdict = { verdicts: [], retryAt: null };
    await store.decide([request, requestOf({ ...said, reason: 'no_match' })], now, (wish, history, asked) =>
      choice % 3 === 0
        ? {
            ...verdict,
            reason: 'awaiting_approval',
            runId,
            writes: runWrites(asked, history.now, runId, true),
          }
        : admitAlways(wish, history, asked),
    );
  },
  async end(store, { choice, now }) {
    const runs = await store.activeRuns();
    const run = runs[choice % Math.max(1, runs.length)];
    if (run !== undefined) await endRun(store, run.id, now, { outcome: choice % 2 === 0 ? 'resolved' : 'stuck' });
  },
  sweep: (store, { choice, now }) => store.sweepEpisodes(now, () => (choice % 2) * HOLD, () => HOUR * (1 + (choice % 3))), // prettier-ignore
  prune: (store, { now }) => store.prune(now - HOUR, 3),
  ask: (store, { name, choice, now }) =>
    store.write(
      [
        {
          type: 'inbox.open',
          id: ids.next(),
          kind: (['escalation', 'note', 'approval'] as const)[choice % 3] ?? 'note',
          dedup: [null, `exhausted:${name}`, 'storm:cache', 'storm:*'][choice % 4] ?? null,
          severity: null,
          component: COMPONENTS[choice % COMPONENTS.length] ?? null,
          target: null,
          runId: null,
          episodeId: null,
          title: name,
          body: {},
          page: { id: ids.next(), topic: 't', body: '' },
        },
      ],
      now,
    ),
  async answer(store, { choice, now }) {
    const { items } = await store.list('inbox', everything);
    const entry = items[choice % Math.max(1, items.length)];
    if (entry !== undefined) await store.write([{ type: 'inbox.close', id: entry.id, by: 'ann', comment: '' }], now);
  },
  async tell(store, { choice, now }) {
    const [message] = await store.outboxDue(now, 5);
    if (message === undefined) return;
    const nextAt = [now + MINUTE, null][choice % 2] ?? null;
    await store.outboxDone(message.id, now, choice % 3 === 0 ? { sent: true } : { sent: false, error: 'x', nextAt });
  },
  /** What a transaction that fails had begun is not counted. */
  async fail(store, { name, now }) {
    const twice = deliveryOf([{ name }, { name: `${name}!` }], now);
    await expect(store.receive([twice, twice])).rejects.toBeDefined();
  },
};

const expectCounted = async (store: Store): Promise<Readonly<Record<string, number>>> => {
  const [figures, alerts, episodes, inbox, outbox, runs] = await Promise.all([
    store.figures(),
    store.list('alerts', everything),
    store.list('episodes', everything),
    store.list('inbox', everything),
    store.list('outbox', everything),
    store.activeRuns(),
  ]);
  const open = inbox.items.filter(({ status }) => status === 'open');
  const escalations = open.filter(({ kind }) => kind === 'escalation');
  const pending = outbox.items.filter(({ status }) => status === 'pending');
  const oldest = (times: readonly number[]): number | null => (times.length === 0 ? null : Math.min(...times));
  const counted = {
    undecided: alerts.items.filter(({ decided }) => !decided).length,
    openEpisodes: episodes.items.filter(({ state }) => state !== 'closed').length,
    inboxOpen: open.length,
    outboxDepth: pending.length,
    approvalsWaiting: runs.filter(({ state }) => state === 'awaiting_approval').length,
  };
  expect(figures).toMatchObject({
    ...counted,
    oldestOutboxAt: oldest(pending.map(({ at }) => at)),
    oldestUndecidedAt: oldest(alerts.items.flatMap(({ decided, at }) => (decided ? [] : [at]))),
  });
  expect(figures.storms.toSorted()).toEqual(
    open.flatMap(({ dedup }) => (dedup?.startsWith('storm:') === true ? [dedup.slice(6)] : [])).toSorted(),
  );
  for (const component of ['cache', 'shop', '*']) {
    const said = figures.openEscalations.find((one) => one.component === component)?.open ?? 0;
    const rows = escalations.filter((entry) => (entry.component ?? '*') === component);
    expect([component, said]).toEqual([component, rows.length]);
  }
  return { ...counted, escalations: escalations.length, storms: figures.storms.length };
};

onEveryStore((openStore) => {
  describe('the figures', () => {
    it('C9 say what counting says, after any sequence of what opens and closes something', async () => {
      const steps = array(
        record({
          verb: constantFrom(...Object.keys(VERBS)),
          name: constantFrom(...NAMES),
          choice: nat(59),
          later: nat(40),
        }),
        { minLength: 20, maxLength: 60 },
      );
      const most: Record<string, number> = {};
      await assert(
        asyncProperty(steps, async (walk) => {
          const store = await openStore(heldClock());
          let now = START;
          for (const { verb, name, choice, later } of walk) {
            now += later * MINUTE;
            await VERBS[verb]?.(store, { name, choice, now });
            for (const [figure, value] of Object.entries(await expectCounted(store)))
              most[figure] = Math.max(most[figure] ?? 0, value);
          }
          await store.close();
        }),
        { numRuns: 15, endOnFailure: true },
      );
      // A walk in which nothing is ever open would prove nothing.
      for (const [figure, value] of Object.entries(most)) expect([figure, value > 0]).toEqual([figure, true]);
    }, 60_000);
  });
});

describe('the figures of a store that several processes share', () => {
  const opened: Store[] = [];
  afterEach(async () => {
    for (const store of opened.splice(0)) await store.close();
  });

  it('C9 F40 are the same through each of them, breakers included', async () => {
    const folder = newFolder();
    const [one, other] = await Promise.all(
      [1, 2].map(
        () =>
        openSqliteStore({ folder, clock: systemClock, ids, log: silentLog, owner: 't', acceptEmptyHistory: false, lock: false }), // prettier-ignore
      ),
    );
    if (one === undefined || other === undefined) throw new Error('two were opened');
    opened.push(one, other);
    const pair = [{ component: 'cache', strategy: 'reconnect' }];
    expect(await one.breakerAttempts(pair)).toEqual([[]]);
    await other.receive([deliveryOf([{ name: 'a' }, { name: 'b' }])]);
    await one.receive([deliveryOf([{ name: 'a' }, { name: 'c' }])]);
    const [decided] = await other.decide([requestOf()], START, admitAlways);
    const runId = decided?.type === 'decided' ? (decided.runId ?? '') : '';
    await endRun(other, runId, START + DAY, { outcome: 'unresolved' });
    expect(await expectCounted(one)).toMatchObject({ undecided: 4, openEpisodes: 3 });
    expect(await one.figures()).toEqual(await other.figures());
    const [judged = []] = await one.breakerAttempts(pair);
    expect(judged.map((attempt) => attempt.runId)).toEqual([runId]);
  });
});
