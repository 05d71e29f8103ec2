// JSON text read with the place of every member, so that a refusal can say where. Strict where JSON.parse is lax: a key
// may not come twice, `__proto__` may not come at all, and size and depth are bounded before anything is built.
import { nestingDepth, pointer } from '../base/json.ts';
import type { Json, JsonObject } from '../base/json.ts';
import type { Problem, Result } from '../base/failure.ts';
import { ok, refused } from '../base/failure.ts';

export const LARGEST_FILE = 256 * 1024;
/** Brackets, not conditions: deep enough for 20 nested conditions, shallow enough for any recursion. */
const DEEPEST_TEXT = 64;

export type Path = readonly (string | number)[];
export type Place = { readonly file: string; readonly pointer: string; readonly line: number; readonly column: number };
export type Source = {
  readonly file: string;
  readonly value: JsonObject;
  /** Line and column count from 1; of the nearest member above it when `path` does not exist. */
  place(path: Path): Place;
};

class SyntaxProblem extends Error {
  readonly offset: number;
  readonly code: string;
  readonly mend: string | undefined;
  readonly at: Path | undefined;
  constructor(offset: number, message: string, code = 'bad-json', mend?: string, at?: Path) {
    super(message);
    this.offset = offset;
    this.code = code;
    this.mend = mend;
    this.at = at;
  }
}

export const readSource = (file: string, given: string): Result<Source> => {
  const text = given.startsWith('\uFEFF') ? given.slice(1) : given;
  const problem = (code: string, message: string, mend?: string): Problem => ({
    code,
    message,
    ...(mend === undefined ? {} : { mend }),
    file,
    pointer: '',
    line: 1,
    column: 1,
  });
  const bytes = Buffer.from(text);
  if (bytes.length > LARGEST_FILE) {
    return refused([
      problem(
        'too-large',
        `The file has ${bytes.length} bytes; at most ${LARGEST_FILE} are read`,
        'split it: one rule a file',
      ),
    ]);
  }
  if (nestingDepth(bytes, DEEPEST_TEXT) > DEEPEST_TEXT) {
    return refused([
      problem(
        'too-deep',
        `The file is nested more than ${DEEPEST_TEXT} deep`,
        'flatten its conditions: at most 20 may stand in one another',
      ),
    ]);
  }
  const offsets = new Map<string, number>();
  const lineStarts = startsOfLines(text);
  try {
    const value = parse(text, offsets);
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      return refused([
        problem(
          'bad-value',
          'The file must hold one JSON object',
          'one rule a file: { "name": ..., "conditions": ..., "event": ... }',
        ),
      ]);
    }
    return ok({
      file,
      value: value as JsonObject,
      place: (path) => {
        let known = path.length;
        while (known > 0 && !offsets.has(pointer(path.slice(0, known)))) known -= 1;
        return {
          file,
          pointer: pointer(path),
          ...positionOf(lineStarts, offsets.get(pointer(path.slice(0, known))) ?? 0),
        };
      },
    });
  } catch (error) {
    if (!(error instanceof SyntaxProblem)) throw error;
    return refused([
      {
        code: error.code,
        message: error.message,
        ...(error.mend === undefined ? {} : { mend: error.mend }),
        file,
        ...(error.at === undefined ? {} : { pointer: pointer(error.at) }),
        ...positionOf(lineStarts, error.offset),
      },
    ]);
  }
};

const startsOfLines = (text: string): number[] => {
  const starts = [0];
  for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) starts.push(at + 1);
  return starts;
};

const positionOf = (lineStarts: readonly number[], offset: number): { line: number; column: number } => {
  let low = 0;
  let high = lineStarts.length - 1;
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if ((lineStarts[middle] ?? 0) <= offset) low = middle;
    else high = middle - 1;
  }
  return { line: low + 1, column: offset - (lineStarts[low] ?? 0) + 1 };
};

const SPACE = /[ \t\r\n]*/y;
const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
// oxlint-disable-next-line no-control-regex
const STRING = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
const WORDS: ReadonlyArray<readonly [string, Json]> = [
  ['true', true],
  ['false', false],
  ['null', null],
];

/** Depth is bounded by the caller. Objects have no prototype. */
const parse = (text: string, offsets: Map<string, number>): Json => {
  let at = 0;
  const skip = (): void => {
    SPACE.lastIndex = at;
    SPACE.exec(text);
    at = SPACE.lastIndex;
  };
  const unexpected = (wanted: string): SyntaxProblem => {
    const found = at >= text.length ? 'the end of the file' : JSON.stringify(text[at]);
    return new SyntaxProblem(
      at,
      `Not JSON: ${wanted} was expected, ${found} was found`,
      'bad-json',
      'JSON has no comments, no trailing commas and double quotes only',
    );
  };
  const string = (): string => {
    STRING.lastIndex = at;
    const match = STRING.exec(text);
    if (match === null && text[at] === '"') {
      const mend = 'close it with "; write \\n for a line break and \\\\ for a backslash';
      throw new SyntaxProblem(at, 'Not JSON: the text that begins here does not end on its line', 'bad-json', mend);
    }
    if (match === null) throw unexpected('a string in double quotes');
    at = STRING.lastIndex;
    return JSON.parse(match[0]) as string;
  };
  const value = (path: Path): Json => {
    skip();
    const here = pointer(path);
    if (!offsets.has(here)) offsets.set(here, at);
    const mark = text[at];
    if (mark === '{') return object(path);
    if (mark === '[') return array(path);
    if (mark === '"') return string();
    for (const [word, meaning] of WORDS) {
      if (text.startsWith(word, at)) {
        at += word.length;
        return meaning;
      }
    }
    NUMBER.lastIndex = at;
    const number = NUMBER.exec(text);
    if (number === null) throw unexpected('a value');
    at = NUMBER.lastIndex;
    return Number(number[0]);
  };
  const object = (path: Path): Json => {
    const record = Object.create(null) as Record<string, Json>;
    at += 1;
    skip();
    if (text[at] === '}') {
      at += 1;
      return record;
    }
    for (;;) {
      skip();
      const start = at;
      const key = string();
      const inner = [...path, key];
      if (key === '__proto__')
        throw new SyntaxProblem(start, 'The key "__proto__" is not allowed', 'forbidden-key', 'remove it', inner);
      if (Object.hasOwn(record, key))
        throw new SyntaxProblem(
          start,
          `The key ${JSON.stringify(key)} comes twice`,
          'duplicate-key',
          'remove one of them',
          inner,
        );
      offsets.set(pointer(inner), start);
      skip();
      if (text[at] !== ':') throw unexpected('":"');
      at += 1;
      record[key] = value(inner);
      skip();
      if (text[at] === '}') break;
      if (text[at] !== ',') throw unexpected('"," or "}"');
      at += 1;
    }
    at += 1;
    return record;
  };
  const array = (path: Path): Json => {
    const items: Json[] = [];
    at += 1;
    skip();
    if (text[at] === ']') {
      at += 1;
      return items;
    }
    for (;;) {
      items.push(value([...path, items.length]));
      skip();
      if (text[at] === ']') break;
      if (text[at] !== ',') throw unexpected('"," or "]"');
      at += 1;
    }
    at += 1;
    return items;
  };
  const root = value([]);
  skip();
  if (at < text.length) throw unexpected('the end of the file');
  return root;
};
