// The guards, in the order in which their refusals are named. Each is a pure function of the plan and the past; adding
// one is a line in this list.
import { formatDuration } from '../base/duration.ts';
import type { JsonObject } from '../base/json.ts';
import type { Limit } from '../rule/limits.ts';
import { breakerState } from './breaker.ts';
import { cooldownEnd } from './cooldown.ts';
import type { Attempt, History } from './history.ts';
import { haltedSince } from './halted.ts';
import { maintenanceEnd } from './maintenance.ts';
import type { Plan } from './plan.ts';
import type { Present } from './present.ts';
import type { GuardName } from './reasons.ts';
import { GUARDS } from './reasons.ts';

export type Verdict = {
  readonly guard: GuardName;
  readonly passed: boolean;
  readonly detail: string;
  readonly inputs: JsonObject;
  readonly endsAt: number | null;
};

/** At `admission` everything is asked; at `start` what may have changed since; at a `step`, before a mutating one after a wait, what may stop a run that is under way. */
export type Moment = 'admission' | 'start' | 'step';

export type GuardInput = {
  readonly plan: Plan;
  readonly history: History;
  readonly moment: Moment;
  /** Waits for a human next: neither cooldown nor concurrency hold the question back. */
  readonly asking: boolean;
  /** A human has said yes to this run. */
  readonly approved: boolean;
  /** The run itself, when it is asked again. */
  readonly self: string | null;
  /** When it was admitted or approved; null at admission. */
  readonly releasedAt: number | null;
  readonly override: ReadonlySet<'cooldown'>;
  /** A halt file that is there or cannot be read. */
  readonly haltFile: string | null;
  readonly present: Present;
};

type Guard = {
  readonly name: GuardName;
  readonly moments: readonly Moment[];
  readonly skipManual?: true;
  check(input: GuardInput): Omit<Verdict, 'guard'>;
};

const pass = (inputs: JsonObject = {}, detail = ''): Omit<Verdict, 'guard'> => ({
  passed: true,
  detail,
  inputs,
  endsAt: null,
});
const refuse = (detail: string, inputs: JsonObject, endsAt: number | null): Omit<Verdict, 'guard'> => ({
  passed: false,
  detail,
  inputs,
  endsAt,
});

/** Nobody has to say why. */
const because = (reason: string): string => (reason === '' ? '' : `: ${reason}`);

const BOTH: readonly Moment[] = ['admission', 'start'];
const ALWAYS: readonly Moment[] = ['admission', 'start', 'step'];

const CHECKS: readonly Guard[] = [
  {
    name: 'halted',
    moments: ALWAYS,
    check({ history, haltFile }) {
      if (haltFile !== null) return refuse(haltFile, { file: haltFile }, null);
      const { on, by, reason, at } = history.halt;
      return on ? refuse(`halted by ${by}${because(reason)}`, { by, reason, at }, null) : pass();
    },
  },
  {
    name: 'disabled',
    moments: ALWAYS,
    check({ history }) {
      const found = history.componentDisabled ?? history.ruleDisabled;
      if (found === null || (found.until !== null && found.until <= history.now)) return pass();
      const what = history.componentDisabled === null ? 'the rule' : 'the component';
      return refuse(
        `${what} was disabled by ${found.by}${because(found.reason)}`,
        { by: found.by, reason: found.reason, until: found.until },
        found.until,
      );
    },
  },
  {
    name: 'maintenance',
    moments: ALWAYS,
    check({ plan, history }) {
      const found = maintenanceEnd(plan.policy.maintenance, history.now);
      if (found === null) return pass();
      const { schedule, timezone, reason } = found.window;
      return refuse(
        `maintenance${reason === '' ? '' : `: ${reason}`}`,
        { schedule, timezone, until: found.until },
        found.until,
      );
    },
  },
  {
    name: 'clock',
    moments: BOTH,
    check({ history, asking, approved }) {
      const until = history.clockSuspectUntil;
      if (until === null || until <= history.now) return pass();
      if (asking || approved) return pass({ until }, 'a human decides');
      return refuse('the wall clock jumped: until then a human decides', { until }, until);
    },
  },
  {
    name: 'stale',
    moments: ['start'],
    check({ plan, history, releasedAt }) {
      const since = releasedAt ?? history.now;
      const age = history.now - since - haltedSince(history.halt, since, history.now);
      const limit = plan.policy.stale;
      return age > limit
        ? refuse(
            `waited ${formatDuration(age)}, longer than ${formatDuration(limit)}`,
            { age_ms: age, limit_ms: limit },
            null,
          )
        : pass({ age_ms: age, limit_ms: limit });
    },
  },
  {
    name: 'settling',
    moments: ['admission'],
    skipManual: true,
    check({ history }) {
      const found = history.settling;
      return found === null
        ? pass()
        : refuse(
            `run ${found.runId} was verified and its alert has until then to go quiet`,
            { run_id: found.runId, until: found.until },
            found.until,
          );
    },
  },
  {
    name: 'silenced',
    moments: ALWAYS,
    skipManual: true,
    check({ present }) {
      const { state, detail } = present.alert;
      return state === 'silenced' || state === 'inhibited'
        ? refuse(`${state}: ${detail}`, { state }, null)
        : pass({ state });
    },
  },
  {
    name: 'unconfirmed',
    moments: ALWAYS,
    skipManual: true,
    check({ present }) {
      const { state, detail } = present.alert;
      return state === 'absent' || state === 'unreachable'
        ? refuse(`${state}: ${detail}`, { state }, null)
        : pass({ state });
    },
  },
  { name: 'storm', moments: BOTH, check: checkStorm },
  {
    name: 'unhealthy',
    moments: ALWAYS,
    check({ plan, present }) {
      const { state, value, detail } = present.health;
      const inputs = { state, value, min: plan.policy.minHealthy?.min ?? null };
      return state === 'too_few' || state === 'unknown' ? refuse(detail, inputs, null) : pass(inputs);
    },
  },
  {
    name: 'breaker_open',
    moments: ['admission'],
    check({ plan, history }) {
      const { open, failures, trialAt } = breakerState(history.breaker, plan.policy.breaker);
      const inputs = { failures, limit: plan.policy.breaker.failures, trial_at: trialAt };
      if (!open || trialAt === null) return pass(inputs);
      const strategy = plan.runbook.strategy;
      if (trialAt <= history.now) return pass(inputs, `a trial of ${strategy}`);
      return refuse(
        `${strategy} failed ${failures} times in a row: open until a human closes it, next trial later`,
        inputs,
        trialAt,
      );
    },
  },
  {
    name: 'busy',
    moments: ['admission'],
    check({ plan, history, self }) {
      if (history.stuck !== null)
        return refuse(
          `run ${history.stuck} is stuck on this target until a human closes its inbox entry`,
          { run_id: history.stuck, stuck: true },
          null,
        );
      const other = history.active.find(
        (run) => run.id !== self && run.kind === plan.component.kind && run.target === plan.target.name,
      );
      return other === undefined
        ? pass()
        : refuse(`run ${other.id} is ${other.state} on this target`, { run_id: other.id, state: other.state }, null);
    },
  },
  {
    name: 'concurrency',
    moments: BOTH,
    check({ plan, history, asking, self }) {
      const running = history.active.filter((run) => run.id !== self && run.state !== 'awaiting_approval');
      const here = running.filter((run) => run.component === plan.component.name).length;
      const most = plan.policy.fleet?.maxConcurrent ?? plan.policy.maxConcurrent;
      const inputs = {
        component: here,
        component_limit: most,
        total: running.length,
        total_limit: plan.policy.maxConcurrentTotal,
      };
      if (asking) return pass(inputs, 'asked of a human first');
      if (here >= most) return refuse(`${here} of ${most} runs of the component are under way`, inputs, null);
      return running.length >= plan.policy.maxConcurrentTotal
        ? refuse(`${running.length} of ${plan.policy.maxConcurrentTotal} runs are under way`, inputs, null)
        : pass(inputs);
    },
  },
  {
    name: 'cooldown',
    moments: ['admission'],
    check({ plan, history, asking, override }) {
      const end = restOf(plan, history);
      const inputs = { ends_at: end };
      if (end === null || end <= history.now) return pass(inputs);
      if (override.has('cooldown')) return pass(inputs, 'overridden');
      if (asking) return pass(inputs, 'asked of a human now, started at its end');
      return refuse(
        `the ${plan.policy.fleet === null ? 'component' : 'target'} rests for another ${formatDuration(end - history.now)}`,
        inputs,
        end,
      );
    },
  },
  {
    name: 'attempts_used_up',
    moments: ['admission'],
    check({ plan, history }) {
      const { now } = history;
      const mine = counted(plan, history);
      const scopes: ReadonlyArray<readonly [string, readonly Attempt[], readonly Limit[]]> = [
        [plan.policy.fleet === null ? 'component' : 'target', mine, plan.policy.attempts],
        ['fleet', history.attempts, plan.policy.fleet?.attempts ?? []],
        ['rule', history.attempts.filter(({ rule }) => rule !== null && rule === plan.rule), plan.limits.attempts],
      ];
      for (const [scope, attempts, limits] of scopes) {
        const full = fullWindow(
          attempts.map(({ at }) => at),
          limits,
          now,
        );
        if (full === null) continue;
        const inputs = { scope, max: full.max, per_ms: full.per, used: full.used };
        const whose = scope === 'component' ? '' : ` of the ${scope}`;
        return refuse(`${full.max} attempts${whose} in ${formatDuration(full.per)} are used up`, inputs, full.endsAt);
      }
      return pass({
        windows: scopes.flatMap(([scope, attempts, limits]) =>
          limits.map(({ max, per }) => ({
            scope,
            max,
            per_ms: per,
            used: attempts.filter(({ at }) => inWindow(at, per, now)).length,
          })),
        ),
      });
    },
  },
  {
    name: 'budget',
    moments: ['admission'],
    check({ plan, history }) {
      const full = fullWindow(history.budget, plan.policy.budget, history.now);
      if (full !== null)
        return refuse(
          `${full.max} attempts of all components in ${formatDuration(full.per)} are used up`,
          { max: full.max, per_ms: full.per, used: full.used },
          full.endsAt,
        );
      return pass({
        windows: plan.policy.budget.map((limit) => ({
          max: limit.max,
          per_ms: limit.per,
          used: history.budget.filter((at) => inWindow(at, limit.per, history.now)).length,
        })),
      });
    },
  },
];

/** Above this an inventory is watched for a moment before its first run. */
const SMALL_INVENTORY = 5;

export const stormThreshold = ({ share, min, max }: Plan['policy']['storm'], inventorySize: number): number => {
  const threshold = Math.min(Math.max(min, Math.ceil(share * inventorySize)), max);
  // All of a small inventory at once is one cause too.
  return inventorySize >= 2 ? Math.min(threshold, inventorySize) : threshold;
};

function checkStorm({ plan, history, present, moment }: GuardInput): Omit<Verdict, 'guard'> {
  const { storm } = plan.policy;
  const { targets, firstAt, components } = history.storm;
  const threshold = stormThreshold(storm, plan.inventorySize);
  const inputs = { targets, threshold, components, components_limit: storm.components, truncated: present.truncated };
  if (targets >= threshold)
    return refuse(`${targets} targets at once (${threshold} are a storm)`, { ...inputs, storm: 'targets' }, null);
  if (components >= storm.components)
    return refuse(
      `${components} components at once (${storm.components} are a storm)`,
      { ...inputs, storm: 'components' },
      null,
    );
  if (present.truncated > 0)
    return refuse(
      `Alertmanager left ${present.truncated} alerts of the group out`,
      { ...inputs, storm: 'truncated' },
      null,
    );
  // Nothing began lately: what is asked about is older than the window, and whatever came with it has come.
  const gathered = firstAt === null ? history.now : firstAt + storm.gather;
  // A human who names the target knows whether it is one or many.
  const watches = moment === 'admission' && plan.manual === null && plan.inventorySize > SMALL_INVENTORY;
  if (watches && gathered > history.now) {
    return refuse('gathering: is this one target, or many?', { ...inputs, storm: 'gathering' }, gathered);
  }
  return pass(inputs);
}

/** Where each target has caps of its own, only its attempts count; the fleet's are counted besides. */
const counted = (plan: Plan, history: Pick<History, 'attempts'>): readonly Attempt[] =>
  plan.policy.fleet === null
    ? history.attempts
    : history.attempts.filter((attempt) => attempt.target === plan.target.name);

/** When the rest that this plan has to keep is over, or null when there is none. */
export const restOf = (plan: Plan, history: Pick<History, 'attempts'>): number | null =>
  cooldownEnd(counted(plan, history), plan.policy.cooldown, plan.limits.cooldownAfterFailure);

/** An attempt at `t` counts in every window that has not left it behind: while `now - t < per`. */
export const inWindow = (at: number, per: number, now: number): boolean => now - at < per;

type FullWindow = Limit & { readonly used: number; readonly endsAt: number };

/** The full window that ends last, or null when there is room in each. */
const fullWindow = (times: readonly number[], limits: readonly Limit[], now: number): FullWindow | null => {
  let found: FullWindow | null = null;
  for (const limit of limits) {
    const inside = times.filter((at) => inWindow(at, limit.per, now)).toSorted((left, right) => left - right);
    if (inside.length >= limit.max) {
      const endsAt = (inside[inside.length - limit.max] ?? now) + limit.per;
      if (found === null || endsAt > found.endsAt) found = { ...limit, used: inside.length, endsAt };
    }
  }
  return found;
};

/** Every guard's verdict, in order. All are asked, so that the record can say what else would have refused. */
export const verdictsOf = (input: GuardInput): readonly Verdict[] =>
  CHECKS.filter(
    (guard) => guard.moments.includes(input.moment) && !(guard.skipManual === true && input.plan.manual !== null),
  )
    .toSorted((left, right) => GUARDS.indexOf(left.name) - GUARDS.indexOf(right.name))
    .map((guard) => ({ guard: guard.name, ...guard.check(input) }));

export const firstRefusal = (verdicts: readonly Verdict[]): Verdict | null =>
  verdicts.find((verdict) => !verdict.passed) ?? null;

/** How far back the past is needed for these limits, in milliseconds. */
export const longestWindow = (...limits: ReadonlyArray<readonly Limit[]>): number =>
  Math.max(0, ...limits.flat().map((limit) => limit.per));
