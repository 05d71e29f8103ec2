// Two rules that undo each other's work on one target: each repairs what the other's effect has raised, for ever, and each
// run looks well by itself. Seen from the order of the attempts alone.
import type { Attempt } from './history.ts';
import type { Plan } from './plan.ts';

/** Rules that take turns in a circle: two that alternate, or three. */
const CIRCLES = [2, 3];

type Turn = { readonly rule: string; readonly strategy: string };

const same = (one: Turn | undefined, other: Turn | undefined): boolean =>
  one !== undefined && one.rule === other?.rule && one.strategy === other.strategy;

/** What one rule tried several times in a row is one turn: a ladder, or a retry. */
const turnsOf = (attempts: readonly Turn[]): readonly Turn[] =>
  attempts.filter((attempt, place) => attempts[place - 1]?.rule !== attempt.rule);

/**
 * The rules whose turns would come round a second time if the plan ran now (A, B, A, then B), or null. Counted within the
 * longest window of the component's attempts, on the plan's own target.
 */
export const pingPong = (plan: Plan, attempts: readonly Attempt[], now: number): readonly Turn[] | null => {
  if (plan.rule === null) return null;
  const window = Math.max(0, ...plan.policy.attempts.map(({ per }) => per));
  const before = attempts.flatMap(({ kind, target, rule, strategy, at }) =>
    rule !== null && kind === plan.component.kind && target === plan.target.name && now - at < window
      ? [{ rule, strategy }]
      : [],
  );
  const turns = turnsOf([...before, { rule: plan.rule, strategy: plan.runbook.strategy }]);
  for (const length of CIRCLES) {
    const lately = turns.slice(-2 * length);
    const circle = lately.slice(0, length);
    const distinct = new Set(circle.map(({ rule }) => rule)).size === length;
    if (lately.length === 2 * length && distinct && circle.every((turn, place) => same(turn, lately[place + length])))
      return circle;
  }
  return null;
};
