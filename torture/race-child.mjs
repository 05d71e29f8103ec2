// One of several processes on one database, without the lock that keeps others out in real life: asks for admission
// again and again, each time at a word that all of them get at once, and writes down each run that it was given.
import { appendFileSync } from 'node:fs';
import { systemClock } from '../dist/base/clock.js';
import { createIds } from '../dist/base/ids.js';
import { defaultPolicy } from '../dist/config.js';
import { admit } from '../dist/run/admission.js';
import { NOT_ASKED } from '../dist/run/present.js';
import { openSqliteStore } from '../dist/store/sqlite.js';

const { folder, ledger, me, tries, batch, now, cap } = JSON.parse(process.argv[2]);
const ids = createIds(systemClock);
const log = { debug() {}, info() {}, warn() {}, error() {}, child: () => log };
const clock = { ...systemClock, now: () => now };
const store = await openSqliteStore({ folder, clock, ids, log, owner: me, acceptEmptyHistory: false, lock: false });
const HOUR = 3_600_000;
const unbounded = [{ max: 1_000_000, per: HOUR }];

/** A target of its own for each try: only the cap holds. */
const planFor = (target) => ({
  runbook: { name: 'shop/mend', strategy: 'mend', summary: '', severity: 'SEV3' },
  inputs: {},
  component: { name: 'shop', kind: 'shop', team: null, allowedActions: [] },
  target: { name: target, connect: {}, labels: {} },
  alert: null,
  confirmable: true,
  rule: 'shop-down',
  rung: 0,
  rungs: 1,
  mode: 'auto',
  manual: null,
  digests: { rule: 'r', runbook: 'b', config: 'c' },
  policy: {
    ...defaultPolicy,
    mode: 'auto',
    attempts: [{ max: cap, per: HOUR }],
    budget: unbounded,
    maxConcurrent: 1_000_000,
    maxConcurrentTotal: 1_000_000,
  },
  inventorySize: 1,
  domain: null,
  limits: { attempts: [], cooldownAfterFailure: null },
});

const requestOf = (number) => {
  const target = `${me}-${number}`;
  const said = { component: 'shop', kind: 'shop', target, rule: 'shop-down', strategy: 'mend' };
  const windows = { window: HOUR, stormWindow: HOUR, componentsWindow: HOUR };
  return {
    ...said,
    id: ids.next(),
    at: now,
    origin: 'manual',
    caller: me,
    alertId: null,
    deliveryId: null,
    episodeId: null,
    reason: null,
    wishes: [{ plan: planFor(target), ledger: 'live', present: NOT_ASKED }],
    historyQueries: [{ ...said, ...windows, episodeId: null, ledger: 'live' }],
    version: null,
    record: {},
    writes: [],
  };
};

/** Some at a time, as deliveries ask. */
const ask = (numbers) =>
  store.decide(numbers.map(requestOf), now, (wish, history, asked) =>
    admit({
      plan: wish.plan,
      ledger: wish.ledger,
      history,
      decisionId: asked.id,
      episodeId: null,
      runId: ids.next(),
      attemptId: ids.next(),
      inboxId: ids.next(),
      notifyId: ids.next(),
      override: new Set(),
      haltFile: null,
      present: wish.present,
    }),
  );

const reasons = {};
let number = 0;
/** Only what is refused anyway is asked for in bulk. */
let size = 1;
const turn = async () => {
  const numbers = Array.from({ length: Math.min(size, tries - number) }, (_, index) => number + index);
  let decided = null;
  // The wait for a lock is not fair: one of several may wait in vain, and asks again.
  while (decided === null)
    decided = await ask(numbers).catch((error) => {
      if (error.name === 'StoreUnavailable') return null;
      throw error;
    });
  for (const { reason, runId } of decided) {
    reasons[reason] = (reasons[reason] ?? 0) + 1;
    if (runId === null) size = batch;
    else appendFileSync(ledger, `${JSON.stringify({ run: runId, by: me })}\n`, { flush: true });
  }
  number += numbers.length;
};

process.send({ ready: true });
while (number < tries) {
  await new Promise((resolve) => void process.once('message', resolve));
  await turn();
  process.send({ asked: number < tries });
}
await store.close();
process.send({ reasons }, () => process.disconnect());
