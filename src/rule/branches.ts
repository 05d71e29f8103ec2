// What can be said of two rules' conditions without an alert: whether one alert could satisfy both, and whether one holds
// whenever the other does. Where that cannot be told, the answer is no: a warning that cries wolf is switched off.
import { canonical, isObject } from '../base/json.ts';
import type { Json, JsonObject } from '../base/json.ts';
import { factKey } from './conditions.ts';
import { operatorHolds } from './operators.ts';
import type { OperatorName } from './schema.ts';

/** A comparison; `negated` by a `not` around it. */
type Term = {
  readonly key: string;
  readonly operator: OperatorName;
  readonly value: Json;
  readonly negated: boolean;
};
/** Terms that must all hold, by fact. */
export type Branch = ReadonlyMap<string, readonly Term[]>;

/** Alternatives multiply; beyond this nothing is said of the rule. */
const MOST_BRANCHES = 256;

/** The alternatives of a condition tree, those that contradict themselves left out; null when there are too many. */
export const branchesOf = (conditions: JsonObject): readonly Branch[] | null => {
  const found = expand(conditions, false);
  return found === null ? null : found.map(toBranch).filter(possible);
};

const expand = (node: Json | undefined, negated: boolean): readonly (readonly Term[])[] | null => {
  if (!isObject(node)) return null;
  const { all, any, not, fact, operator, value, params } = node as Record<string, Json | undefined>;
  if (not !== undefined) return expand(not, !negated);
  if (Array.isArray(all)) return negated ? union(all, true) : product(all, false);
  if (Array.isArray(any)) return negated ? product(any, true) : union(any, false);
  if (typeof fact !== 'string' || value === undefined) return null;
  const key = factKey(fact, isObject(params) ? params : null);
  return [[{ key, operator: operator as OperatorName, value, negated }]];
};

const union = (nodes: readonly Json[], negated: boolean): readonly (readonly Term[])[] | null => {
  const parts = nodes.map((node) => expand(node, negated));
  const whole = parts.flatMap((part) => part ?? []);
  return parts.includes(null) || whole.length > MOST_BRANCHES ? null : whole;
};

const product = (nodes: readonly Json[], negated: boolean): readonly (readonly Term[])[] | null => {
  let whole: readonly (readonly Term[])[] = [[]];
  for (const node of nodes) {
    const part = expand(node, negated);
    if (part === null || part.length * whole.length > MOST_BRANCHES) return null;
    whole = whole.flatMap((left) => part.map((right) => [...left, ...right]));
  }
  return whole;
};

const toBranch = (terms: readonly Term[]): Branch => {
  const branch = new Map<string, readonly Term[]>();
  for (const term of terms) branch.set(term.key, [...(branch.get(term.key) ?? []), term]);
  return branch;
};

const holds = (term: Term, value: Json): boolean => {
  try {
    return operatorHolds(term.operator, value, term.value) !== term.negated;
  } catch {
    return false;
  }
};

/** The values that a fact can have, where its terms name them; null when they do not. */
const valuesOf = (terms: readonly Term[]): readonly Json[] | null => {
  const naming = terms.find(({ operator, negated }) => !negated && (operator === 'equal' || operator === 'in'));
  if (naming === undefined) return null;
  const named: readonly Json[] = Array.isArray(naming.value) ? (naming.value as readonly Json[]) : [naming.value];
  return named.filter((value) => terms.every((term) => holds(term, value)));
};

type Range = { readonly least: number; readonly most: number };

/** Bounds of a number, as its comparisons give them; their ends are taken as outside when the comparison excludes them. */
const rangeOf = (terms: readonly Term[]): Range => {
  let [least, most] = [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY];
  for (const { operator, value, negated } of terms) {
    if (typeof value !== 'number' || negated) continue;
    // Facts that are counted are whole; a hair is enough for the others.
    if (operator === 'greaterThan') least = Math.max(least, value + Number.EPSILON * Math.max(1, Math.abs(value)));
    else if (operator === 'greaterThanInclusive') least = Math.max(least, value);
    else if (operator === 'lessThan') most = Math.min(most, value - Number.EPSILON * Math.max(1, Math.abs(value)));
    else if (operator === 'lessThanInclusive') most = Math.min(most, value);
  }
  return { least, most };
};

const absent = (terms: readonly Term[]): boolean =>
  terms.some(({ operator, value, negated }) => operator === 'exists' && (value === false) !== negated);
const present = (terms: readonly Term[]): boolean =>
  terms.some(({ operator, value, negated }) => (operator === 'exists' ? (value === true) !== negated : !negated));

const termsPossible = (terms: readonly Term[]): boolean => {
  if (absent(terms) && present(terms)) return false;
  const values = valuesOf(terms);
  if (values !== null) return values.length > 0;
  const { least, most } = rangeOf(terms);
  return least <= most;
};

const possible = (branch: Branch): boolean => [...branch.values()].every(termsPossible);

/** Could one alert satisfy both? Only said where they name a common value of something: two rules that have nothing in common might meet, and hardly do. */
export const overlap = (left: Branch, right: Branch): boolean => {
  let common = false;
  for (const [key, terms] of left) {
    const others = right.get(key);
    if (others === undefined || perRule(key)) continue;
    const both = [...terms, ...others];
    if (!termsPossible(both)) return false;
    if (valuesOf(terms) !== null && valuesOf(others) !== null) common = true;
  }
  return common;
};

/** Does `wide` hold whenever `narrow` does? */
export const implies = (narrow: Branch, wide: Branch): boolean =>
  [...wide].every(([key, terms]) => terms.every((term) => entails(narrow.get(key) ?? [], term)));

/** Its value depends on the rule that asks: what one rule reads says nothing of another. */
const perRule = (key: string): boolean => key.includes('"scope":"strategy"');

const entails = (terms: readonly Term[], wanted: Term): boolean => {
  if (perRule(wanted.key)) return false;
  if (terms.some((term) => sameTerm(term, wanted))) return true;
  const values = valuesOf(terms);
  if (values !== null && values.length > 0) return values.every((value) => holds(wanted, value));
  if (wanted.operator === 'exists') return (wanted.value === true) !== wanted.negated ? present(terms) : absent(terms);
  if (wanted.negated || typeof wanted.value !== 'number') return false;
  const { least, most } = rangeOf(terms);
  const { operator, value } = wanted;
  return (
    (operator === 'greaterThan' && least > value) ||
    (operator === 'greaterThanInclusive' && least >= value) ||
    (operator === 'lessThan' && most < value) ||
    (operator === 'lessThanInclusive' && most <= value)
  );
};

const sameTerm = (one: Term, other: Term): boolean =>
  one.operator === other.operator && one.negated === other.negated && canonical(one.value) === canonical(other.value);

/** Whether one of `values` is as the branch wants this fact; true when it wants nothing of it. */
export const satisfiable = (branch: Branch, key: string, values: readonly Json[]): boolean => {
  const terms = branch.get(key) ?? [];
  return terms.length === 0 || values.some((value) => terms.every((term) => holds(term, value)));
};

/** The values that the branch names for a fact, as texts; those under a `not` left out. */
export const namedValues = (branch: Branch, key: string): readonly string[] =>
  (branch.get(key) ?? [])
    .filter(({ negated, operator }) => !negated && operator !== 'exists')
    .flatMap(({ value }): readonly Json[] => (Array.isArray(value) ? (value as readonly Json[]) : [value]))
    .map(String);

/** The branch with one fact fixed, or null when it cannot have that value. It must name values of that fact, or match them. */
export const withValue = (branch: Branch, key: string, value: string): Branch | null => {
  const terms = branch.get(key) ?? [];
  if (!terms.some(({ negated, operator }) => !negated && operator !== 'exists')) return null;
  if (!terms.every((term) => holds(term, value))) return null;
  return new Map([...branch, [key, [{ key, operator: 'equal', value, negated: false }]]]);
};
