// A plan, a past and an attempt that nothing stands against; tests say what is different.
import { defaultPolicy } from '../../../src/config.ts';
import type { Policy } from '../../../src/rule/limits.ts';
import type { GuardInput } from '../../../src/run/guards.ts';
import type { ActiveRun, Attempt, History } from '../../../src/run/history.ts';
import type { Plan } from '../../../src/run/plan.ts';
import { NOT_ASKED } from '../../../src/run/present.ts';

export const SECOND = 1_000;
export const MINUTE = 60 * SECOND;
export const HOUR = 60 * MINUTE;
export const DAY = 24 * HOUR;
/** A Tuesday. */
export const NOW = Date.UTC(2026, 0, 6, 12);

export const policyOf = (said: Partial<Policy> = {}): Policy => ({ ...defaultPolicy, mode: 'auto', ...said });

export const planOf = (said: Partial<Plan> & { readonly policy?: Policy; readonly on?: string } = {}): Plan => {
  const { on = 'one', ...rest } = said;
  return {
    runbook: { name: 'redis/reconnect', kind: 'redis', strategy: 'reconnect' } as Plan['runbook'],
    inputs: {},
    component: { name: 'cache', kind: 'redis', team: null, allowedActions: [] },
    target: { name: on, connect: {}, labels: {} },
    alert: null,
    confirmable: true,
    rule: 'redis-down',
    rung: 0,
    rungs: 1,
    mode: 'auto',
    manual: null,
    digests: { rule: null, runbook: '', config: '', revision: null },
    policy: policyOf(),
    inventorySize: 4,
    domain: null,
    limits: { attempts: [], cooldownAfterFailure: null },
    ...rest,
  };
};

export const historyOf = (said: Partial<History> = {}): History => ({
  now: NOW,
  version: 1,
  halt: { on: false, by: '', reason: '', at: 0, until: null, hard: false, past: [] },
  componentDisabled: null,
  ruleDisabled: null,
  active: [],
  stuck: null,
  settling: null,
  attempts: [],
  budget: [],
  episode: [],
  exhausted: false,
  breaker: [],
  storm: { targets: 1, firstAt: NOW - HOUR, components: 1 },
  clockSuspectUntil: null,
  ...said,
});

let made = 0;
/** One that ended a minute after it began, and failed. */
export const attemptOf = (said: Partial<Attempt> = {}): Attempt => {
  made += 1;
  const at = said.at ?? NOW - HOUR;
  return {
    id: `attempt-${made}`,
    ledger: 'live',
    runId: `run-${made}`,
    episodeId: 'episode',
    component: 'cache',
    kind: 'redis',
    target: 'one',
    strategy: 'reconnect',
    rule: 'redis-down',
    rung: 0,
    at,
    endedAt: at + MINUTE,
    outcome: 'unresolved',
    cause: 'not_verified',
    domain: null,
    ...said,
  };
};

export const activeOf = (said: Partial<ActiveRun> = {}): ActiveRun => ({
  id: 'other',
  state: 'running',
  component: 'cache',
  kind: 'redis',
  target: 'two',
  episodeId: null,
  ...said,
});

export const inputOf = (said: Partial<GuardInput> = {}): GuardInput => ({
  plan: planOf(),
  history: historyOf(),
  moment: 'admission',
  asking: false,
  approved: false,
  self: null,
  releasedAt: null,
  override: new Set(),
  haltFile: null,
  present: NOT_ASKED,
  ...said,
});
