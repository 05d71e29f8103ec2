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
export type YamlText = {
  readonly value: Json;
  /** Of what a pointer names, or of the nearest thing above it: a key for a member of a mapping, an item of a list. */
  positionOf(at: string): Position;
};
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
  const place = (problem: Problem): Problem => placed(file, read.value, problem);
  const problems = misfits(runbookSchema, read.value.value).map((problem) => place(problem));
  if (problems.length > 0) return refused(problems);
  return ok({ ...name, file, document: read.value.value as unknown as WrittenRunbook, place });
};

export const parseGroup = (file: string, text: string): Result<GroupDocument> => {
  const read = readYaml(file, text);
  if (!read.ok) return read;
  const problems = misfits(groupSchema, read.value.value).map((problem) => placed(file, read.value, problem));
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
  const problems: Problem[] = [];
  const contents: Node = document.contents;
  const value = plain(contents, [], at, problems);
  if (problems.length > 0) return refused(problems.map((problem) => ({ file, ...problem })));
  return ok({ value, positionOf: (pointed) => at(offsetOf(contents, pointed)) });
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
    // No stack is deeper than it is long, and most are short: the levels are counted only where it could matter.
    if (parser.stack.length > DEEPEST_NESTING && parser.stack.filter(isLevel).length > DEEPEST_NESTING) {
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

const isLevel = ({ type }: CST.Token): boolean =>
  type === 'block-map' || type === 'block-seq' || type === 'flow-collection';

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

const plain = (node: unknown, path: readonly string[], at: (offset: number) => Position, problems: Problem[]): Json => {
  if (node === null || node === undefined) return null;
  const refuse = (problem: Problem, inner: unknown): void =>
    void problems.push({ pointer: pointer(path), ...at((inner as Node | null)?.range?.[0] ?? 0), ...problem });
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
    return node.items.map((item, index) => plain(isPair(item) ? null : item, [...path, String(index)], at, problems));
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
    result[key] = plain(pair.value, [...path, key], at, problems);
  }
  return result;
};

const offsetOf = (contents: Node, pointed: string): number => {
  let node: unknown = contents;
  let offset = contents.range?.[0] ?? 0;
  for (const part of partsOf(pointed)) {
    const pair = isMap(node) ? node.items.find(({ key }) => isScalar(key) && String(key.value) === part) : undefined;
    const next: unknown = isSeq(node) ? node.items[Number(part)] : pair?.value;
    const named: unknown = pair?.key ?? next;
    if (named === undefined) break;
    offset = (named as Node | null)?.range?.[0] ?? offset;
    node = next;
  }
  return offset;
};

const partsOf = (pointed: string): readonly string[] =>
  pointed
    .split('/')
    .slice(1)
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'));

/** Puts file, line and column to a problem that has a pointer. */
const placed = (file: string, text: YamlText, problem: Problem): Problem => ({
  file,
  ...text.positionOf(problem.pointer ?? ''),
  ...problem,
});
