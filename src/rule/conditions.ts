// The conditions of a rule, read into a tree in which every node knows its place and named conditions stand put in.
import { canonical, isObject } from '../base/json.ts';
import type { JsonObject } from '../base/json.ts';
import { didYouMean } from '../base/failure.ts';
import type { Problem } from '../base/failure.ts';
import type { Path, Place, Source } from './source.ts';
import { DEEPEST_CONDITIONS, GROUP_KEYS, LEAF_KEYS, MOST_CONDITIONS, OPERATORS } from './schema.ts';
import type { OperatorName } from './schema.ts';

export type Scalar = string | number | boolean;

type Measured = { readonly at: Place; readonly size: number; readonly depth: number };
export type GroupNode = Measured & {
  readonly type: 'all' | 'any';
  readonly children: readonly ConditionNode[];
  readonly extras: JsonObject;
};
export type NotNode = Measured & { readonly type: 'not'; readonly child: ConditionNode; readonly extras: JsonObject };
export type FactNode = Measured & {
  readonly type: 'fact';
  readonly fact: string;
  readonly params: JsonObject | null;
  readonly operator: OperatorName;
  readonly value: Scalar | readonly Scalar[];
  readonly extras: JsonObject;
};
export type ConditionNode = GroupNode | NotNode | FactNode;

export type Report = (at: Place, code: string, message: string, mend?: string) => void;

/** What a reading needs from outside: where problems go, the named conditions, the check of one comparison. */
export type Reading = {
  readonly source: Source;
  readonly report: Report;
  /** The conditions in conditions/<name>.json; null when they are refused or missing, which is then reported. */
  named(name: string, at: Place): ConditionNode | null;
  check(node: FactNode, at: (key: string) => Place): void;
};

/** A collector that keeps each problem once, whoever meets it. */
export const createReport = (): { readonly report: Report; readonly problems: Problem[] } => {
  const problems: Problem[] = [];
  const seen = new Set<string>();
  return {
    problems,
    report: (at, code, message, mend) => {
      const key = `${code}\n${at.file}\n${at.pointer}\n${message}`;
      if (seen.has(key)) return;
      seen.add(key);
      problems.push({ code, message, ...(mend === undefined ? {} : { mend }), ...at });
    },
  };
};

/** The mend for an unknown name: the nearest known one, else all of them if they are few. */
export const nearest = (word: string, known: readonly string[]): string => {
  const guess = didYouMean(word, known);
  if (guess !== undefined) return `did you mean "${guess}"?`;
  return known.length <= 20
    ? `known are: ${known.join(', ')}`
    : `nothing of that name is among the ${known.length} that are known`;
};

const LONGEST_LIST = 1_000;
const PATH_MEND = 'remove it; facts are flat: a label is "label.<name>", an annotation "annotation.<name>"';
const SORTS = ['all', 'any', 'not', 'condition', 'fact'] as const;

/** Null when something in it was refused; all that is wrong has been reported then. */
export const readConditions = (reading: Reading, path: Path, value: unknown, isRoot: boolean): ConditionNode | null => {
  const { source, report } = reading;
  const at = source.place(path);
  if (!isObject(value)) {
    report(
      at,
      'bad-value',
      'A condition must be an object',
      '{ "fact": ..., "operator": ..., "value": ... }, or all, any, not',
    );
    return null;
  }
  const hasPath = Object.hasOwn(value, 'path');
  if (hasPath) report(source.place([...path, 'path']), 'path-refused', 'A condition may not have a path', PATH_MEND);
  const sorts = SORTS.filter((key) => Object.hasOwn(value, key));
  const sort = sorts[0];
  if (sort === undefined) {
    const [wrong] = Object.keys(value);
    const guess = wrong === undefined ? undefined : didYouMean(wrong, SORTS);
    report(
      at,
      'missing-key',
      'A condition needs one of all, any, not, condition or fact',
      guess === undefined ? undefined : `did you mean "${guess}"?`,
    );
    return null;
  }
  if (sorts.length > 1) {
    report(at, 'bad-value', `A condition has one of ${sorts.join(' and ')}, not both`, 'put one into the other');
    return null;
  }
  const known: readonly string[] = sort === 'fact' ? LEAF_KEYS : GROUP_KEYS;
  const unknown = Object.keys(value).filter((key) => key !== 'path' && !known.includes(key));
  for (const key of unknown)
    report(source.place([...path, key]), 'unknown-key', `Unknown key ${JSON.stringify(key)}`, nearest(key, known));
  if (isRoot && sort === 'fact') {
    report(
      at,
      'bad-value',
      'The outermost condition must be all, any, not or a named condition',
      'put it into { "all": [ ... ] }',
    );
    return null;
  }
  const node = readSort(reading, path, value, sort, at);
  return hasPath || unknown.length > 0 ? null : node;
};

const readSort = (
  reading: Reading,
  path: Path,
  value: Record<string, unknown>,
  sort: (typeof SORTS)[number],
  at: Place,
): ConditionNode | null => {
  const extras = extrasOf(value);
  switch (sort) {
    case 'all':
    case 'any':
      return readGroup(reading, path, value[sort], sort, at, extras);
    case 'not': {
      const child = readConditions(reading, [...path, 'not'], value['not'], false);
      return child === null ? null : { type: 'not', child, at, size: child.size + 1, depth: child.depth + 1, extras };
    }
    case 'condition': {
      const name = value['condition'];
      const place = reading.source.place([...path, 'condition']);
      if (typeof name === 'string') return reading.named(name, place);
      reading.report(
        place,
        'bad-value',
        'A named condition is named by a text',
        'the name of a file in conditions/, without .json',
      );
      return null;
    }
    case 'fact':
      return readFact(reading, path, value, at, extras);
  }
};

const readGroup = (
  reading: Reading,
  path: Path,
  list: unknown,
  sort: 'all' | 'any',
  at: Place,
  extras: JsonObject,
): ConditionNode | null => {
  const place = reading.source.place([...path, sort]);
  if (!Array.isArray(list)) {
    reading.report(place, 'bad-value', `"${sort}" must be a list of conditions`, `"${sort}": [ { ... } ]`);
    return null;
  }
  if (list.length === 0) {
    reading.report(
      place,
      `empty-${sort}`,
      `An empty "${sort}" would match every alert`,
      'put a condition in, or remove the rule',
    );
    return null;
  }
  if (list.length > MOST_CONDITIONS) {
    reading.report(
      place,
      'too-large',
      `"${sort}" has ${list.length} conditions; at most ${MOST_CONDITIONS} are allowed`,
      'use "in" with a list, or split the rule',
    );
    return null;
  }
  const children = list.map((item, index) => readConditions(reading, [...path, sort, index], item, false));
  if (children.includes(null)) return null;
  const whole = children as ConditionNode[];
  const size = whole.reduce((sum, child) => sum + child.size, 1);
  const depth = whole.reduce((deepest, child) => Math.max(deepest, child.depth), 0) + 1;
  return { type: sort, children: whole, at, size, depth, extras };
};

const readFact = (
  reading: Reading,
  path: Path,
  value: Record<string, unknown>,
  at: Place,
  extras: JsonObject,
): ConditionNode | null => {
  const { source, report } = reading;
  const place = (key: string): Place => source.place([...path, key]);
  const { fact, operator, params } = value;
  const missing = ['operator', 'value'].filter((key) => !Object.hasOwn(value, key));
  for (const key of missing)
    report(at, 'missing-key', `The condition has no "${key}"`, '{ "fact": ..., "operator": ..., "value": ... }');
  let sound = missing.length === 0;
  if (typeof fact !== 'string') {
    report(place('fact'), 'bad-value', 'A fact is named by a text', '"fact": "label.env"');
    sound = false;
  }
  if (Object.hasOwn(value, 'operator') && !isOperator(operator)) {
    const name = typeof operator === 'string' ? operator : '';
    if (name.includes(':'))
      report(
        place('operator'),
        'operator-decorator',
        `Operator decorators are not allowed: ${JSON.stringify(name)}`,
        `write the comparison out with "${name.slice(name.lastIndexOf(':') + 1)}" and all, any or not`,
      );
    else
      report(
        place('operator'),
        'unknown-operator',
        `Unknown operator ${JSON.stringify(operator)}`,
        nearest(name, OPERATORS),
      );
    sound = false;
  }
  if (Object.hasOwn(value, 'value') && !isValue(value['value'])) {
    reportValue(report, place('value'), value['value']);
    sound = false;
  }
  if (params !== undefined && !isObject(params)) {
    report(
      place('params'),
      'bad-params',
      'params must be an object',
      'attempts: { "window": "1h", "scope": "component" }',
    );
    sound = false;
  }
  if (!sound) return null;
  const node: FactNode = {
    type: 'fact',
    fact: fact as string,
    params: params === undefined ? null : (params as JsonObject),
    operator: operator as OperatorName,
    value: value['value'] as Scalar | readonly Scalar[],
    at,
    size: 1,
    depth: 1,
    extras,
  };
  reading.check(node, place);
  return node;
};

const reportValue = (report: Report, at: Place, value: unknown): void => {
  if (Array.isArray(value) && value.length > LONGEST_LIST) {
    report(
      at,
      'too-large',
      `The list has ${value.length} values; at most ${LONGEST_LIST} are allowed`,
      'use "matches", or split the rule',
    );
    return;
  }
  if (!isObject(value))
    report(
      at,
      'bad-value',
      'A condition compares with a text, a number, true or false, or a list of these',
      'an absent fact is found with exists',
    );
  else if (Object.hasOwn(value, 'fact') || Object.hasOwn(value, 'path')) {
    if (Object.hasOwn(value, 'fact'))
      report(at, 'value-fact', 'A condition may not compare with another fact', 'write the value itself');
    if (Object.hasOwn(value, 'path')) report(at, 'path-refused', 'A value may not have a path', PATH_MEND);
  } else
    report(
      at,
      'bad-value',
      'A condition compares with a text, a number, true or false, or a list of these',
      'write the value itself',
    );
};

const isOperator = (value: unknown): value is OperatorName => (OPERATORS as readonly unknown[]).includes(value);
const isScalar = (value: unknown): value is Scalar =>
  typeof value === 'string' || typeof value === 'boolean' || (typeof value === 'number' && Number.isFinite(value));
const isValue = (value: unknown): boolean =>
  isScalar(value) ||
  (Array.isArray(value) && value.length > 0 && value.length <= LONGEST_LIST && value.every(isScalar));

const extrasOf = (value: Record<string, unknown>): JsonObject => {
  const { name, priority } = value;
  return { ...(typeof name === 'string' ? { name } : {}), ...(typeof priority === 'number' ? { priority } : {}) };
};

/** Reports conditions that are too deep or too many; true when they may be walked. Named ones that name others can grow without bound. */
export const fits = (node: ConditionNode, report: Report): boolean => {
  if (node.depth > DEEPEST_CONDITIONS) {
    report(
      node.at,
      'too-deep',
      `The conditions are nested ${node.depth} deep; at most ${DEEPEST_CONDITIONS} are allowed`,
      'flatten them',
    );
    return false;
  }
  if (node.size > MOST_CONDITIONS) {
    report(
      node.at,
      'too-large',
      `The rule has more than ${MOST_CONDITIONS} conditions, named ones put in`,
      'use "in" with a list, or split the rule',
    );
    return false;
  }
  return true;
};

/** The json-rules-engine tree, named conditions put in. */
export const toEngineTree = (node: ConditionNode): JsonObject => {
  switch (node.type) {
    case 'all':
    case 'any':
      return { [node.type]: node.children.map(toEngineTree), ...node.extras };
    case 'not':
      return { not: toEngineTree(node.child), ...node.extras };
    case 'fact':
      return {
        fact: node.fact,
        ...(node.params === null ? {} : { params: node.params }),
        operator: node.operator,
        value: node.value,
        ...node.extras,
      };
  }
};

/** Every fact that is read, once. */
export const factsOf = (
  root: ConditionNode,
): ReadonlyArray<{ readonly fact: string; readonly params: JsonObject | null }> => {
  const found = new Map<string, { readonly fact: string; readonly params: JsonObject | null }>();
  const walk = (node: ConditionNode): void => {
    if (node.type === 'fact') found.set(factKey(node.fact, node.params), { fact: node.fact, params: node.params });
    else if (node.type === 'not') walk(node.child);
    else node.children.forEach(walk);
  };
  walk(root);
  return [...found.values()];
};

/** `alertname`, or `attempts{"window":"1h"}`: the name under which a value is recorded. */
export const factKey = (fact: string, params: JsonObject | null | undefined): string =>
  params === null || params === undefined || Object.keys(params).length === 0 ? fact : `${fact}${canonical(params)}`;
