// The guards, in the order in which their refusals are named. Each is a pure function of the plan and the past; adding
// one is a line in this list.
import { formatDuration } from '../base/duration.ts';
import type { JsonObject } from '../base/json.ts';
import type { Limit } from '../rule/limits.ts';
import { cooldownEnd } from './cooldown.ts';
import type { Attempt, History } from './history.ts';
import type { Plan } from './plan.ts';
import type { GuardName } from './reasons.ts';
import { GUARDS } from './reasons.ts';

export type Verdict = {
  readonly guard: GuardName;
  readonly passed: boolean;
  readonly detail: string;
  readonly inputs: JsonObject;
  readonly endsAt: number | null;
};

/** At `admission` everything is asked; at `start`, right before the first effect, only what may have changed meanwhile. */
export type Moment = 'admission' | 'start';

export type GuardInput = {
  readonly plan: Plan;
  readonly history: History;
  readonly moment: Moment;
  /** Waits for a human next: neither cooldown nor concurrency hold the question back. */
  readonly asking: boolean;
  /** The run itself, when it is asked again. */
  readonly self: string | null;
  /** When it was admitted or approved; null at admission. */
  readonly releasedAt: number | null;
  readonly override: ReadonlySet<'cooldown'>;
  /** A halt file that is there or cannot be read. */
  readonly haltFile: string | null;
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

const BOTH: readonly Moment[] = ['admission', 'start'];

const CHECKS: readonly Guard[] = [
  {
    name: 'halted',
    moments: BOTH,
    check({ history, haltFile }) {
      if (haltFile !== null) return refuse(haltFile, { file: haltFile }, null);
      const { on, by, reason, at } = history.halt;
      return on ? refuse(`halted by ${by}: ${reason}`, { by, reason, at }, null) : pass();
    },
  },
  {
    name: 'disabled',
    moments: BOTH,
    check({ history }) {
      const found = history.componentDisabled ?? history.ruleDisabled;
      if (found === null || (found.until !== null && found.until <= history.now)) return pass();
      const what = history.componentDisabled === null ? 'the rule' : 'the component';
      return refuse(
        `${what} was disabled by ${found.by}: ${found.reason}`,
        { by: found.by, reason: found.reason, until: found.until },
        found.until,
      );
    },
  },
  {
    name: 'stale',
    moments: ['start'],
    check({ plan, history, releasedAt }) {
      const age = history.now - (releasedAt ?? history.now);
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
      const inputs = {
        component: here,
        component_limit: plan.policy.maxConcurrent,
        total: running.length,
        total_limit: plan.policy.maxConcurrentTotal,
      };
      if (asking) return pass(inputs, 'asked of a human first');
      if (here >= plan.policy.maxConcurrent)
        return refuse(`${here} of ${plan.policy.maxConcurrent} runs of the component are under way`, inputs, null);
      return running.length >= plan.policy.maxConcurrentTotal
        ? refuse(`${running.length} of ${plan.policy.maxConcurrentTotal} runs are under way`, inputs, null)
        : pass(inputs);
    },
  },
  {
    name: 'cooldown',
    moments: ['admission'],
    check({ plan, history, asking, override }) {
      const end = cooldownEnd(history.attempts, plan.policy.cooldown, plan.limits.cooldownAfterFailure);
      const inputs = { ends_at: end };
      if (end === null || end <= history.now) return pass(inputs);
      if (override.has('cooldown')) return pass(inputs, 'overridden');
      if (asking) return pass(inputs, 'asked of a human now, started at its end');
      return refuse(`the component rests for another ${formatDuration(end - history.now)}`, inputs, end);
    },
  },
  {
    name: 'attempts_used_up',
    moments: ['admission'],
    check({ plan, history }) {
      const all = fullWindow(
        history.attempts.map((attempt) => attempt.at),
        plan.policy.attempts,
        history.now,
      );
      if (all !== null)
        return refuse(
          `${all.max} attempts in ${formatDuration(all.per)} are used up`,
          { scope: 'component', max: all.max, per_ms: all.per, used: all.used },
          all.endsAt,
        );
      const own = fullWindow(ofRule(history.attempts, plan.rule), plan.limits.attempts, history.now);
      if (own !== null)
        return refuse(
          `${own.max} attempts of the rule in ${formatDuration(own.per)} are used up`,
          { scope: 'rule', max: own.max, per_ms: own.per, used: own.used },
          own.endsAt,
        );
      return pass({
        windows: plan.policy.attempts.map((limit) => ({
          max: limit.max,
          per_ms: limit.per,
          used: history.attempts.filter((attempt) => inWindow(attempt.at, limit.per, history.now)).length,
        })),
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

const ofRule = (attempts: readonly Attempt[], rule: string | null): readonly number[] =>
  attempts.filter((attempt) => rule !== null && attempt.rule === rule).map((attempt) => attempt.at);

/** An attempt at `t` counts in every window that has not left it behind: while `now - t < per`. */
const inWindow = (at: number, per: number, now: number): boolean => now - at < per;

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
