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
import type { Answer, AskFact, FactValue, ReadFact } from './fact.ts';
import { splitFact } from './fact.ts';
import { digestOfRules } from './load.ts';
import { openQuestions } from './questions.ts';
import type { Look } from './questions.ts';
import type { Rule } from './rule.ts';

export type RuleSet = {
  /** By priority, high to low, then by name. */
  readonly rules: readonly Rule[];
  readonly digest: string;
  readonly candidates: Candidates;
  readonly reads: readonly Reads[];
};

/** The names that a rule's conditions read, those of them whose value depends on the rule that asks, and those that take I/O. */
type Reads = {
  readonly names: ReadonlySet<string>;
  readonly perRule: ReadonlySet<string>;
  readonly outside: ReadonlySet<string>;
};

export type DecideInput = {
  readonly labels: Labels;
  readonly component: string | null;
  readonly read: ReadFact;
  /** Without it nothing outside can be known. */
  readonly ask?: AskFact;
};

/** `unanswered` is the query that nobody answered, where that is why. */
export type RuleError = { readonly rule: string; readonly error: string; readonly unanswered?: string };

class Unanswered extends Error {
  override readonly name = 'Unanswered';
  readonly query: string;

  constructor(message: string, query: string) {
    super(message);
    this.query = query;
  }
}

export type Choice = {
  readonly winner: Rule | null;
  /** Rules that are shadow by themselves and matched before there was a winner. */
  readonly shadows: readonly Rule[];
  readonly errors: readonly RuleError[];
  /** Those of them above the winner whose rule could have won in its place: nobody knows what should be done. */
  readonly undecided: readonly RuleError[];
  /** Names of the rules that the index let through, in the order they are asked in. */
  readonly candidates: readonly string[];
  /**
   * Every value that was read: the value itself, or `{ "value": null, "absent": true }`. `<fact>@<rule>` where it depends
   * on the rule. What came from outside is `{ "value", "query", "id"? }`, or has a `problem` in place of a value.
   */
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
      const those = (which: 'perRule' | 'outside'): ReadonlySet<string> =>
        new Set([...names].filter((name) => facts.get(splitFact(facts, name)?.fact ?? '')?.[which] === true));
      return { names, perRule: those('perRule'), outside: those('outside') };
    }),
  };
};

export const decide = async (ruleSet: RuleSet, input: DecideInput): Promise<Choice> => {
  const positions = ruleSet.candidates.of(input.labels, input.component);
  const shadows: Rule[] = [];
  const errors: RuleError[] = [];
  const trace: Choice['trace'][number][] = [];
  const undecided: RuleError[] = [];
  const known = new Map<string, FactValue>();
  const asked = new Map<string, Answer>();
  let winner: Rule | null = null;
  for (const position of positions) {
    const rule = ruleSet.rules[position];
    const reads = ruleSet.reads[position];
    if (rule === undefined || reads === undefined) continue;
    const { name, digest } = rule;
    try {
      const local = remember(known, rule, reads.perRule, input.read);
      const answerTo = (fact: string, params: JsonObject): Answer | undefined => asked.get(factKey(fact, params));
      const read = (fact: string, params: JsonObject): FactValue =>
        reads.outside.has(fact) ? answerTo(fact, params)?.value : local(fact, params);
      const isUnasked = (fact: string, params: JsonObject): boolean =>
        reads.outside.has(fact) && answerTo(fact, params) === undefined;
      const look: Look = (fact, params) =>
        isUnasked(fact, params) || answerTo(fact, params)?.problem !== undefined ? null : { value: read(fact, params) };
      if (reads.outside.size > 0) await askOutside(rule, input.ask, asked, look);
      // One after the other: a rule below the winner is not asked.
      const { matched, conditions } = await evaluateConditions(rule.conditions, reads.names, read, isUnasked);
      trace.push({ rule: name, digest, matched, conditions });
      if (!matched) continue;
      if (rule.mode === 'shadow') shadows.push(rule);
      else {
        winner = rule;
        break;
      }
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      const unanswered = error instanceof Unanswered ? { unanswered: error.query } : {};
      errors.push({ rule: name, error: message, ...unanswered });
      if (rule.mode !== 'shadow') undecided.push({ rule: name, error: message, ...unanswered });
      trace.push({ rule: name, digest, matched: false, conditions: null, error: message });
    }
  }
  const candidates = positions.map((position) => ruleSet.rules[position]?.name ?? '');
  return {
    winner,
    shadows,
    errors,
    undecided,
    candidates,
    facts: bare([
      ...[...known].map(([key, value]) => [key, recorded(value)] as const),
      ...[...asked].map(([key, answer]) => [key, recordedAnswer(answer)] as const),
    ]),
    trace,
  };
};

/** Asks what the rule's outcome still hangs on, all of it at once. Throws when any of it cannot be known. */
const askOutside = async (
  rule: Rule,
  ask: AskFact | undefined,
  asked: Map<string, Answer>,
  look: Look,
): Promise<void> => {
  const open = new Map(openQuestions(rule.conditions, look).map((found) => [factKey(found.fact, found.params), found]));
  await Promise.all(
    [...open].map(async ([key, { fact, params }]) => {
      // Another rule may have asked, in vain.
      if (asked.has(key)) return;
      if (ask === undefined) throw new Error('nobody outside can be asked');
      asked.set(key, await ask(fact, params, rule));
    }),
  );
  const failed = [...open.keys()].map((key) => asked.get(key)).find((answer) => answer?.problem !== undefined);
  if (failed?.problem === undefined) return;
  const { problem, unanswered } = failed;
  throw unanswered === undefined ? new Error(problem) : new Unanswered(problem, unanswered);
};

/** Each value is computed once and stays the same for the whole decision. */
const remember =
  (known: Map<string, FactValue>, rule: Rule, perRule: ReadonlySet<string>, read: ReadFact) =>
  (fact: string, params: JsonObject): FactValue => {
    const key = perRule.has(fact) ? `${factKey(fact, params)}@${rule.name}` : factKey(fact, params);
    if (!known.has(key)) known.set(key, read(fact, params, rule));
    return known.get(key);
  };

const recordedAnswer = ({ value, problem, shown }: Answer): Json => ({
  value: value ?? null,
  ...shown,
  ...(problem === undefined ? {} : { problem }),
});

const recorded = (value: FactValue): Json =>
  value === undefined || value === null ? { value: null, absent: true } : value;
