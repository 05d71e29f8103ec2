// YAML as a source of problems that a person can mend: every refusal says file, line, column, pointer and what to write
// instead. No aliases, no tags, no duplicate keys, bounded size and depth.
import { LineCounter, isMap, isNode, isScalar, isSeq, parseDocument } from 'yaml';
import type { Document } from 'yaml';
import type { ZodType } from 'zod';
import { didYouMean, ok, refused } from './base/failure.ts';
import type { Problem, Result } from './base/failure.ts';
import { nestingDepth, pointer } from './base/json.ts';

const LARGEST_FILE = 4 * 1024 * 1024;
const DEEPEST = 20;

export type Path = ReadonlyArray<PropertyKey>;
export type Source = {
  readonly file: string;
  readonly text: string;
  readonly value: unknown;
  problem(code: string, path: Path, message: string, mend?: string): Problem;
};

/** An empty file is an empty mapping. */
export const readYaml = (file: string, text: string): Result<Source> => {
  const whole = (code: string, message: string, mend: string): Problem => ({ code, message, mend, file });
  if (Buffer.byteLength(text) > LARGEST_FILE)
    return refused([whole('too-large', `the file is larger than ${LARGEST_FILE} bytes`, 'split it')]);
  if (nestingDepth(Buffer.from(text), DEEPEST * 5) > DEEPEST * 5)
    return refused([whole('too-deep', `the file is nested deeper than ${DEEPEST}`, 'flatten it')]);
  const lines = new LineCounter();
  let document: Document.Parsed;
  try {
    document = parseDocument(text, {
      lineCounter: lines,
      uniqueKeys: true,
      stringKeys: true,
      merge: false,
      version: '1.2',
      prettyErrors: false,
    });
  } catch (error) {
    return refused([
      whole('not-yaml', `the file is not YAML: ${(error as Error).message.slice(0, 200)}`, 'see the YAML 1.2 syntax'),
    ]);
  }
  const faults = [...document.errors, ...document.warnings].slice(0, 20).map((fault): Problem => {
    const { line, col } = lines.linePos(fault.pos[0]);
    return {
      code: fault.code === 'DUPLICATE_KEY' ? 'duplicate-key' : 'not-yaml',
      message: fault.message.slice(0, 200),
      mend: 'see the YAML 1.2 syntax',
      file,
      line,
      column: col,
    };
  });
  if (faults.length > 0) return refused(faults);
  let value: unknown;
  try {
    value = document.toJS({ maxAliasCount: 0 }) as unknown;
  } catch {
    return refused([whole('yaml-alias', 'the file uses YAML aliases', 'write the value out where it is used')]);
  }
  const source: Source = {
    file,
    text,
    value: value ?? {},
    problem(code, path, message, mend) {
      const offset = offsetOf(document, path);
      const { line, col } = offset === undefined ? { line: 1, col: 1 } : lines.linePos(offset);
      return {
        code,
        message,
        ...(mend === undefined ? {} : { mend }),
        file,
        pointer: pointer(path),
        line,
        column: col,
      };
    },
  };
  const deep = tooDeep(source.value, []);
  return deep === undefined
    ? ok(source)
    : refused([source.problem('too-deep', deep, `the file is nested deeper than ${DEEPEST}`, 'flatten it')]);
};

const tooDeep = (value: unknown, path: readonly PropertyKey[]): Path | undefined => {
  if (typeof value !== 'object' || value === null) return undefined;
  if (path.length >= DEEPEST) return path;
  for (const [key, member] of Object.entries(value)) {
    const found = tooDeep(member, [...path, key]);
    if (found !== undefined) return found;
  }
  return undefined;
};

/** Of the key for a member of a mapping, of the item in a list; of the nearest thing above when there is none. */
const offsetOf = (document: Document.Parsed, path: Path): number | undefined => {
  let node: unknown = document.contents;
  let offset = document.contents?.range[0];
  for (const part of path) {
    if (isMap(node)) {
      const pair = node.items.find(({ key }) => isScalar(key) && String(key.value) === String(part));
      if (pair === undefined) break;
      if (isNode(pair.key)) offset = pair.key.range?.[0] ?? offset;
      node = pair.value;
    } else if (isSeq(node)) {
      node = node.items[Number(part)];
      if (isNode(node)) offset = node.range?.[0] ?? offset;
    } else break;
  }
  return offset;
};

/** The value after the schema, or every problem with its place. */
export const readShape = <T>(source: Source, schema: ZodType<T>): Result<T> => {
  const parsed = schema.safeParse(source.value, { reportInput: true });
  if (parsed.success) return ok(parsed.data);
  return refused(parsed.error.issues.flatMap((issue) => problemsOf(source, schema, issue as Issue, [])));
};

type Issue = {
  readonly code: string;
  readonly path: Path;
  readonly message: string;
  readonly input?: unknown;
  readonly keys?: readonly string[];
  readonly values?: readonly unknown[];
  readonly errors?: ReadonlyArray<readonly Issue[]>;
  readonly params?: { readonly code?: string; readonly mend?: string };
};

const problemsOf = (source: Source, schema: ZodType, issue: Issue, above: Path): Problem[] => {
  const path = [...above, ...issue.path];
  if (issue.code === 'unrecognized_keys') {
    const known = keysAt(schema, path);
    return (issue.keys ?? []).map((key) => {
      const near = didYouMean(key, known);
      const mend = near === undefined ? `remove it; known here: ${known.join(', ')}` : `did you mean ${near}?`;
      return source.problem('unknown-key', [...path, key], `${JSON.stringify(key)} is not known here`, mend);
    });
  }
  if (issue.code === 'invalid_union' && (issue.errors?.length ?? 0) > 0) {
    // The branch that got furthest is the one that was meant.
    const nearest =
      (issue.errors ?? []).toSorted(
        (left, right) => furthest(right) - furthest(left) || left.length - right.length,
      )[0] ?? [];
    return nearest.flatMap((inner) => problemsOf(source, schema, inner, path));
  }
  if (issue.code === 'invalid_value' && typeof issue.input === 'string') {
    const values = (issue.values ?? []).map(String);
    const near = didYouMean(issue.input, values);
    return [
      source.problem(
        'bad-value',
        path,
        `${JSON.stringify(issue.input)} is not one of ${values.join(', ')}`,
        near === undefined ? `use one of ${values.join(', ')}` : `did you mean ${near}?`,
      ),
    ];
  }
  const message = issue.message.replace(/^Invalid input: /, '').replace(/^Invalid option: /, '');
  const missing = issue.code === 'invalid_type' && issue.input === undefined;
  if (missing)
    return [
      source.problem(
        'missing',
        path,
        `${String(path.at(-1) ?? 'a value')} is missing (${message.replace(/, received undefined$/, '')})`,
        'add it',
      ),
    ];
  return [source.problem(issue.params?.code ?? 'bad-value', path, message, issue.params?.mend)];
};

const furthest = (issues: readonly Issue[]): number =>
  Math.max(...issues.map((issue) => issue.path.length + (issue.code === 'invalid_type' ? 0 : 0.5)));

/** The keys that the schema knows at a path, for did-you-mean. */
const keysAt = (schema: ZodType, path: Path): string[] => {
  let here: readonly Definition[] = [schema];
  for (const part of path) here = here.flatMap(unwrap).flatMap((definition) => into(definition, part));
  return [...new Set(here.flatMap(unwrap).flatMap((definition) => Object.keys(definition.def.shape ?? {})))];
};

type Definition = {
  readonly def: {
    readonly type: string;
    readonly shape?: Record<string, Definition>;
    readonly innerType?: Definition;
    readonly in?: Definition;
    readonly element?: Definition;
    readonly valueType?: Definition;
    readonly options?: readonly Definition[];
  };
};

const unwrap = (definition: Definition): readonly Definition[] => {
  const { def } = definition;
  if (def.options !== undefined) return def.options.flatMap(unwrap);
  const inner = def.innerType ?? def.in;
  return inner === undefined ? [definition] : unwrap(inner);
};

const into = (definition: Definition, part: PropertyKey): readonly Definition[] => {
  const { def } = definition;
  const next = def.shape?.[String(part)] ?? def.element ?? def.valueType;
  return next === undefined ? [] : [next];
};
