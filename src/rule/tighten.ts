// A rule's own limits, which may only be tighter than what its component has anyway.
import { formatDuration } from '../base/duration.ts';
import type { Report } from './conditions.ts';
import type { Limit, Policy, RuleLimits } from './limits.ts';
import { toMs } from './schema.ts';
import type { LimitsText } from './schema.ts';
import type { Path, Source } from './source.ts';

const HOUR = 3_600_000;
const AT: Path = ['event', 'params', 'limits'];

type Policies = { readonly recovery: Policy; readonly components: ReadonlyMap<string, { readonly policy: Policy }> };

/** `bound` are the components that the rule is for; null: any, and then it is measured against what all inherit from. */
export const readLimits = (
  source: Source,
  text: LimitsText | undefined,
  bound: readonly string[] | null,
  context: Policies,
  report: Report,
): RuleLimits => {
  if (text === undefined) return { attempts: [], cooldownAfterFailure: null };
  const listed = (text.attempts ?? []).map(({ max, per }, index): readonly [Limit, Path] => [
    { max, per: toMs(per) },
    [...AT, 'attempts', index],
  ]);
  const hourly =
    text.max_attempts_per_hour === undefined
      ? []
      : [[{ max: text.max_attempts_per_hour, per: HOUR }, [...AT, 'max_attempts_per_hour']] as const];
  const attempts = [...listed, ...hourly];
  for (const [limit, path] of attempts) {
    if (limit.per === 0) report(source.place(path), 'bad-value', 'A window has to last', '"per": "1h"');
  }
  if (text.cooldown !== undefined && text.cooldown_seconds !== undefined) {
    report(
      source.place([...AT, 'cooldown_seconds']),
      'bad-value',
      'The cooldown is given twice',
      'remove "cooldown_seconds" or "cooldown"',
    );
  }
  const cooldown =
    text.cooldown === undefined
      ? text.cooldown_seconds === undefined
        ? null
        : text.cooldown_seconds * 1_000
      : toMs(text.cooldown.after_failure);
  const cooldownAt: Path =
    text.cooldown === undefined ? [...AT, 'cooldown_seconds'] : [...AT, 'cooldown', 'after_failure'];
  for (const [owner, policy] of policiesOf(bound, context)) {
    for (const [limit, path] of attempts) {
      const most = mostWithin(policy.attempts, limit.per);
      if (limit.per > 0 && limit.max > most) {
        report(
          source.place(path),
          'looser-limit',
          `${limit.max} attempts in ${formatDuration(limit.per)} are more than ${owner} allows: ${most}`,
          `a rule may only tighten: ${most} at most`,
        );
      }
    }
    if (cooldown !== null && cooldown < policy.cooldown.afterFailure) {
      const least = formatDuration(policy.cooldown.afterFailure);
      report(
        source.place(cooldownAt),
        'looser-limit',
        `A cooldown of ${formatDuration(cooldown)} is shorter than ${owner} has: ${least}`,
        `a rule may only tighten: ${least} at least`,
      );
    }
  }
  return { attempts: attempts.map(([limit]) => limit), cooldownAfterFailure: cooldown };
};

const policiesOf = (bound: readonly string[] | null, context: Policies): ReadonlyArray<readonly [string, Policy]> => {
  const own = (bound ?? []).flatMap((name) => {
    const component = context.components.get(name);
    return component === undefined ? [] : [[`the component "${name}"`, component.policy] as const];
  });
  return own.length > 0 ? own : [['"recovery"', context.recovery]];
};

/** How many attempts the limits let through in a window of `per`, at most. */
const mostWithin = (limits: readonly Limit[], per: number): number =>
  limits.reduce((most, limit) => Math.min(most, limit.max * Math.ceil(per / limit.per)), Infinity);
