// From an alert's labels to a declared component and one of its targets. Labels select among declared things; they
// never name new ones.
import { ok, refused } from '../base/failure.ts';
import type { Result } from '../base/failure.ts';
import type { Labels } from './alert.ts';
import type { Component, Selection, TargetMapping } from './component.ts';
import { compileExpression } from './matcher.ts';

export type Select = (labels: Labels) => Selection;

/** The answer depends on the labels alone: everything that can be prepared is prepared here. */
export const createSelector = (components: ReadonlyMap<string, Component>): Select => {
  // By the first equality of each: an alert is tried against the few that ask for its job, not against all.
  const byEquality = new Map<string, Map<string, Component[]>>();
  const others: Component[] = [];
  for (const component of components.values()) {
    if (component.matchers.length === 0) continue;
    const key = component.matchers.find((matcher) => matcher.operator === '=' && matcher.value !== '');
    if (key === undefined) others.push(component);
    else {
      const byValue = byEquality.get(key.label) ?? new Map<string, Component[]>();
      byEquality.set(key.label, byValue);
      byValue.set(key.value, [...(byValue.get(key.value) ?? []), component]);
    }
  }
  const matching = (labels: Labels): Component[] => {
    const found: Component[] = [];
    const tryAll = (candidates: readonly Component[]): void => {
      for (const component of candidates) {
        if (component.matchers.every((matcher) => matcher.matches(labels[matcher.label] ?? ''))) found.push(component);
      }
    };
    for (const [label, byValue] of byEquality) tryAll(byValue.get(labels[label] ?? '') ?? []);
    tryAll(others);
    return found;
  };
  return (labels) => {
    const named = labels['component'];
    const declared = named === undefined ? undefined : components.get(named);
    if (declared !== undefined) return withTarget(declared, labels);
    const found = matching(labels);
    const [first] = found;
    if (first === undefined) {
      const problem =
        named === undefined || named === ''
          ? 'no component matches'
          : `no component matches, and ${quoted(named)} is not declared`;
      return { found: false, ambiguous: false, component: null, targetName: null, problem };
    }
    if (found.length > 1) {
      const names = found
        .map((component) => component.name)
        .toSorted()
        .join(' and ');
      return {
        found: false,
        ambiguous: true,
        component: null,
        targetName: null,
        problem: `the components ${names} match the same alert`,
      };
    }
    return withTarget(first, labels);
  };
};

/** Which target of a component the labels are about. */
export const withTarget = (component: Component, labels: Labels): Selection => {
  const named = labels['target'];
  const direct = named === undefined ? undefined : component.targets.get(named);
  if (direct !== undefined) return { found: true, component, target: direct };
  const missing = (targetName: string | null, problem: string): Selection => ({
    found: false,
    ambiguous: false,
    component,
    targetName,
    problem,
  });
  const value = labels[component.mapping.label];
  if (value === undefined || value === '')
    return missing(
      null,
      `the label ${quoted(component.mapping.label)}, which names a target of ${component.name}, is missing`,
    );
  const mapped = component.mapping.apply(value);
  if (mapped === undefined)
    return missing(
      null,
      `the label ${component.mapping.label}=${quoted(value)} does not have the shape of a target of ${component.name}`,
    );
  const target = component.targets.get(mapped);
  if (target === undefined)
    return missing(mapped.slice(0, 256), `${quoted(mapped)} is not in the inventory of ${component.name}`);
  return { found: true, component, target };
};

const quoted = (text: string): string => JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}...` : text);

/** As in Prometheus' relabelling: the expression is anchored, the replacement knows `$1`, `${1}` and `${name}`. */
export const createMapping = (label: string, expression: string | null, replacement: string): Result<TargetMapping> => {
  if (expression === null) return ok({ label, apply: (value) => value });
  const compiled = compileExpression(expression);
  if (!compiled.ok) return compiled;
  const groups = compiled.value.groupCount();
  const named = compiled.value.namedGroups();
  const parts = replacement.split(/(\$\$|\$\{\w+\}|\$\w+)/).map((part, index): string | number => {
    if (index % 2 === 0) return part;
    if (part === '$$') return '$';
    const name = part.replace(/^\$\{?/, '').replace(/\}$/, '');
    return /^\d+$/.test(name) ? Number(name) : (named[name] ?? -1);
  });
  if (parts.some((part) => typeof part === 'number' && (part < 0 || part > groups))) {
    const problem = {
      code: 'bad-replacement',
      message: `the replacement ${quoted(replacement)} names a group that ${quoted(expression)} does not have`,
      mend: `use $1 to $${groups}`,
    };
    return refused([problem]);
  }
  return ok({
    label,
    apply(value) {
      const matcher = compiled.value.matcher(value);
      if (!matcher.matches()) return undefined;
      return parts.map((part) => (typeof part === 'number' ? (matcher.group(part) ?? '') : part)).join('');
    },
  });
};
