// What rules, runbooks and the configuration take for granted about a Prometheus: metrics, alerts, labels and their values,
// each with the place that names it.
import type { Component } from '../../alert/component.ts';
import { isObject, pointer } from '../../base/json.ts';
import type { Written } from './finding.ts';
import { metricsOf } from './promql.ts';

type At = { readonly file: string; readonly pointer: string };
export type Needs = {
  readonly metrics: ReadonlyArray<At & { readonly name: string }>;
  readonly alerts: ReadonlyArray<At & { readonly name: string }>;
  /** `value` is null where only the label itself is asked for. */
  readonly labels: ReadonlyArray<At & { readonly name: string; readonly value: string | null }>;
};

export type NeedsFrom = {
  readonly rules: readonly Written[];
  readonly conditions: readonly Written[];
  readonly runbooks: readonly Written[];
  readonly config: Written | null;
  readonly components: ReadonlyMap<string, Component>;
};

export const needsOf = ({ rules, conditions, runbooks, config, components }: NeedsFrom): Needs => {
  const leaves = [...rules, ...conditions].flatMap(leavesOf);
  const labels = leaves.flatMap(({ fact, values, ...at }) => {
    const name = fact === 'severity' ? 'severity' : fact.startsWith('label.') ? fact.slice('label.'.length) : null;
    return name === null || name === BY_HAND ? [] : values.map((value) => ({ ...at, name, value }));
  });
  return {
    metrics: [...rules, ...conditions, ...runbooks, ...(config === null ? [] : [config])].flatMap(metricsIn),
    alerts: leaves.flatMap(({ fact, values, ...at }) =>
      fact === 'alertname' ? values.flatMap((name) => (name === null ? [] : [{ ...at, name }])) : [],
    ),
    labels: [...labels, ...(config === null ? [] : labelsOfComponents(config.file, components))],
  };
};

/** Given by `amends recover`, and by no series. */
const BY_HAND = 'failure_type';

type Leaf = At & { readonly fact: string; readonly values: readonly (string | null)[] };

/** Comparisons that must hold; what stands under a `not` need not be there. */
const leavesOf = ({ file, value }: Written): readonly Leaf[] => {
  const found: Leaf[] = [];
  const walk = (node: unknown, path: readonly PropertyKey[]): void => {
    if (Array.isArray(node)) node.forEach((member: unknown, index) => walk(member, [...path, index]));
    if (!isObject(node)) return;
    const { fact, operator, value: wanted } = node;
    if (typeof fact === 'string') {
      const at = { file, pointer: pointer([...path, 'value']), fact };
      if (operator === 'equal' && typeof wanted === 'string') found.push({ ...at, values: [wanted] });
      else if (operator === 'in' && Array.isArray(wanted)) found.push({ ...at, values: wanted.map(String) });
      else if (operator !== 'exists' || wanted === true) found.push({ ...at, values: [null] });
      return;
    }
    for (const [key, member] of Object.entries(node)) {
      if (key === 'all' || key === 'any' || key === 'conditions') walk(member, [...path, key]);
    }
  };
  walk(value, []);
  return found;
};

/** Every query that is PromQL, wherever it stands. */
const metricsIn = ({ file, value }: Written): Needs['metrics'] => {
  const found: Array<At & { name: string }> = [];
  const walk = (node: unknown, path: readonly PropertyKey[], asksPrometheus: boolean): void => {
    if (Array.isArray(node)) node.forEach((member: unknown, index) => walk(member, [...path, index], asksPrometheus));
    if (!isObject(node)) return;
    const uses = node['uses'];
    const own = asksPrometheus || node['fact'] === 'prometheus' || String(uses).startsWith('prometheus.');
    const { query } = node;
    const isQuery = own || path.at(-1) === 'min_healthy' || (path.at(-2) === 'verify' && uses === undefined);
    if (typeof query === 'string' && isQuery)
      for (const name of metricsOf(query)) found.push({ file, pointer: pointer([...path, 'query']), name });
    for (const [key, member] of Object.entries(node))
      walk(member, [...path, key], own && (key === 'with' || key === 'params'));
  };
  walk(value, [], false);
  return found;
};

const labelsOfComponents = (file: string, components: ReadonlyMap<string, Component>): Needs['labels'] =>
  [...components.values()].flatMap(({ name, matchers }) =>
    matchers
      .filter(({ operator, value }) => (operator === '=' && value !== '') || operator === '=~')
      .map(({ label, operator, value }) => ({
        file,
        pointer: pointer(['components', name, 'match']),
        name: label,
        value: operator === '=' ? value : null,
      })),
  );
