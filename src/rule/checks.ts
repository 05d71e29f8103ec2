// What is refused of a condition that is well-formed: comparisons that cannot hold or would hold by accident, and rules
// that are about no alert in particular.
import { z } from 'zod';
import type { JsonObject } from '../base/json.ts';
import { didYouMean } from '../base/failure.ts';
import { LISTED, NEGATIVE, NUMERIC, TEXTUAL, compileNetwork, compilePattern } from './operators.ts';
import { factKey, nearest } from './conditions.ts';
import type { ConditionNode, FactNode, Report, Scalar } from './conditions.ts';
import { splitFact } from './fact.ts';
import type { KnownFact } from './fact.ts';
import type { OperatorName } from './schema.ts';
import type { Place } from './source.ts';

export type KnownFacts = ReadonlyMap<string, KnownFact>;

/** Every name a rule may write, families as `label.<name>`. */
const namesOf = (facts: KnownFacts): string[] =>
  [...facts].map(([name, fact]) => (fact.family === undefined ? name : `${name}.<name>`));

/** Checks one comparison against what is known of its fact. */
export const checkComparison =
  (facts: KnownFacts, degradedModes: ReadonlySet<string>, report: Report) =>
  (node: FactNode, at: (key: string) => Place): void => {
    const split = splitFact(facts, node.fact);
    const fact = split === null ? undefined : facts.get(split.fact);
    if (fact === undefined) {
      reportUnknownFact(facts, node.fact, at('fact'), report);
      return;
    }
    checkParams(node, fact, at('params'), report);
    const mode = node.fact === 'degraded' ? node.params?.['mode'] : undefined;
    if (typeof mode === 'string' && !degradedModes.has(mode)) {
      report(at('params'), 'bad-params', `Unknown degraded mode "${mode}"`, nearest(mode, [...degradedModes]));
    }
    checkTypes(node, fact, at, report);
  };

const reportUnknownFact = (facts: KnownFacts, name: string, at: Place, report: Report): void => {
  if (facts.get(name)?.family === true) {
    report(at, 'unknown-fact', `"${name}" alone is not a fact`, `name one of them: "${name}.<name>"`);
    return;
  }
  const dot = name.indexOf('.');
  const families = [...facts].filter(([, fact]) => fact.family === true).map(([family]) => family);
  const family = dot > 0 ? didYouMean(name.slice(0, dot), families) : undefined;
  const member = dot > 0 ? name.slice(dot + 1) : '';
  const known = namesOf(facts);
  const plain = didYouMean(name, known);
  const mend =
    plain !== undefined && !plain.includes('<')
      ? `did you mean "${plain}"?`
      : family !== undefined && member !== ''
        ? `did you mean "${family}.${member}"?`
        : /^[A-Za-z_][A-Za-z0-9_]*$/.test(name)
          ? `a label is "label.${name}"; known are: ${known.join(', ')}`
          : `known are: ${known.join(', ')}`;
  report(at, 'unknown-fact', `Unknown fact ${JSON.stringify(name)}`, mend);
};

const checkParams = (node: FactNode, fact: KnownFact, at: Place, report: Report): void => {
  const params: JsonObject = node.params ?? {};
  if (fact.params === null) {
    if (node.params !== null) report(at, 'bad-params', `The fact "${node.fact}" takes no params`, 'remove them');
    return;
  }
  const checked = fact.params.safeParse(params);
  if (checked.success) return;
  for (const issue of checked.error.issues) {
    const where = issue.path.join('.');
    const known = fact.params instanceof z.ZodObject ? Object.keys(fact.params.shape) : [];
    if (issue.code === 'unrecognized_keys') {
      for (const key of issue.keys)
        report(
          at,
          'bad-params',
          `The fact "${node.fact}" has no param ${JSON.stringify(key)}`,
          known.length === 0 ? 'remove it' : nearest(key, known),
        );
    } else
      report(
        at,
        'bad-params',
        `${where === '' ? 'params' : `The param "${where}"`} of "${node.fact}": ${issue.message}`,
        known.length === 0 ? undefined : `it takes ${known.join(', ')}`,
      );
  }
};

const checkTypes = (node: FactNode, fact: KnownFact, at: (key: string) => Place, report: Report): void => {
  const { operator, value } = node;
  const values: readonly Scalar[] = Array.isArray(value) ? (value as readonly Scalar[]) : [value as Scalar];
  const isList = Array.isArray(value);
  if (operator === 'exists') {
    if (typeof value !== 'boolean')
      report(at('value'), 'bad-value', '"exists" compares with true or false', '"value": true');
    return;
  }
  if (NUMERIC.has(operator) && fact.type !== 'number') {
    report(
      at('operator'),
      'numeric-on-text',
      `"${operator}" compares numbers, and "${node.fact}" is a ${fact.type === 'string' ? 'text' : 'yes or no'}`,
      'use "matches" or "in", or a fact that is a number',
    );
    return;
  }
  if (TEXTUAL.has(operator) && fact.type !== 'string') {
    report(
      at('operator'),
      'bad-operator',
      `"${operator}" looks into texts, and "${node.fact}" is a ${fact.type}`,
      'use equal, in, or a numeric operator',
    );
    return;
  }
  if (LISTED.has(operator) !== isList && !(operator === 'cidr' && isList)) {
    report(
      at('value'),
      'bad-value',
      isList ? `"${operator}" compares with one value, not with a list` : `"${operator}" compares with a list`,
      isList ? 'use "in" or "notIn"' : '"value": [ ... ]',
    );
    return;
  }
  const wrong = values.find((item) => typeof item !== fact.type);
  if (wrong !== undefined) {
    const mend =
      fact.type === 'string'
        ? `write "${String(wrong)}" in quotes`
        : fact.type === 'number'
          ? 'write a number without quotes'
          : 'write true or false without quotes';
    report(
      at('value'),
      'bad-value',
      `"${node.fact}" is a ${fact.type === 'string' ? 'text' : fact.type}, and ${JSON.stringify(wrong)} is not: they are never equal`,
      mend,
    );
    return;
  }
  checkTexts(node, fact, values, at('value'), report);
};

const checkTexts = (node: FactNode, fact: KnownFact, values: readonly Scalar[], at: Place, report: Report): void => {
  const { operator } = node;
  if (fact.values !== undefined && !TEXTUAL.has(operator)) {
    for (const item of values) {
      if (!fact.values.includes(String(item)))
        report(at, 'bad-value', `"${node.fact}" is never ${JSON.stringify(item)}`, nearest(String(item), fact.values));
    }
  }
  if (operator === 'matches') {
    const pattern = compilePattern(String(node.value));
    if ('error' in pattern)
      report(at, 'bad-regex', `Not a pattern: ${pattern.error}`, 'RE2 syntax; no look-around, no back-references');
  }
  if (operator === 'cidr') {
    for (const item of values) {
      if (compileNetwork(String(item)) === null)
        report(at, 'bad-value', `${JSON.stringify(item)} is not a network`, '"10.0.0.0/8" or "fd00::/8"');
    }
  }
  if (TEXTUAL.has(operator) && node.value === '')
    report(at, 'bad-value', `"${operator}" with an empty text says nothing`, 'use exists, or write the text');
};

const POSITIVE: ReadonlySet<OperatorName> = new Set(['equal', 'in', 'startsWith', 'endsWith', 'contains', 'cidr']);

/** Texts that no alert has: a pattern that matches them matches anything. */
const IMPROBABLE = ['', '\u{1F9CA}9f1c', 'zq-\u0007-41'];

const isPositive = (node: FactNode): boolean => {
  if (!(node.fact === 'alertname' || node.fact === 'component' || node.fact.startsWith('label.'))) return false;
  if (node.operator !== 'matches') return POSITIVE.has(node.operator);
  const pattern = compilePattern(String(node.value));
  return 'matches' in pattern && !IMPROBABLE.some((text) => pattern.matches(text));
};

/** True when no alert can match without having a certain alertname, label or component. */
export const hasPositiveMatch = (node: ConditionNode): boolean => {
  switch (node.type) {
    case 'all':
      return node.children.some(hasPositiveMatch);
    case 'any':
      return node.children.every(hasPositiveMatch);
    case 'not':
      return false;
    case 'fact':
      return isPositive(node);
  }
};

/** Reports comparisons that an absent fact would satisfy without anybody having said so. */
export const checkAbsence = (root: ConditionNode, facts: KnownFacts, report: Report): void => {
  const walk = (node: ConditionNode, guarded: ReadonlySet<string>, negated: boolean): void => {
    switch (node.type) {
      case 'not':
        walk(node.child, guarded, !negated);
        return;
      case 'all':
      case 'any': {
        // Under a `not` an `any` joins: all of its conditions fail at once, and one that is `exists: false` guards the rest.
        const joins = (node.type === 'all') !== negated;
        const here = joins ? new Set([...guarded, ...guardsAmong(node.children, !negated)]) : guarded;
        for (const child of node.children) walk(child, here, negated);
        return;
      }
      case 'fact': {
        const split = splitFact(facts, node.fact);
        const optional = split !== null && facts.get(split.fact)?.optional === true;
        const absentHolds = negated || NEGATIVE.has(node.operator);
        if (!optional || node.operator === 'exists' || !absentHolds || guarded.has(factKey(node.fact, node.params)))
          return;
        const what = NEGATIVE.has(node.operator) ? `"${node.operator}"` : 'a "not"';
        report(
          node.at,
          'unguarded-negative',
          `${what} on "${node.fact}", which an alert may not have, says nothing about alerts without it`,
          `add { "fact": "${node.fact}", "operator": "exists", "value": true } to an "all" around it`,
        );
      }
    }
  };
  walk(root, new Set(), false);
};

const guardsAmong = (children: readonly ConditionNode[], value: boolean): string[] =>
  children.flatMap((child) =>
    child.type === 'fact' && child.operator === 'exists' && child.value === value
      ? [factKey(child.fact, child.params)]
      : [],
  );

/** The components that an alert must be of for the rule to match; null: any. */
export const boundComponents = (node: ConditionNode): readonly string[] | null => {
  switch (node.type) {
    case 'all': {
      const bound = node.children.map(boundComponents).filter((names) => names !== null);
      return bound.length === 0 ? null : (bound.toSorted((left, right) => left.length - right.length)[0] ?? null);
    }
    case 'any': {
      const bound = node.children.map(boundComponents);
      return bound.includes(null) ? null : [...new Set(bound.flatMap((names) => names ?? []))];
    }
    case 'not':
      return null;
    case 'fact':
      if (node.fact !== 'component' || (node.operator !== 'equal' && node.operator !== 'in')) return null;
      return (Array.isArray(node.value) ? node.value : [node.value]).map(String);
  }
};
