// What a condition can ask of a fact. The engine's own operators are replaced: they let the text "5" be greater than 3
// and an absent label be unequal to anything. Here a comparison of the wrong types, or of nothing, never holds.
import { BlockList, isIP } from 'node:net';
import { Operator } from 'json-rules-engine';
import { RE2JS } from 're2js';
import type { OperatorName } from './schema.ts';

/** True for an absent fact in the engine's own version: these need an `exists` beside them. */
export const NEGATIVE: ReadonlySet<OperatorName> = new Set<OperatorName>(['notEqual', 'notIn', 'doesNotContain']);
export const NUMERIC: ReadonlySet<OperatorName> = new Set<OperatorName>([
  'lessThan',
  'lessThanInclusive',
  'greaterThan',
  'greaterThanInclusive',
]);
export const TEXTUAL: ReadonlySet<OperatorName> = new Set<OperatorName>([
  'contains',
  'doesNotContain',
  'matches',
  'startsWith',
  'endsWith',
  'cidr',
]);
export const LISTED: ReadonlySet<OperatorName> = new Set<OperatorName>(['in', 'notIn']);

const LONGEST_PATTERN = 1_000;
/** Instructions of the compiled program: with these bounds 10 kB are matched in well under 50 ms, whatever the pattern. */
const LARGEST_PROGRAM = 2_000;
const MOST_KEPT = 10_000;

export type Pattern = { matches(text: string): boolean };
type Compiled = Pattern | { readonly error: string };

const patterns = new Map<string, Compiled>();

/** RE2 syntax, linear time; as in Prometheus the whole text must match. */
export const compilePattern = (source: string): Compiled => {
  const known = patterns.get(source);
  if (known !== undefined) return known;
  const made = makePattern(source);
  if (patterns.size >= MOST_KEPT) patterns.clear();
  patterns.set(source, made);
  return made;
};

const makePattern = (source: string): Compiled => {
  if (source.length > LONGEST_PATTERN) return { error: `longer than ${LONGEST_PATTERN} characters` };
  try {
    const regex = RE2JS.compile(source, RE2JS.DOTALL);
    if (regex.programSize() > LARGEST_PROGRAM) return { error: 'too large: its repetitions multiply' };
    return { matches: (text) => regex.testExact(text) };
  } catch (error) {
    return { error: error instanceof Error ? error.message : String(error) };
  }
};

const networks = new Map<string, { contains(address: string): boolean } | null>();

/** Null: not a network. `10.0.0.7` alone is the network of that one address. */
export const compileNetwork = (text: string): { contains(address: string): boolean } | null => {
  const known = networks.get(text);
  if (known !== undefined) return known;
  const made = makeNetwork(text);
  if (networks.size >= MOST_KEPT) networks.clear();
  networks.set(text, made);
  return made;
};

const makeNetwork = (text: string): { contains(address: string): boolean } | null => {
  const match = /^([0-9a-fA-F.:]+)(?:\/(\d{1,3}))?$/.exec(text);
  const address = match?.[1] ?? '';
  const family = isIP(address);
  if (family === 0) return null;
  const longest = family === 4 ? 32 : 128;
  const prefix = match?.[2] === undefined ? longest : Number(match[2]);
  if (prefix > longest) return null;
  const list = new BlockList();
  list.addSubnet(address, prefix, family === 4 ? 'ipv4' : 'ipv6');
  return {
    contains: (candidate) => isIP(candidate) !== 0 && list.check(candidate, isIP(candidate) === 4 ? 'ipv4' : 'ipv6'),
  };
};

/** The address of `10.0.0.7`, `10.0.0.7:6379`, `[::1]:6379` or `::1`: what the label `instance` holds. */
const addressOf = (text: string): string => {
  const bracketed = /^\[([^\]]+)\](?::\d+)?$/.exec(text);
  if (bracketed !== null) return bracketed[1] ?? '';
  const withPort = /^([0-9.]+):\d+$/.exec(text);
  return withPort?.[1] ?? text;
};

/** A label with an empty value is no label, as in Prometheus. */
const isThere = (value: unknown): boolean => value !== undefined && value !== null && value !== '';

const defined = (value: unknown): boolean => value !== undefined && value !== null;
const bothNumbers = (left: unknown, right: unknown): boolean => Number.isFinite(left) && Number.isFinite(right);
const bothTexts = (left: unknown, right: unknown): left is string =>
  typeof left === 'string' && typeof right === 'string';
const isIn = (fact: unknown, list: unknown): boolean => Array.isArray(list) && list.includes(fact);
const anyOf = (value: unknown): unknown[] => (Array.isArray(value) ? value : [value]);

const holds: Readonly<Record<OperatorName, (fact: unknown, value: unknown) => boolean>> = {
  equal: (fact, value) => defined(fact) && fact === value,
  notEqual: (fact, value) => defined(fact) && fact !== value,
  in: (fact, value) => defined(fact) && isIn(fact, value),
  notIn: (fact, value) => defined(fact) && Array.isArray(value) && !isIn(fact, value),
  lessThan: (fact, value) => bothNumbers(fact, value) && (fact as number) < (value as number),
  lessThanInclusive: (fact, value) => bothNumbers(fact, value) && (fact as number) <= (value as number),
  greaterThan: (fact, value) => bothNumbers(fact, value) && (fact as number) > (value as number),
  greaterThanInclusive: (fact, value) => bothNumbers(fact, value) && (fact as number) >= (value as number),
  contains: (fact, value) => bothTexts(fact, value) && fact.includes(value as string),
  doesNotContain: (fact, value) => bothTexts(fact, value) && !fact.includes(value as string),
  exists: (fact, value) => typeof value === 'boolean' && isThere(fact) === value,
  matches: (fact, value) => {
    if (!bothTexts(fact, value)) return false;
    const pattern = compilePattern(value as string);
    if ('error' in pattern) throw new Error(`not a pattern: ${pattern.error}`);
    return pattern.matches(fact);
  },
  startsWith: (fact, value) => bothTexts(fact, value) && fact.startsWith(value as string),
  endsWith: (fact, value) => bothTexts(fact, value) && fact.endsWith(value as string),
  cidr: (fact, value) =>
    typeof fact === 'string' &&
    anyOf(value).some(
      (network) => typeof network === 'string' && (compileNetwork(network)?.contains(addressOf(fact)) ?? false),
    ),
};

/** Whether `operator` holds between a fact's value and a condition's. */
export const operatorHolds = (operator: OperatorName, fact: unknown, value: unknown): boolean =>
  holds[operator](fact, value);

/** For an Engine: ours take the place of its own of the same name. They hold no state, so all engines share them. */
export const engineOperators: readonly Operator[] = (Object.keys(holds) as OperatorName[]).map(
  (name) => new Operator(name, holds[name]),
);
