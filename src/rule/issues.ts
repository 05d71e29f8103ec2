// What the schema found, said so that somebody can mend it.
import type { z } from 'zod';
import { isObject } from '../base/json.ts';
import type { Problem } from '../base/failure.ts';
import { nearest } from './conditions.ts';
import { EVENTS } from './schema.ts';
import type { Path, Source } from './source.ts';

type Issue = z.core.$ZodIssue;

const KEYS: Readonly<Record<string, readonly string[]>> = {
  '': ['$schema', 'name', 'description', 'owner', 'ignore', 'priority', 'conditions', 'event'],
  event: ['type', 'params'],
  remediate: ['runbook', 'mode', 'with', 'limits', 'accept_destructive'],
  escalate: ['severity', 'mode'],
  observe: ['mode'],
  ignore: ['mode', 'code', 'reason'],
  runbook: ['runbook', 'mode', 'with', 'accept_destructive'],
  limits: ['attempts', 'max_attempts_per_hour', 'cooldown', 'cooldown_seconds'],
  cooldown: ['after_failure'],
  attempts: ['max', 'per'],
};

/** Every issue, with its place and a mend. */
export const problemsOf = (source: Source, issues: readonly Issue[]): Problem[] =>
  issues.flatMap((issue) => flatten(issue, [])).flatMap(({ issue, path }) => tell(source, issue, path));

/** Of one object: a file of nothing else is not a slip of the pen. */
const MOST_KEYS_TOLD = 100;

type Placed = { readonly issue: Issue; readonly path: Path };

/** A union reports every alternative: those that fit the kind of value best are meant. */
const flatten = (issue: Issue, above: Path): Placed[] => {
  const path = [...above, ...(issue.path as (string | number)[])];
  if (issue.code !== 'invalid_union' || issue.errors.length === 0) return [{ issue, path }];
  const fails = (branch: readonly Issue[], code: Issue['code']): boolean =>
    branch.some((inner) => inner.path.length === 0 && inner.code === code);
  const kin = issue.errors.filter((branch) => !fails(branch, 'invalid_type'));
  const fitting = kin.length < 2 ? kin : kin.filter((branch) => !fails(branch, 'unrecognized_keys'));
  if (fitting.length !== 1) return [{ issue, path }];
  return (fitting[0] ?? []).flatMap((inner) => flatten(inner, path));
};

const valueAt = (root: unknown, path: Path): unknown => {
  let value: unknown = root;
  for (const part of path) {
    if (Array.isArray(value)) value = value[Number(part)] as unknown;
    else if (isObject(value) && Object.hasOwn(value, part)) value = value[part];
    else return undefined;
  }
  return value;
};

/** Objects from a file have no prototype, so String() would throw. */
const wordOf = (value: unknown): string => (typeof value === 'string' ? value : (JSON.stringify(value) ?? ''));

const knownKeys = (source: Source, path: Path): readonly string[] => {
  const named = path.filter((part) => typeof part === 'string');
  const last = named.at(-1) ?? '';
  if (last !== 'params') return KEYS[last] ?? [];
  const type = valueAt(source.value, ['event', 'type']);
  return KEYS[wordOf(type)] ?? [];
};

const problemAt = (source: Source, path: Path, code: string, message: string, mend: string | undefined): Problem => ({
  code,
  message,
  ...(mend === undefined ? {} : { mend }),
  ...source.place(path),
});

const tell = (source: Source, issue: Issue, path: Path): Problem[] => {
  const at = (code: string, message: string, mend?: string): Problem => problemAt(source, path, code, message, mend);
  const name = JSON.stringify(path.at(-1) ?? 'the file');
  const value = valueAt(source.value, path);
  switch (issue.code) {
    case 'unrecognized_keys':
      return issue.keys.slice(0, MOST_KEYS_TOLD).map((key) => {
        const known = knownKeys(source, path);
        const mend =
          key === 'path' ? 'remove it: rules have no paths' : known.length === 0 ? 'remove it' : nearest(key, known);
        return problemAt(source, [...path, key], 'unknown-key', `Unknown key ${JSON.stringify(key)}`, mend);
      });
    case 'invalid_type':
      if (value === undefined)
        return [
          at(
            'missing-key',
            `${name} is missing`,
            `add ${name}, a${issue.expected === 'object' || issue.expected === 'array' || issue.expected === 'int' ? 'n' : ''} ${issue.expected}`,
          ),
        ];
      return [at('bad-value', `${name} must be of type ${issue.expected}`)];
    case 'invalid_union':
      if (value === undefined) return [at('missing-key', `${name} is missing`)];
      if (path.join('.') === 'event.type')
        return [at('unknown-event', `Unknown event type ${JSON.stringify(value)}`, nearest(wordOf(value), EVENTS))];
      return [
        at(
          'bad-value',
          `${name} has none of the shapes it may have`,
          path.includes('runbook')
            ? '"redis/reconnect", { "runbook": "redis/reconnect", "mode": "approve" }, or a list of these'
            : undefined,
        ),
      ];
    case 'invalid_value': {
      const known = issue.values.map(String);
      if (value === undefined) return [at('missing-key', `${name} is missing`, `one of: ${known.join(', ')}`)];
      return [at('bad-value', `${name} may not be ${JSON.stringify(value)}`, nearest(wordOf(value), known))];
    }
    case 'too_small':
    case 'too_big':
    case 'invalid_format':
    case 'not_multiple_of':
    case 'invalid_key':
    case 'invalid_element':
    case 'custom':
      return [at('bad-value', `${name}: ${issue.message}`)];
  }
};
