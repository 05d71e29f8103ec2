// What a zod schema finds wrong, as problems with a pointer and a mend: unknown keys name the nearest known one, wrong
// words the nearest allowed one.
import type { ZodType } from 'zod';
import { didYouMean } from '../base/failure.ts';
import type { Problem } from '../base/failure.ts';
import { isObject, pointer } from '../base/json.ts';

type Path = readonly PropertyKey[];
type Issue = {
  readonly code?: string;
  readonly path: Path;
  readonly message: string;
  readonly keys?: readonly string[];
  readonly values?: readonly unknown[];
  readonly errors?: ReadonlyArray<readonly Issue[]>;
  readonly expected?: string;
  readonly minimum?: unknown;
  readonly maximum?: unknown;
};
type Definition = {
  readonly type: string;
  readonly shape?: Readonly<Record<string, ZodType>>;
  readonly innerType?: ZodType;
  readonly element?: ZodType;
  readonly options?: readonly ZodType[];
  readonly valueType?: ZodType;
  readonly in?: ZodType;
  readonly getter?: () => ZodType;
};

const definitionOf = (schema: ZodType): Definition => schema.def;

/** Everything that `value` has wrong by `schema`; empty when it fits. Throwing transforms count as one problem. */
export const misfits = (schema: ZodType, value: unknown): readonly Problem[] => {
  let parsed: ReturnType<ZodType['safeParse']>;
  try {
    parsed = schema.safeParse(value);
  } catch (error) {
    return [{ code: 'wrong-shape', message: error instanceof Error ? error.message : String(error), pointer: '' }];
  }
  if (parsed.success) return [];
  const issues = parsed.error.issues as unknown as readonly Issue[];
  return issues.flatMap((issue) => fromIssue(schema, value, issue, []));
};

const fromIssue = (schema: ZodType, root: unknown, issue: Issue, above: Path): readonly Problem[] => {
  const path = [...above, ...issue.path];
  if (issue.code === 'invalid_union' && issue.errors !== undefined && issue.errors.length > 0) {
    const branch = nearestBranch(schema, root, path, issue.errors);
    return branch.flatMap((inner) => fromIssue(schema, root, inner, path));
  }
  if (issue.code === 'unrecognized_keys') {
    const known = keysAt(schema, root, path);
    return (issue.keys ?? []).map((key) => unknownKey(key, known, [...path, key]));
  }
  const at = { pointer: pointer(path) };
  const given = valueAt(root, path);
  if (issue.code === 'invalid_value' && issue.values !== undefined) return [wrongValue(given, issue.values, path)];
  return [{ ...complaint(issue, given, path), ...at }];
};

const WORDS: Readonly<Record<string, string>> = {
  string: 'text',
  int: 'a whole number',
  number: 'a number',
  boolean: 'true or false',
  array: 'a list',
  object: 'keys with values',
  record: 'keys with values',
  null: 'nothing',
};

const complaint = (issue: Issue, given: unknown, path: Path): Problem => {
  const own = name(path);
  if (issue.code === 'invalid_type' && issue.expected !== undefined && issue.message.startsWith('Invalid input')) {
    const wanted = WORDS[issue.expected] ?? issue.expected;
    if (given === undefined)
      return { code: 'missing', message: `${own} is missing`, mend: `add ${own}: it is ${wanted}` };
    const found = given === null ? 'empty' : shown(given);
    return { code: 'wrong-type', message: `${own} is ${found}`, mend: `it is ${wanted}` };
  }
  if (issue.code === 'too_small' && Array.isArray(given)) {
    return { code: 'wrong-value', message: `${own} is too short`, mend: `list at least ${Number(issue.minimum)}` };
  }
  if (issue.code === 'too_small' || issue.code === 'too_big') {
    const bound = issue.code === 'too_small' ? `at least ${String(issue.minimum)}` : `at most ${String(issue.maximum)}`;
    const unit = typeof given === 'string' ? ' characters' : Array.isArray(given) ? ' entries' : '';
    return { code: 'wrong-value', message: `${own} may not be ${shown(given)}`, mend: `it is ${bound}${unit}` };
  }
  // Our own messages read "what is wrong: what to write".
  const [what = '', ...mend] = issue.message.split(': ');
  const message = what.startsWith('is ') ? `${own} ${what}` : `${own}: ${lower(what)}`;
  return {
    code: issue.code === 'invalid_type' ? 'wrong-type' : 'wrong-value',
    message,
    ...(mend.length > 0 ? { mend: mend.join(': ') } : {}),
  };
};

const wrongValue = (given: unknown, values: readonly unknown[], path: Path): Problem => {
  const allowed = values.map(String);
  const list = allowed.length === 1 ? `write ${allowed[0]}` : `it is one of ${allowed.join(', ')}`;
  const at = { pointer: pointer(path) };
  if (given === undefined) return { code: 'missing', message: `${name(path)} is missing`, mend: list, ...at };
  const near = typeof given === 'string' ? didYouMean(given, allowed) : undefined;
  const mend = near === undefined ? list : `did you mean ${near}? ${list.charAt(0).toUpperCase()}${list.slice(1)}`;
  return { code: 'wrong-value', message: `${name(path)} may not be ${shown(given)}`, mend, ...at };
};

const unknownKey = (key: string, known: readonly string[], path: Path): Problem => {
  const near = didYouMean(key, known);
  return {
    code: 'unknown-key',
    message: `unknown key ${JSON.stringify(key)}`,
    mend: near === undefined ? `use one of ${known.join(', ')}, or leave it out` : `did you mean ${near}?`,
    pointer: pointer(path),
  };
};

const name = (path: Path): string => path.findLast((part) => typeof part === 'string') ?? 'the document';
const lower = (text: string): string => text.charAt(0).toLowerCase() + text.slice(1);
const shown = (value: unknown): string => {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
};

const valueAt = (root: unknown, path: Path): unknown => {
  let at = root;
  for (const part of path) {
    if (typeof at !== 'object' || at === null || !Object.hasOwn(at, part)) return undefined;
    at = (at as Record<PropertyKey, unknown>)[part];
  }
  return at;
};

/** The schema that rules at `path`; at a union the option that shares most keys with the value there. */
const schemaAt = (schema: ZodType, root: unknown, path: Path): ZodType | undefined => {
  let current: ZodType | undefined = peel(schema, root);
  let value = root;
  for (const part of path) {
    if (current === undefined) return undefined;
    const definition = definitionOf(current);
    value = valueAt(value, [part]);
    const next: ZodType | undefined =
      definition.type === 'object'
        ? definition.shape?.[String(part)]
        : definition.type === 'array'
          ? definition.element
          : definition.valueType;
    current = next === undefined ? undefined : peel(next, value);
  }
  return current;
};

const peel = (schema: ZodType, value: unknown): ZodType => {
  const definition = definitionOf(schema);
  if (definition.innerType !== undefined) return peel(definition.innerType, value);
  if (definition.type === 'pipe' && definition.in !== undefined) return peel(definition.in, value);
  if (definition.getter !== undefined) return peel(definition.getter(), value);
  const options = definition.options;
  if (options === undefined) return schema;
  const scored = options.map((option) => ({
    option: peel(option, value),
    score: affinity(peel(option, value), value),
  }));
  return scored.toSorted((left, right) => right.score - left.score)[0]?.option ?? schema;
};

const affinity = (schema: ZodType, value: unknown): number => {
  const definition = definitionOf(schema);
  if (!isObject(value))
    return definition.type === typeof value || (definition.type === 'array' && Array.isArray(value)) ? 1 : 0;
  if (definition.shape === undefined) return 0;
  const keys = Object.keys(value);
  return 1 + keys.filter((key) => Object.hasOwn(definition.shape ?? {}, key)).length / (keys.length + 1);
};

const keysAt = (schema: ZodType, root: unknown, path: Path): readonly string[] => {
  const found = schemaAt(schema, root, path);
  return found === undefined ? [] : Object.keys(definitionOf(found).shape ?? {});
};

/** Of a union's branches the one that the value was most likely meant for. */
const nearestBranch = (
  schema: ZodType,
  root: unknown,
  path: Path,
  branches: ReadonlyArray<readonly Issue[]>,
): readonly Issue[] => {
  const union = unionAt(schema, root, path);
  const value = valueAt(root, path);
  const scores = branches.map((issues, index) => ({
    issues,
    score: union?.[index] === undefined ? -issues.length : affinity(peel(union[index], value), value),
  }));
  return scores.toSorted((left, right) => right.score - left.score)[0]?.issues ?? [];
};

const unionAt = (schema: ZodType, root: unknown, path: Path): readonly ZodType[] | undefined => {
  const last = path.at(-1);
  const parent = last === undefined ? schema : schemaAt(schema, root, path.slice(0, -1));
  if (parent === undefined) return undefined;
  const definition = definitionOf(parent);
  let own: ZodType | undefined =
    last === undefined
      ? parent
      : definition.type === 'object'
        ? definition.shape?.[String(last)]
        : definition.type === 'array'
          ? definition.element
          : definition.valueType;
  while (own !== undefined && definitionOf(own).innerType !== undefined) own = definitionOf(own).innerType;
  return own === undefined ? undefined : definitionOf(own).options;
};
