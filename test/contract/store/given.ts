// What the contract of the store is tried with: a clock that is held still, stores in folders that vanish, and the
// smallest deliveries, requests and runs.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach } from '@jest/globals';
import { systemClock } from '../../../src/base/clock.ts';
import type { Clock } from '../../../src/base/clock.ts';
import { createIds } from '../../../src/base/ids.ts';
import type { JsonObject } from '../../../src/base/json.ts';
import { sha256 } from '../../../src/base/json.ts';
import type { Log } from '../../../src/base/log.ts';
import type {
  Admission,
  Admit,
  DecisionRequest,
  NewAlert,
  NewDelivery,
  Projection,
  Store,
  Wish,
} from '../../../src/port/store.ts';
import { defaultPolicy } from '../../../src/config.ts';
import { NOT_ASKED } from '../../../src/run/present.ts';
import type { Policy } from '../../../src/rule/limits.ts';
import type { RunEvent } from '../../../src/run/events.ts';
import type { Attempt, History, Ledger } from '../../../src/run/history.ts';
import type { Plan } from '../../../src/run/plan.ts';
import type { Write } from '../../../src/run/writes.ts';

export type OpenStore = (clock: Clock) => Promise<Store>;

export const MINUTE = 60_000;
export const HOUR = 60 * MINUTE;
export const DAY = 24 * HOUR;
export const HOLD = 15 * MINUTE;
/** A Tuesday. */
export const START = Date.UTC(2026, 0, 6, 12);

export type HeldClock = Clock & { set(now: number): void };

/** Wall time stands still until it is set; timers run on, since the waiting for locks is real. */
export const heldClock = (start = START): HeldClock => {
  let now = start;
  return { ...systemClock, now: () => now, set: (next) => (now = next) };
};

export const silentLog: Log = { debug() {}, info() {}, warn() {}, error() {}, child: () => silentLog };

export const ids = createIds(systemClock);

const folders: string[] = [];
export const newFolder = (): string => {
  const folder = mkdtempSync(join(tmpdir(), 'amends-store-'));
  folders.push(folder);
  return folder;
};
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

export type AlertSaid = Partial<NewAlert> & { readonly name?: string };

export const alertOf = ({ name = 'RedisDown', ...said }: AlertSaid = {}, index = 0): NewAlert => ({
  id: ids.next(),
  index,
  status: 'firing',
  key: sha256(name),
  labels: { alertname: name },
  annotations: {},
  startsAt: START,
  component: 'cache',
  kind: 'redis',
  target: '10.0.0.7:6379',
  resolveHold: HOLD,
  ...said,
});

export const deliveryOf = (alerts: readonly AlertSaid[], at = START): NewDelivery => ({
  id: ids.next(),
  at,
  source: 'alertmanager',
  body: Buffer.from(JSON.stringify({ alerts: alerts.length })),
  groupSize: alerts.length,
  truncatedAlerts: 0,
  unknownFields: 0,
  alerts: alerts.map((alert, index) => alertOf(alert, index)),
});

const policy: Policy = { ...defaultPolicy, mode: 'auto', resolveHold: HOLD };

/** The store keeps a plan as it is; of the runbook it needs nothing. */
const planFor = (
  component = 'cache',
  target = '10.0.0.7:6379',
  rule: string | null = 'redis-connection-lost',
): Plan => ({
  runbook: { name: 'redis/reconnect' } as Plan['runbook'],
  inputs: {},
  component: { name: component, kind: 'redis', team: null, allowedActions: [] },
  target: { name: target, connect: {}, labels: {} },
  alert: null,
  rule,
  rung: 0,
  rungs: 1,
  mode: 'auto',
  manual: null,
  digests: { rule: null, runbook: 'sha256:0', config: 'sha256:0', revision: null },
  policy,
  limits: { attempts: [], cooldownAfterFailure: null },
  inventorySize: 1,
  domain: null,
  confirmable: true,
});

export type RequestSaid = Partial<DecisionRequest> & { readonly ledger?: Ledger; readonly window?: number };

/** One that asks for admission by one wish; with a `reason` it is settled. */
export const requestOf = ({ ledger = 'live', window = DAY, ...said }: RequestSaid = {}): DecisionRequest => {
  const component = said.component === undefined ? 'cache' : said.component;
  const target = said.target === undefined ? '10.0.0.7:6379' : said.target;
  const rule = said.rule === undefined ? 'redis-connection-lost' : said.rule;
  const wishes: readonly Wish[] =
    (said.reason ?? null) === null && component !== null && target !== null
      ? [{ plan: planFor(component, target, rule), ledger, present: NOT_ASKED }]
      : [];
  return {
    id: ids.next(),
    at: START,
    origin: 'retry',
    caller: null,
    alertId: null,
    deliveryId: null,
    episodeId: null,
    component,
    kind: component === null ? null : 'redis',
    target,
    rule,
    strategy: component === null ? null : 'reconnect',
    reason: null,
    wishes,
    historyQueries: wishes.map((wish) => ({
      component: wish.plan.component.name,
      kind: wish.plan.component.kind,
      target: wish.plan.target.name,
      rule,
      strategy: 'reconnect',
      stormWindow: 5 * MINUTE,
      componentsWindow: 2 * MINUTE,
      episodeId: said.episodeId ?? null,
      ledger: wish.ledger,
      window,
    })),
    version: null,
    record: {},
    writes: [],
    ...said,
  };
};

export const attemptOf = (said: Partial<Attempt> = {}): Attempt => ({
  domain: null,
  id: ids.next(),
  ledger: 'live',
  runId: null,
  episodeId: null,
  component: 'cache',
  kind: 'redis',
  target: '10.0.0.7:6379',
  strategy: 'reconnect',
  rule: 'redis-connection-lost',
  rung: 0,
  at: START,
  endedAt: null,
  outcome: null,
  cause: null,
  ...said,
});

export const runWrites = (request: DecisionRequest, now: number, runId: string, approval = false): readonly Write[] => [
  {
    type: 'run.create',
    run: {
      id: runId,
      decisionId: request.id,
      episodeId: request.episodeId,
      component: request.component ?? '',
      kind: request.kind ?? '',
      target: request.target ?? '',
      strategy: 'reconnect',
      rule: request.rule,
      plan: planFor(request.component ?? '', request.target ?? '', request.rule),
      alertStartedAt: null,
    },
    events: [{ type: 'admitted', approval, notBefore: now }],
  },
  {
    type: 'attempt.add',
    attempt: attemptOf({
      runId,
      episodeId: request.episodeId,
      component: request.component ?? '',
      target: request.target ?? '',
      at: now,
    }),
  },
];

/** Admits whatever is asked, with a run and an attempt. */
export const admitAlways = (wish: Wish, history: History, request: DecisionRequest): Admission => {
  const runId = ids.next();
  return {
    reason: 'admitted',
    runId,
    verdicts: [],
    retryAt: null,
    writes: wish.ledger === 'live' ? runWrites(request, history.now, runId) : [attemptWrite(wish.ledger, history.now)],
  };
};

const attemptWrite = (ledger: Ledger, at: number): Write => ({
  type: 'attempt.add',
  attempt: attemptOf({ ledger, at }),
});

/** Admits below `max` attempts an hour: the smallest cap that can be got wrong. */
export const admitBelow =
  (max: number): Admit =>
  (wish, history, request): Admission => {
    const used = history.attempts.filter((attempt) => attempt.at > history.now - HOUR).length;
    const inputs: JsonObject = { used, max };
    if (used < max)
      return {
        ...admitAlways(wish, history, request),
        verdicts: [{ guard: 'attempts_used_up', passed: true, detail: '', inputs, endsAt: null }],
      };
    return {
      reason: 'attempts_used_up',
      runId: null,
      verdicts: [
        { guard: 'attempts_used_up', passed: false, detail: `${used} of ${max}`, inputs, endsAt: history.now + HOUR },
      ],
      retryAt: history.now + HOUR,
      writes: [],
    };
  };

/** A run of `component`, admitted and queued. */
export const givenRun = async (store: Store, now = START, said: RequestSaid = {}): Promise<string> => {
  const [decided] = await store.decide([requestOf(said)], now, admitAlways);
  if (decided?.type !== 'decided' || decided.runId === null) throw new Error('the run was not admitted');
  return decided.runId;
};

export const projectionOf = (said: Partial<Projection> = {}): Projection => ({
  state: 'running',
  outcome: null,
  cause: null,
  notBefore: START,
  startedAt: null,
  firstStepAt: null,
  verifiedAt: null,
  endedAt: null,
  settleUntil: null,
  ...said,
});

/** Ends a run, by whoever may. */
export const endRun = async (
  store: Store,
  runId: string,
  now: number,
  said: {
    readonly outcome: 'resolved' | 'unresolved' | 'stuck';
    readonly settleUntil?: number | null;
    readonly writes?: readonly Write[];
  },
): Promise<void> => {
  const cause = said.outcome === 'resolved' ? 'verified' : said.outcome === 'stuck' ? 'indeterminate' : 'step_failed';
  const settleUntil = said.settleUntil ?? null;
  const event: RunEvent = { type: 'done', outcome: said.outcome, cause, detail: '', settleUntil };
  await store.changeRun(runId, null, now, () => ({
    events: [event],
    projection: projectionOf({ state: 'done', outcome: said.outcome, cause, endedAt: now, settleUntil }),
    writes: [{ type: 'attempt.end', runId, at: now, outcome: said.outcome, cause }, ...(said.writes ?? [])],
    release: true,
    answer: null,
  }));
};

export const everything = { limit: 1_000, cursor: null, filters: {}, since: null } as const;

/** The history that an admission for `said` would be shown. */
export const historyOf = async (store: Store, now: number, said: RequestSaid = {}) => {
  let seen: Parameters<Admit>[1] | null = null;
  await store.decide([requestOf(said)], now, (_wish, history) => {
    seen = history;
    return { reason: 'busy', runId: null, verdicts: [], retryAt: null, writes: [] };
  });
  if (seen === null) throw new Error('nobody was asked');
  return seen as Parameters<Admit>[1];
};
