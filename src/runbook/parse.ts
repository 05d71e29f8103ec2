// YAML that somebody wrote, taken in without trusting it: bounded before it is understood, and every place remembered so
// that a refusal can point at it.
import { Composer, LineCounter, Lexer, Parser, isAlias, isMap, isPair, isScalar, isSeq } from 'yaml';
import type { CST, Document, Node, YAMLError } from 'yaml';
import { ok, refused } from '../base/failure.ts';
import type { Problem, Result } from '../base/failure.ts';
import { pointer } from '../base/json.ts';
import type { Json } from '../base/json.ts';
import { misfits } from './shape.ts';
import { groupSchema, runbookSchema } from './schema.ts';
import type { GroupDocument, WrittenRunbook } from './schema.ts';

const LARGEST_FILE = 256 * 1024;
const DEEPEST_NESTING = 20;

export type Position = { readonly line: number; readonly column: number };
export type YamlText = { readonly value: Json; readonly positions: ReadonlyMap<string, Position> };
export type ParsedRunbook = {
  readonly kind: string;
  readonly strategy: string;
  readonly file: string;
  readonly document: WrittenRunbook;
  /** The document with this file, and the place of its pointer or of the nearest one above it. */
  place(problem: Problem): Problem;
};

type Name = { readonly kind: string; readonly strategy: string };

export const parseRunbook = (file: string, text: string, name: Name): Result<ParsedRunbook> => {
  const read = readYaml(file, text);
  if (!read.ok) return read;
  const place = (problem: Problem): Problem => placed(file, read.value.positions, problem);
  const problems = misfits(runbookSchema, read.value.value).map((problem) => place(problem));
  if (problems.length > 0) return refused(problems);
  return ok({ ...name, file, document: read.value.value as unknown as WrittenRunbook, place });
};

export const parseGroup = (file: string, text: string): Result<GroupDocument> => {
  const read = readYaml(file, text);
  if (!read.ok) return read;
  const problems = misfits(groupSchema, read.value.value).map((problem) => placed(file, read.value.positions, problem));
  return problems.length > 0 ? refused(problems) : ok(read.value.value as unknown as GroupDocument);
};

/** `runbooks/redis/reconnect.yaml` is the strategy `reconnect` for the kind `redis`. */
export const nameFromPath = (file: string): Result<Name> => {
  const match = /(?:^|\/)([^/]+)\/([^/]+)\.ya?ml$/.exec(file.replaceAll('\\', '/'));
  const [, kind = '', strategy = ''] = match ?? [];
  const shape = /^[a-z][a-z0-9_-]{0,63}$/;
  if (shape.test(kind) && shape.test(strategy)) return ok({ kind, strategy });
  return refused([
    {
      code: 'bad-path',
      message: 'a runbook is named by its path, and this one names no kind and strategy',
      mend: 'put it at <kind>/<strategy>.yaml, in small letters, digits, - and _, for example runbooks/redis/reconnect.yaml',
      file,
    },
  ]);
};

/** One YAML document as plain JSON on prototype-free objects. */
export const readYaml = (file: string, text: string): Result<YamlText> => {
  const size = Buffer.byteLength(text);
  if (size > LARGEST_FILE) {
    return refused([
      {
        code: 'too-large',
        message: `${size} bytes are more than the ${LARGEST_FILE} that a file may have`,
        mend: 'split it',
        file,
      },
    ]);
  }
  const lines = new LineCounter();
  const at = (offset: number): Position => {
    const found = lines.linePos(offset);
    return { line: Math.max(1, found.line), column: Math.max(1, found.col) };
  };
  const tokens = tokensOf(text, lines);
  if (!tokens.ok) return refused(tokens.problems.map((problem) => ({ file, ...problem, ...at(tokens.offset) })));
  const documents = [
    ...new Composer({ uniqueKeys: true, version: '1.2', schema: 'core', merge: false, lineCounter: lines }).compose(
      tokens.value,
      true,
      text.length,
    ),
  ];
  const [document, second] = documents;
  if (document === undefined || document.contents === null)
    return refused([
      { code: 'empty', message: 'the file is empty', mend: 'see schemas/ for what belongs into it', file },
    ]);
  if (second !== undefined) {
    return refused([
      {
        code: 'several-documents',
        message: 'the file holds more than one YAML document',
        mend: 'one file, one document: take out the line ---',
        file,
        ...at(second.range[0]),
      },
    ]);
  }
  const syntax = syntaxProblems(document, at);
  if (syntax.length > 0) return refused(syntax.map((problem) => ({ file, ...problem })));
  const positions = new Map<string, Position>();
  const problems: Problem[] = [];
  const value = plain(document.contents, [], at, positions, problems);
  return problems.length > 0 ? refused(problems.map((problem) => ({ file, ...problem }))) : ok({ value, positions });
};

type Tokens =
  | { readonly ok: true; readonly value: readonly CST.Token[] }
  | { readonly ok: false; readonly offset: number; readonly problems: readonly Problem[] };

/** The parser is iterative; what stands after it recurses. So depth is bounded here, while the stack grows. */
const tokensOf = (text: string, lines: LineCounter): Tokens => {
  const parser = new Parser(lines.addNewLine);
  // The parser announces line starts only through parse(), so the first and the following ones are given by hand.
  lines.addNewLine(0);
  for (let next = text.indexOf('\n'); next !== -1; next = text.indexOf('\n', next + 1)) lines.addNewLine(next + 1);
  const tokens: CST.Token[] = [];
  for (const lexeme of new Lexer().lex(text)) {
    for (const token of parser.next(lexeme)) tokens.push(token);
    const depth = parser.stack.filter(
      (token) => token.type === 'block-map' || token.type === 'block-seq' || token.type === 'flow-collection',
    ).length;
    if (depth > DEEPEST_NESTING) {
      const problem = {
        code: 'too-deep',
        message: `nested more than ${DEEPEST_NESTING} levels deep`,
        mend: 'flatten it; no runbook needs that',
      };
      return { ok: false, offset: parser.offset, problems: [problem] };
    }
  }
  for (const token of parser.end()) tokens.push(token);
  return { ok: true, value: tokens };
};

const syntaxProblems = (document: Document.Parsed, at: (offset: number) => Position): readonly Problem[] => {
  const complaints: readonly YAMLError[] = [...document.errors, ...document.warnings];
  return complaints.map((complaint) => {
    const message =
      complaint.message
        .split('\n')[0]
        ?.replace(/ at line \d+, column \d+:?$/, '')
        .replace(/:$/, '') ?? complaint.message;
    const place = at(complaint.pos[0]);
    if (complaint.code === 'TAG_RESOLVE_FAILED') return { ...TAGGED, ...place };
    if (complaint.code === 'DUPLICATE_KEY')
      return { code: 'duplicate-key', message: 'the same key stands here twice', mend: 'keep one of them', ...place };
    return {
      code: 'bad-yaml',
      message: `not YAML: ${message}`,
      mend: 'quote text that holds : # { } [ ] & * ! | > % @ or `',
      ...place,
    };
  });
};

const TAGGED = {
  code: 'tag',
  message: 'YAML tags (!name) are not taken',
  mend: 'leave the tag out; a text that begins with ! needs quotes, for example if: "!(inputs.force)"',
};

const plain = (
  node: unknown,
  path: readonly string[],
  at: (offset: number) => Position,
  positions: Map<string, Position>,
  problems: Problem[],
): Json => {
  const where = (inner: unknown): Position => at((inner as Node | null)?.range?.[0] ?? 0);
  const place = pointer(path);
  if (!positions.has(place)) positions.set(place, where(node));
  if (node === null || node === undefined) return null;
  const refuse = (problem: Problem, inner: unknown): void =>
    void problems.push({ pointer: place, ...where(inner), ...problem });
  if (isAlias(node)) {
    refuse(
      {
        code: 'alias',
        message: 'YAML aliases (*name) are not taken: a few of them can grow into gigabytes',
        mend: 'write the value out',
      },
      node,
    );
    return null;
  }
  if ((node as Node).tag !== undefined && (isScalar(node) || isMap(node) || isSeq(node))) refuse(TAGGED, node);
  if (isScalar(node)) {
    const value = node.value;
    if (typeof value === 'number' && !Number.isFinite(value))
      refuse(
        { code: 'not-a-number', message: 'neither infinity nor NaN is a value here', mend: 'write a number' },
        node,
      );
    else if (typeof value === 'number' && Number.isInteger(value) && !Number.isSafeInteger(value)) {
      refuse({ code: 'number-too-large', message: 'this whole number would lose digits', mend: 'quote it' }, node);
    } else if (value === null || typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean')
      return value;
    else refuse({ code: 'bad-yaml', message: 'this value is none that JSON knows', mend: 'quote it' }, node);
    return null;
  }
  if (isSeq(node)) {
    return node.items.map((item, index) =>
      plain(isPair(item) ? null : item, [...path, String(index)], at, positions, problems),
    );
  }
  if (!isMap(node)) return null;
  const result = Object.create(null) as Record<string, Json>;
  for (const pair of node.items) {
    const key =
      isScalar<string | number | null>(pair.key) && pair.key.value !== null ? String(pair.key.value) : undefined;
    if (key === undefined || key === '__proto__') {
      refuse(
        {
          code: 'bad-key',
          message: key === undefined ? 'a key must be plain text' : 'no key may be called __proto__',
          mend: 'rename it',
        },
        pair.key,
      );
      continue;
    }
    positions.set(pointer([...path, key]), where(pair.key));
    result[key] = plain(pair.value, [...path, key], at, positions, problems);
  }
  return result;
};

/** Puts file, line and column to a problem that has a pointer. */
const placed = (file: string, positions: ReadonlyMap<string, Position>, problem: Problem): Problem => {
  let at = problem.pointer ?? '';
  while (at !== '' && !positions.has(at)) at = at.slice(0, at.lastIndexOf('/'));
  const position = positions.get(at);
  return { file, ...position, ...problem };
};
