// I11: every decision taken once more from its own record alone, by a second, naive implementation that takes what it
// finds in another order: conditions and verdicts from behind, members of a plan turned round. The same rule, reason and
// plan have to come out, and equal inputs may never have led to different ones.
import { isObject, digest } from '../src/base/json.ts';
import type { Json, JsonObject } from '../src/base/json.ts';
import { operatorHolds } from '../src/rule/operators.ts';
import type { OperatorName } from '../src/rule/schema.ts';
import { planDigest } from '../src/run/admission.ts';
import type { Verdict } from '../src/run/guards.ts';
import type { Plan } from '../src/run/plan.ts';
import { GUARDS } from '../src/run/reasons.ts';
import type { Decision, Known } from './record.ts';

type Say = (what: string) => void;

const list = (value: Json | undefined): readonly Json[] => (Array.isArray(value) ? (value as readonly Json[]) : []);
const object = (value: Json | undefined): JsonObject => (isObject(value) ? value : {});
/** Names stand in records as texts. */
const text = (value: Json | undefined): string => (typeof value === 'string' ? value : JSON.stringify(value ?? null));
const number = (value: Json | undefined): number => (typeof value === 'number' ? value : Number.NaN);

/** The same value, everything in it in another order that means nothing. */
const turned = (value: Json): Json => {
  if (Array.isArray(value)) return (value as readonly Json[]).map(turned);
  if (!isObject(value)) return value;
  return Object.fromEntries(
    Object.entries(value)
      .toReversed()
      .map(([name, inner]) => [name, turned(inner)]),
  );
};

/** Null: it was not looked at. A group's children are asked from behind. */
const holds = (node: JsonObject, facts: JsonObject, rule: string): boolean | null => {
  const children = list(node['all'] ?? node['any']).toReversed();
  const results = new Set(children.map((child) => holds(object(child), facts, rule)));
  if (Array.isArray(node['all'])) return results.has(false) ? false : results.has(null) ? null : true;
  if (Array.isArray(node['any'])) return results.has(true) ? true : results.has(null) ? null : false;
  if (isObject(node['not'])) {
    const inner = holds(object(node['not']), facts, rule);
    return inner === null ? null : !inner;
  }
  if (node['result'] === null) return null;
  const stored = factOf(node, facts, rule);
  return operatorHolds(node['operator'] as OperatorName, stored, node['value']);
};

/** As it is stored with the decision, where it is found under the name alone; else as the condition saw it. */
const factOf = (node: JsonObject, facts: JsonObject, rule: string): Json | undefined => {
  const name = text(node['fact']);
  const plain = node['params'] === undefined ? (facts[`${name}@${rule}`] ?? facts[name]) : undefined;
  const stored = plain === undefined ? (node['actual'] ?? null) : isObject(plain) ? (plain['value'] ?? null) : plain;
  return stored === null ? undefined : stored;
};

/** What a guard has to say of its own inputs at this time; null: its inputs do not tell it all. */
const judged = ({ guard, inputs }: Verdict, now: number): boolean | null => {
  const later = (name: string): boolean => !(number(inputs[name]) > now);
  const full = list(inputs['windows']).some(
    (window) => number(object(window)['used']) >= number(object(window)['max']),
  );
  const room = inputs['windows'] === undefined ? !(number(inputs['used']) >= number(inputs['max'])) : !full;
  switch (guard) {
    case 'silenced':
      return inputs['state'] !== 'silenced' && inputs['state'] !== 'inhibited';
    case 'unconfirmed':
      return inputs['state'] !== 'absent' && inputs['state'] !== 'unreachable';
    case 'unhealthy':
      return inputs['state'] !== 'too_few' && inputs['state'] !== 'unknown';
    case 'storm':
      return inputs['storm'] === 'gathering'
        ? false
        : number(inputs['targets']) < number(inputs['threshold']) &&
            number(inputs['components']) < number(inputs['components_limit']) &&
            number(inputs['truncated']) === 0;
    case 'breaker_open':
      return number(inputs['failures']) < number(inputs['limit']) || later('trial_at');
    case 'concurrency':
      return (
        number(inputs['component']) < number(inputs['component_limit']) &&
        number(inputs['total']) < number(inputs['total_limit'])
      );
    case 'cooldown':
      return later('ends_at');
    case 'attempts_used_up':
    case 'budget':
      return room;
    case 'clock':
    case 'maintenance':
    case 'settling':
      return inputs['until'] === undefined || later('until');
    case 'disabled':
      return inputs['by'] === undefined || (inputs['until'] !== null && later('until'));
    case 'halted':
    case 'busy':
    case 'stale':
      return null;
    default:
      return guard satisfies never;
  }
};

/** The verdicts that gave the decision its reason are the last ones: those of the winner. */
const verdictsOf = (record: JsonObject): readonly Verdict[] =>
  list(list(record['verdicts']).at(-1)) as unknown as readonly Verdict[];

const again = (decision: Decision, say: Say): void => {
  const { id, rule, reason, record } = decision;
  const trace = list(record['trace']).map(object);
  const shadows = new Set(list(record['shadows']));
  const facts = object(record['facts']);
  for (const { rule: name, matched, error, conditions } of trace.toReversed()) {
    if (error !== undefined) continue;
    const found = holds(object(conditions), facts, text(name));
    if (found !== matched)
      say(`decided again, ${text(name)} gives ${found} in the decision ${id}, not ${text(matched)}`);
  }
  const order = list(record['candidates']);
  const winners = trace
    .filter(({ rule: name, matched }) => matched === true && !shadows.has(name as Json))
    .toSorted((left, right) => order.indexOf(left['rule'] ?? null) - order.indexOf(right['rule'] ?? null));
  const winner = winners[0]?.['rule'] ?? null;
  if (reason !== 'undecidable' && trace.length > 0 && winner !== rule)
    say(`decided again, ${text(winner)} wins the decision ${id}, not ${rule}`);
  const verdicts = verdictsOf(record);
  for (const verdict of verdicts) {
    const passes = judged(verdict, number(record['now']));
    // What a human decides, or has overridden, passes with a word about it.
    const excused = verdict.passed && verdict.detail !== '';
    if (passes !== null && passes !== verdict.passed && !excused)
      say(`decided again, the guard ${verdict.guard} of the decision ${id} says ${passes}, not ${verdict.passed}`);
  }
  const refused = verdicts
    .toReversed()
    .filter(({ passed }) => !passed)
    .toSorted((left, right) => GUARDS.indexOf(left.guard) - GUARDS.indexOf(right.guard))[0]?.guard;
  const isGuarded =
    reason === 'admitted' || reason === 'awaiting_approval' || (GUARDS as readonly string[]).includes(reason);
  if (isGuarded && verdicts.length > 0 && (refused ?? reason) !== reason)
    say(`decided again, ${refused} refuses the decision ${id}, not ${reason}`);
  if (refused === undefined && verdicts.length > 0 && (GUARDS as readonly string[]).includes(reason))
    say(`decided again, nothing refuses the decision ${id}, not ${reason}`);
};

/** The plan of the run is the one that was decided on, whatever order its members come in. */
const planned = ({ runs, plans, events, decisions }: Known, say: Say): void => {
  const byRun = new Map(decisions.map((decision) => [decision.run_id, decision]));
  for (const run of runs) {
    const plan = plans.get(run.id) as Plan;
    const decision = byRun.get(run.id);
    const choice = object(list(decision?.record['plans']).at(-1));
    if (choice['digests'] !== undefined && digest(choice['digests']) !== digest({ ...plan.digests }))
      say(`the run ${run.id} has the plan ${digest({ ...plan.digests })}, decided was ${digest(choice['digests'])}`);
    if (decision !== undefined && plan.rule !== decision.rule)
      say(`the run ${run.id} is of ${plan.rule}, decided was ${decision.rule}`);
    const other = planDigest(turned(plan as unknown as Json) as unknown as Plan);
    for (const { event } of events.get(run.id) ?? [])
      if (event.type === 'approval_requested' && event.step === null && event.planDigest !== other)
        say(`the plan of run ${run.id} was asked about as ${event.planDigest}, and is ${other}`);
  }
};

/** Whatever a choice of rule and plan may hang on, and what was chosen. */
const choiceOf = ({ component, target, rule, record }: Decision): { inputs: string; rung: string; choice: string } => {
  const inputs = {
    labels: record['labels'] ?? null,
    facts: record['facts'] ?? null,
    digests: { ...object(record['digests']), rule: null },
    component,
    target,
  };
  const plan = object(list(record['plans']).at(-1));
  const past = { demoted: record['demoted'] ?? null, ledger: plan['ledger'] ?? null, rung: plan['rung'] ?? null };
  return { inputs: digest({ ...inputs, rule }), rung: digest({ ...inputs, rule, past }), choice: digest({ plan }) };
};

const sameChoices = ({ decisions }: Known, say: Say): void => {
  const rules = new Map<string, Decision>();
  const choices = new Map<string, { decision: Decision; choice: string }>();
  const before = new Map<string, string>();
  for (const decision of decisions) {
    if (decision.record['trace'] === undefined || decision.reason === 'undecidable') continue;
    const { rung, choice } = choiceOf(decision);
    const inputs = choiceOf({ ...decision, rule: null }).inputs;
    const other = rules.get(inputs);
    if (other !== undefined && other.rule !== decision.rule)
      say(
        `the decisions ${other.id} and ${decision.id} know the same: ${other.rule} won one, ${decision.rule} the other`,
      );
    rules.set(inputs, decision);
    const chosen = choices.get(rung);
    if (chosen !== undefined && chosen.choice !== choice)
      say(`the decisions ${chosen.decision.id} and ${decision.id} know the same and planned otherwise`);
    choices.set(rung, { decision, choice });
    // Which of two rules is asked first is the same for every alert.
    const catalog = text(object(decision.record['digests'])['catalog']);
    const order = list(decision.record['candidates']).map(text);
    for (const [index, first] of order.entries())
      for (const second of order.slice(index + 1)) {
        if (before.get(`${catalog} ${second} ${first}`) !== undefined)
          say(
            `the decisions ${before.get(`${catalog} ${second} ${first}`)} and ${decision.id} ask ${first} and ${second} in different orders`,
          );
        before.set(`${catalog} ${first} ${second}`, decision.id);
      }
  }
};

export const decidedAgain = (known: Known, say: Say): void => {
  for (const decision of known.decisions) again(decision, say);
  planned(known, say);
  sameChoices(known, say);
};
