// Templates: ${{ path }} fills one argument, one URL segment or one JSON value, and can never become more than that.
import { ok, refused } from '../base/failure.ts';
import type { Problem, Result } from '../base/failure.ts';
import { isObject, pointer } from '../base/json.ts';
import type { Json } from '../base/json.ts';
import { RUNBOOK_ROOTS, lookUp, parsePath, showPath, unknownRoot } from './path.ts';
import type { Context, Path } from './path.ts';

type Part = { readonly literal: string } | { readonly path: Path };
type Compiled =
  | { readonly type: 'literal'; readonly value: Json }
  | { readonly type: 'text'; readonly parts: readonly Part[]; readonly pointer: string }
  | { readonly type: 'list'; readonly members: readonly Compiled[] }
  | { readonly type: 'record'; readonly members: ReadonlyArray<readonly [string, Compiled]> };

/** Where a template stands and what it names. */
export type Reference = { readonly path: Path; readonly pointer: string };
export type Template = { readonly compiled: Compiled; readonly references: readonly Reference[] };

/**
 * `argument`: what comes from the alert, an input or a step may become an argument of a command, so it may neither begin
 * like an option nor hold control characters. `text`: it is only ever read by people or sent as JSON.
 */
export type Style = 'argument' | 'text';
export const styleOf = (action: string): Style => (/^(inbox|notify|degrade|http)\./.test(action) ? 'text' : 'argument');

/** What others than the configuration's author can put words into. */
const FOREIGN = new Set(['alert', 'label', 'annotation', 'inputs', 'steps', 'undo']);
const OPEN = '${{';
const LONGEST_VALUE = 65_536;

export const hasTemplate = (value: Json): boolean => {
  if (typeof value === 'string') return value.includes(OPEN);
  if (Array.isArray(value)) return value.some(hasTemplate);
  return isObject(value) && Object.values(value as Record<string, Json>).some(hasTemplate);
};

export const compileTemplate = (value: Json, roots: Iterable<string> = RUNBOOK_ROOTS): Result<Template> => {
  const known = new Set(roots);
  const problems: Problem[] = [];
  const references: Reference[] = [];
  const compile = (member: Json, path: readonly PropertyKey[]): Compiled => {
    if (typeof member === 'string' && member.includes(OPEN))
      return compileText(member, path, known, problems, references);
    if (Array.isArray(member))
      return { type: 'list', members: member.map((inner: Json, index) => compile(inner, [...path, index])) };
    if (!isObject(member)) return { type: 'literal', value: member };
    const entries = Object.entries(member as Record<string, Json>);
    for (const [key] of entries) {
      if (key.includes(OPEN)) {
        const problem = {
          code: 'bad-template',
          message: 'a template fills a value, not a key',
          mend: 'write the key out',
          pointer: pointer([...path, key]),
        };
        problems.push(problem);
      }
    }
    return { type: 'record', members: entries.map(([key, inner]) => [key, compile(inner, [...path, key])] as const) };
  };
  const compiled = compile(value, []);
  return problems.length > 0 ? refused(problems) : ok({ compiled, references });
};

const compileText = (
  text: string,
  at: readonly PropertyKey[],
  known: ReadonlySet<string>,
  problems: Problem[],
  references: Reference[],
): Compiled => {
  const place = pointer(at);
  const parts: Part[] = [];
  let rest = text;
  for (let open = rest.indexOf(OPEN); open !== -1; open = rest.indexOf(OPEN)) {
    const close = closing(rest, open + OPEN.length);
    if (close === -1) {
      problems.push({
        code: 'bad-template',
        message: 'a ${{ has no }}',
        mend: 'close it: ${{ path }}',
        pointer: place,
      });
      return { type: 'literal', value: null };
    }
    if (open > 0) parts.push({ literal: rest.slice(0, open) });
    const path = parsePath(rest.slice(open + OPEN.length, close));
    if (!path.ok) problems.push(...path.problems.map((problem) => ({ ...problem, pointer: place })));
    else if (!known.has(path.value[0])) problems.push({ ...unknownRoot(path.value[0], known), pointer: place });
    else {
      parts.push({ path: path.value });
      references.push({ path: path.value, pointer: place });
    }
    rest = rest.slice(close + 2);
  }
  if (rest !== '') parts.push({ literal: rest });
  problems.push(...misplaced(parts, at).map((problem) => ({ ...problem, pointer: place })));
  return { type: 'text', parts, pointer: place };
};

/** The `}}` that ends the template, past those inside quotes. */
const closing = (text: string, from: number): number => {
  let quote = '';
  for (let at = from; at < text.length; at += 1) {
    const mark = text.charAt(at);
    if (quote !== '') {
      if (mark === '\\') at += 1;
      else if (mark === quote) quote = '';
    } else if (mark === '"' || mark === "'") quote = mark;
    else if (mark === '}' && text.charAt(at + 1) === '}') return at;
  }
  return -1;
};

/** What can be seen at load: a label that would pick the host, or be the whole address. */
const misplaced = (parts: readonly Part[], at: readonly PropertyKey[]): readonly Problem[] => {
  const [first] = parts;
  const key = String(at.at(-1) ?? '');
  const problems: Problem[] = [];
  if (
    /^(url|uri|endpoint|address|host)$|_url$/.test(key) &&
    first !== undefined &&
    'path' in first &&
    /^(alert|label|annotation)$/.test(first.path[0])
  ) {
    problems.push({
      code: 'address-from-alert',
      message: `${key} would come from the alert's own text`,
      mend: `declare the address in the component's connect and write \${{ connect.${key} }}`,
    });
  }
  let before = '';
  for (const part of parts) {
    if ('literal' in part) before += part.literal;
    else {
      if (inAuthority(before) && FOREIGN.has(part.path[0])) problems.push(authorityProblem(part.path));
      before += 'x';
    }
  }
  return problems;
};

const authorityProblem = (path: Path): Problem => ({
  code: 'host-from-outside',
  message: `${showPath(path)} would choose the host of a URL`,
  mend: 'only target and connect name hosts: declare it in the inventory',
});

const SCHEME = /^[a-z][a-z0-9+.-]*:\/\//i;
/** True while `before` is a URL whose host is still being written. */
const inAuthority = (before: string): boolean => {
  const scheme = SCHEME.exec(before)?.[0];
  return scheme !== undefined && !/[/?#\\]/.test(before.slice(scheme.length));
};

/** Every template replaced by its value. A missing value is a problem; nothing is ever left empty. */
export const render = (template: Template, context: Context, style: Style = 'argument'): Result<Json> => {
  const problems: Problem[] = [];
  const fill = (compiled: Compiled): Json => {
    switch (compiled.type) {
      case 'literal':
        return compiled.value;
      case 'list':
        return compiled.members.map(fill);
      case 'record': {
        const record = Object.create(null) as Record<string, Json>;
        for (const [key, member] of compiled.members) record[key] = fill(member);
        return record;
      }
      case 'text': {
        const filled = fillText(compiled.parts, context, style);
        if (filled.ok) return filled.value;
        problems.push(...filled.problems.map((problem) => ({ ...problem, pointer: compiled.pointer })));
        return null;
      }
    }
  };
  const value = fill(template.compiled);
  return problems.length > 0 ? refused(problems) : ok(value);
};

const fillText = (parts: readonly Part[], context: Context, style: Style): Result<Json> => {
  const [only] = parts;
  if (parts.length === 1 && only !== undefined && 'path' in only) {
    const value = lookUp(only.path, context);
    if (!value.ok) return value;
    const unfit = style === 'argument' && FOREIGN.has(only.path[0]) ? unfitArgument(value.value, only.path) : undefined;
    return unfit === undefined ? value : refused([unfit]);
  }
  const problems: Problem[] = [];
  let text = '';
  for (const part of parts) {
    if ('literal' in part) text += part.literal;
    else {
      const value = fillPart(part.path, text, context, style);
      if (value.ok) text += value.value;
      else problems.push(...value.problems);
    }
  }
  return problems.length > 0 ? refused(problems) : ok(text);
};

const fillPart = (path: Path, before: string, context: Context, style: Style): Result<string> => {
  const found = lookUp(path, context);
  if (!found.ok) return found;
  const value = found.value;
  const shown = showPath(path);
  if (typeof value !== 'string' && typeof value !== 'number' && typeof value !== 'boolean') {
    const what = value === null ? 'null' : Array.isArray(value) ? 'a list' : 'an object';
    return refused([
      {
        code: 'not-a-scalar',
        message: `${shown} is ${what} and cannot stand inside a text`,
        mend: 'let the template be the whole value',
      },
    ]);
  }
  const text = String(value);
  if (text.length > LONGEST_VALUE) return refused([unfit(shown, `is longer than ${LONGEST_VALUE} characters`)]);
  const foreign = FOREIGN.has(path[0]);
  if (inAuthority(before)) return authority(path, text);
  if (SCHEME.test(before)) return segment(text, shown);
  const problem = foreign && style === 'argument' ? unfitArgument(text, path) : undefined;
  if (problem !== undefined) return refused([problem]);
  if (foreign && before.endsWith('/') && (isDots(text) || /[/\\]/.test(text)))
    return refused([unfit(shown, 'would leave its place in the path')]);
  return ok(text);
};

const authority = (path: Path, text: string): Result<string> => {
  if (FOREIGN.has(path[0])) return refused([authorityProblem(path)]);
  if (/^(?:[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?$/.test(text)) return ok(text);
  return refused([unfit(showPath(path), 'is not a host, or a host and port')]);
};

/** One encoded segment, that can be neither more segments nor another place. */
const segment = (text: string, shown: string): Result<string> => {
  if (isDots(text)) return refused([unfit(shown, 'would climb up the path of the URL')]);
  let decoded = text;
  for (let round = 0; round < 4; round += 1) {
    // oxlint-disable-next-line no-control-regex
    if (/[/\\@#\u0000-\u001f\u007f]/.test(decoded))
      return refused([unfit(shown, 'holds one of / \\ @ # or a control character')]);
    const next = decodeOnce(decoded);
    if (next === decoded) break;
    decoded = next;
  }
  if (text === '') return refused([unfit(shown, 'is empty, and a URL segment may not be')]);
  if (/\p{Surrogate}/u.test(text)) return refused([unfit(shown, 'is not well-formed Unicode')]);
  return ok(encodeURIComponent(text));
};

const decodeOnce = (text: string): string =>
  text.replaceAll(/%([0-9a-fA-F]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));

const isDots = (text: string): boolean => {
  let decoded = text;
  for (let round = 0; round < 4; round += 1) decoded = decodeOnce(decoded);
  return /^\s*\.{1,2}\s*$/.test(decoded);
};

const unfit = (shown: string, why: string): Problem => ({
  code: 'unfit-value',
  message: `the value of ${shown} ${why}`,
});

const unfitArgument = (value: Json, path: Path): Problem | undefined => {
  if (Array.isArray(value))
    return (value as readonly Json[])
      .map((member) => unfitArgument(member, path))
      .find((problem) => problem !== undefined);
  if (typeof value !== 'string') return undefined;
  if (/^[-@]/.test(value))
    return unfit(showPath(path), 'begins with - or @, and a command could take it for an option or a file');
  // oxlint-disable-next-line no-control-regex
  if (/[\u0000-\u001f\u007f]/.test(value)) return unfit(showPath(path), 'holds control characters');
  return undefined;
};

/** The `connect` of an inventory entry, which may name `${{ target }}`. */
export const renderConnect = (
  connect: Readonly<Record<string, Json>>,
  targetName: string,
): Result<Readonly<Record<string, Json>>> => {
  const template = compileTemplate(connect, ['target']);
  if (!template.ok) return template;
  return render(template.value, { target: targetName }, 'text') as Result<Readonly<Record<string, Json>>>;
};
