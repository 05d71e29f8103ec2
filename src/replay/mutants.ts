// Small changes of a rule that somebody could make by mistake: an operator, a value, a branch, the priority, the mode, a
// limit. What no test notices, no test protects.
import { canonical, isObject, pointer } from '../base/json.ts';
import { formatDuration, parseDuration } from '../base/duration.ts';

type Value = Record<string, unknown>;
type Path = readonly (string | number)[];

export type Change = {
  /** Where in the rule's file. */
  readonly pointer: string;
  /** `equal -> startsWith` */
  readonly what: string;
  /** The rule file's value with the change in it. */
  readonly value: Value;
};

type Edit = { readonly at: Path; readonly what: string; readonly to: unknown };
const REMOVE = Symbol('remove');

/** Every change of one rule; `priorities` are those at which it would be asked before or after another of the same alerts. */
export const changesOf = (rule: Value, priorities: readonly number[]): readonly Change[] => {
  const edits = [
    ...conditionEdits(rule['conditions'], ['conditions']),
    ...eventEdits(isObject(rule['event']) ? rule['event'] : {}),
    ...priorities.map((to): Edit => ({ at: ['priority'], what: `${shown(rule['priority'] ?? 1)} -> ${to}`, to })),
  ];
  const seen = new Set([canonical(rule)]);
  return edits.flatMap(({ at, what, to }) => {
    const value = withEdit(rule, at, to) as Value;
    const key = canonical(value);
    if (seen.has(key)) return [];
    seen.add(key);
    return [{ pointer: pointer(at), what, value }];
  });
};

const shown = (value: unknown): string => JSON.stringify(value) ?? 'nothing';
const turn = (at: Path, from: unknown, to: unknown): Edit => ({ at, what: `${shown(from)} -> ${shown(to)}`, to });
const drop = (at: Path, what: string): Edit => ({ at, what: `${what} left out`, to: REMOVE });

const OPERATORS: Readonly<Record<string, readonly string[]>> = {
  equal: ['notEqual', 'startsWith'],
  notEqual: ['equal'],
  in: ['notIn'],
  notIn: ['in'],
  lessThan: ['lessThanInclusive', 'greaterThan'],
  lessThanInclusive: ['lessThan', 'greaterThan'],
  greaterThan: ['greaterThanInclusive', 'lessThan'],
  greaterThanInclusive: ['greaterThan', 'lessThan'],
  contains: ['doesNotContain'],
  doesNotContain: ['contains'],
  startsWith: ['endsWith'],
  endsWith: ['startsWith'],
};

const conditionEdits = (node: unknown, at: Path): readonly Edit[] => {
  if (!isObject(node)) return [];
  for (const [group, other] of [
    ['all', 'any'],
    ['any', 'all'],
  ] as const) {
    const children = node[group];
    if (!Array.isArray(children)) continue;
    const { [group]: _, ...rest } = node;
    const more = children.length > 1;
    return [
      ...(more ? [{ at, what: `${group} -> ${other}`, to: { ...rest, [other]: children } }] : []),
      ...(more ? children.map((child, index) => drop([...at, group, index], shown(child))) : []),
      ...children.flatMap((child, index) => conditionEdits(child, [...at, group, index])),
    ];
  }
  if (node['not'] !== undefined)
    return [{ at, what: 'not left out', to: node['not'] }, ...conditionEdits(node['not'], [...at, 'not'])];
  if (typeof node['fact'] !== 'string') return [];
  const { operator, value } = node;
  const operators = (OPERATORS[String(operator)] ?? []).map((to) => turn([...at, 'operator'], operator, to));
  return [...operators, ...valueEdits(value, [...at, 'value']), ...paramEdits(node['params'], [...at, 'params'])];
};

const valueEdits = (value: unknown, at: Path): readonly Edit[] => {
  if (Array.isArray(value))
    return value.length > 1
      ? value.map((one, index) => drop([...at, index], shown(one)))
      : value.flatMap((one, index) => valueEdits(one, [...at, index]));
  if (typeof value === 'boolean') return [turn(at, value, !value)];
  if (typeof value === 'string') return [turn(at, value, `${value}Changed`)];
  if (typeof value !== 'number') return [];
  const by = Number.isInteger(value) ? 1 : Math.abs(value) / 10;
  return [turn(at, value, value + by), turn(at, value, value - by)];
};

/** A window, and nothing else: a query is Prometheus' to judge, and a scope the loader's. */
const paramEdits = (params: unknown, at: Path): readonly Edit[] =>
  isObject(params) ? durationEdits(params['window'], [...at, 'window']) : [];

const durationEdits = (text: unknown, at: Path): readonly Edit[] => {
  const ms = typeof text === 'string' ? parseDuration(text) : undefined;
  return ms === undefined || ms < 2_000
    ? []
    : [turn(at, text, formatDuration(ms / 2)), turn(at, text, formatDuration(ms * 2))];
};

const TYPES: Readonly<Record<string, string>> = {
  remediate: 'escalate',
  escalate: 'observe',
  observe: 'ignore',
  ignore: 'observe',
};

const eventEdits = (event: Value): readonly Edit[] => {
  const type = String(event['type']);
  const to = TYPES[type] ?? 'observe';
  const params = isObject(event['params']) ? event['params'] : {};
  const at = ['event', 'params'] as const;
  return [
    { at: ['event'], what: `${type} -> ${to}`, to: { type: to } },
    ...modeEdits(params['mode'], type === 'remediate' ? 'approve' : 'auto', [...at, 'mode']),
    ...ladderEdits(params['runbook'], [...at, 'runbook']),
    ...withEdits(params['with'], [...at, 'with']),
    ...limitEdits(params['limits'], [...at, 'limits']),
    ...(typeof params['severity'] === 'string'
      ? [turn([...at, 'severity'], params['severity'], params['severity'] === 'SEV1' ? 'SEV2' : 'SEV1')]
      : []),
  ];
};

const modeEdits = (mode: unknown, otherwise: string, at: Path): readonly Edit[] => {
  const now = typeof mode === 'string' ? mode : otherwise;
  return ['auto', 'approve', 'shadow'].filter((to) => to !== now).map((to) => turn(at, mode ?? 'none', to));
};

const ladderEdits = (runbook: unknown, at: Path): readonly Edit[] => {
  const rungs = (Array.isArray(runbook) ? runbook : [runbook]) as readonly unknown[];
  const of = (index: number): Path => (Array.isArray(runbook) ? [...at, index] : at);
  const own = rungs.flatMap((rung, index) => {
    if (!isObject(rung)) return [];
    const { mode } = rung;
    return [
      ...(mode === undefined ? [] : [drop([...of(index), 'mode'], `mode ${shown(mode)}`)]),
      ...withEdits(rung['with'], [...of(index), 'with']),
    ];
  });
  if (!Array.isArray(runbook) || rungs.length < 2) return own;
  const swapped = [rungs[1], rungs[0], ...rungs.slice(2)];
  return [
    ...own,
    ...rungs.map((rung, index) => drop([...at, index], shown(rung))),
    { at, what: 'the first two rungs the other way round', to: swapped },
  ];
};

const withEdits = (inputs: unknown, at: Path): readonly Edit[] =>
  isObject(inputs)
    ? Object.entries(inputs).flatMap(([name, value]) => [
        drop([...at, name], name),
        ...(typeof value === 'string' ? durationOr(value, [...at, name]) : valueEdits(value, [...at, name])),
      ])
    : [];

/** A template is put in from the alert; a word in its place is the same for all. */
const durationOr = (value: string, at: Path): readonly Edit[] =>
  parseDuration(value) === undefined ? [turn(at, value, 'changed')] : durationEdits(value, at);

const limitEdits = (limits: unknown, at: Path): readonly Edit[] => {
  if (!isObject(limits)) return [];
  const attempts = Array.isArray(limits['attempts']) ? limits['attempts'] : [];
  const cooldown = isObject(limits['cooldown']) ? limits['cooldown'] : {};
  return [
    drop(at, 'limits'),
    ...attempts.flatMap((limit, index) =>
      isObject(limit)
        ? [
            ...valueEdits(limit['max'], [...at, 'attempts', index, 'max']),
            ...durationEdits(limit['per'], [...at, 'attempts', index, 'per']),
          ]
        : [],
    ),
    ...valueEdits(limits['max_attempts_per_hour'], [...at, 'max_attempts_per_hour']),
    ...valueEdits(limits['cooldown_seconds'], [...at, 'cooldown_seconds']),
    ...durationEdits(cooldown['after_failure'], [...at, 'cooldown', 'after_failure']),
  ];
};

const withEdit = (value: unknown, at: Path, to: unknown): unknown => {
  const [key, ...rest] = at;
  if (key === undefined) return to;
  if (Array.isArray(value)) {
    const index = Number(key);
    if (rest.length === 0 && to === REMOVE) return value.filter((_, place) => place !== index);
    return value.map((one, place) => (place === index ? withEdit(one, rest, to) : (one as unknown)));
  }
  const object = isObject(value) ? value : {};
  if (rest.length > 0 || to !== REMOVE) return { ...object, [key]: withEdit(object[key], rest, to) };
  const { [key]: _, ...left } = object;
  return left;
};
