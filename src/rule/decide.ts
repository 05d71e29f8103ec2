// Which rule decides about an alert: high priority to low, then by name; the first match wins. Pure but for the promise
// of the engine: the same rules and facts give the same choice, whatever the order of files, deliveries or replicas.
import type { Labels } from '../alert/alert.ts';
import { bare } from '../base/json.ts';
import type { Json, JsonObject } from '../base/json.ts';
import { indexRules } from './candidates.ts';
import type { Candidates } from './candidates.ts';
import { factKey } from './conditions.ts';
import type { KnownFacts } from './checks.ts';
import { evaluateConditions } from './evaluate.ts';
import type { FactValue, ReadFact } from './fact.ts';
import { splitFact } from './fact.ts';
import { digestOfRules } from './load.ts';
import type { Rule } from './rule.ts';

export type RuleSet = {
  /** By priority, high to low, then by name. */
  readonly rules: readonly Rule[];
  readonly digest: string;
  readonly candidates: Candidates;
  /** Beside each rule, the names its conditions read, and those of them whose value depends on the rule that asks. */
  readonly reads: ReadonlyArray<{ readonly names: ReadonlySet<string>; readonly perRule: ReadonlySet<string> }>;
};

export type DecideInput = {
  readonly labels: Labels;
  readonly component: string | null;
  readonly read: ReadFact;
};

export type RuleError = { readonly rule: string; readonly error: string };

export type Choice = {
  readonly winner: Rule | null;
  /** Rules that are shadow by themselves and matched before there was a winner. */
  readonly shadows: readonly Rule[];
  readonly errors: readonly RuleError[];
  /** Names of the rules that the index let through, in the order they are asked in. */
  readonly candidates: readonly string[];
  /** Every value that was read: the value itself, or `{ "value": null, "absent": true }`. `<fact>@<rule>` where it depends on the rule. */
  readonly facts: JsonObject;
  /** The rules that were asked, up to the winner, each with its conditions, their values and results. */
  readonly trace: ReadonlyArray<{
    readonly rule: string;
    readonly digest: string;
    readonly matched: boolean;
    readonly conditions: JsonObject | null;
    readonly error?: string;
  }>;
};

export const createRuleSet = (rules: readonly Rule[], facts: KnownFacts): RuleSet => {
  const ordered = rules.toSorted(
    (left, right) => right.priority - left.priority || (left.name < right.name ? -1 : left.name > right.name ? 1 : 0),
  );
  return {
    rules: ordered,
    digest: digestOfRules(ordered),
    candidates: indexRules(ordered),
    reads: ordered.map((rule) => {
      const names = new Set(rule.facts.map(({ fact }) => fact));
      const perRule = [...names].filter((name) => facts.get(splitFact(facts, name)?.fact ?? '')?.perRule === true);
      return { names, perRule: new Set(perRule) };
    }),
  };
};

export const decide = async (ruleSet: RuleSet, input: DecideInput): Promise<Choice> => {
  const positions = ruleSet.candidates.of(input.labels, input.component);
  const shadows: Rule[] = [];
  const errors: RuleError[] = [];
  const trace: Choice['trace'][number][] = [];
  const known = new Map<string, FactValue>();
  let winner: Rule | null = null;
  for (const position of positions) {
    const rule = ruleSet.rules[position];
    const reads = ruleSet.reads[position];
    if (rule === undefined || reads === undefined) continue;
    const { name, digest } = rule;
    try {
      const read = remember(known, rule, reads.perRule, input.read);
      // One after the other: a rule below the winner is not asked.
      // oxlint-disable-next-line no-await-in-loop
      const { matched, conditions } = await evaluateConditions(rule.conditions, reads.names, read);
      trace.push({ rule: name, digest, matched, conditions });
      if (!matched) continue;
      if (rule.mode === 'shadow') shadows.push(rule);
      else {
        winner = rule;
        break;
      }
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      errors.push({ rule: name, error: message });
      trace.push({ rule: name, digest, matched: false, conditions: null, error: message });
    }
  }
  const candidates = positions.map((position) => ruleSet.rules[position]?.name ?? '');
  return {
    winner,
    shadows,
    errors,
    candidates,
    facts: bare([...known].map(([key, value]) => [key, recorded(value)])),
    trace,
  };
};

/** Each value is computed once and stays the same for the whole decision. */
const remember =
  (known: Map<string, FactValue>, rule: Rule, perRule: ReadonlySet<string>, read: ReadFact) =>
  (fact: string, params: JsonObject): FactValue => {
    const key = perRule.has(fact) ? `${factKey(fact, params)}@${rule.name}` : factKey(fact, params);
    if (!known.has(key)) known.set(key, read(fact, params, rule));
    return known.get(key);
  };

const recorded = (value: FactValue): Json =>
  value === undefined || value === null ? { value: null, absent: true } : value;
