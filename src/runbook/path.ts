// Paths like steps.probe.outputs.ms or alert.labels["k8s.pod"]: how templates name a value, and the only way they reach
// one. Own members of plain data alone; nothing is inherited and nothing is called.
import { didYouMean, ok, refused } from '../base/failure.ts';
import type { Problem, Result } from '../base/failure.ts';
import type { Json } from '../base/json.ts';

export type Path = readonly [string, ...(string | number)[]];
export type Context = Readonly<Record<string, Json>>;

/** What the templates and conditions of a runbook may name. */
export const RUNBOOK_ROOTS = ['inputs', 'target', 'connect', 'component', 'alert', 'run', 'steps'] as const;
/** What the `with` of a rule may name. */
export const RULE_ROOTS = ['label', 'annotation', 'target', 'component'] as const;

/** GitHub's (and others') contexts, with what stands for them here. */
const FOREIGN_ROOTS: ReadonlyMap<string, string> = new Map([
  ['github', 'what happened is in alert, what it happened to in target'],
  ['env', 'write inputs.<name> and declare it under inputs:'],
  ['vars', 'write inputs.<name> and declare it under inputs:'],
  ['secrets', "name the secret's file in the component's connect, as password_file or token_file"],
  ['needs', 'write steps.<id>.outputs.<name>'],
  ['jobs', 'write steps.<id>.outputs.<name>'],
  ['job', 'write run'],
  ['matrix', 'write inputs.<name> and declare it under inputs:'],
  ['runner', 'write component or target'],
  ['label', 'write alert.labels.<name>'],
  ['labels', 'write alert.labels.<name>'],
  ['annotation', 'write alert.annotations.<name>'],
  ['annotations', 'write alert.annotations.<name>'],
  ['outputs', 'write steps.<id>.outputs.<name>'],
]);

const LONGEST_PATH = 300;
const PART = /\.([A-Za-z_][A-Za-z0-9_]*)|\[\s*(?:"((?:[^"\\]|\\["\\])*)"|'((?:[^'\\]|\\['\\])*)'|(\d{1,6}))\s*\]/y;

export const parsePath = (text: string): Result<Path> => {
  const trimmed = text.trim();
  const head = /^[A-Za-z_][A-Za-z0-9_]*/.exec(trimmed)?.[0];
  const parts: (string | number)[] = [];
  let at = head?.length ?? 0;
  while (head !== undefined && at < trimmed.length && trimmed.length <= LONGEST_PATH) {
    PART.lastIndex = at;
    const match = PART.exec(trimmed);
    if (match === null) break;
    const [whole, name, double, single, index] = match;
    parts.push(index !== undefined ? Number(index) : (name ?? (double ?? single ?? '').replaceAll(/\\(.)/g, '$1')));
    at += whole.length;
  }
  if (head !== undefined && at === trimmed.length) return ok([head, ...parts]);
  return refused([notAPath(trimmed, trimmed.slice(at))]);
};

const notAPath = (text: string, rest: string): Problem => {
  const shown = JSON.stringify(text.length > 80 ? `${text.slice(0, 77)}...` : text);
  const problem = { code: 'bad-template', message: `\${{ }} takes one path, and ${shown} is none` };
  if (text === '') return { ...problem, mend: 'write what to put in, for example ${{ connect.url }}' };
  if (/^[A-Za-z]+\s*\(/.test(text))
    return { ...problem, mend: 'functions are known to if: and expect: only; here a path like steps.probe.outputs.ms' };
  if (/^\s*(\|\||&&|==|!=|[+*<>?]|!)/.test(rest)) {
    return {
      ...problem,
      mend: 'operators are known to if: and expect: only; for a value that may be missing declare an input with a default',
    };
  }
  if (rest.startsWith('.') || rest.startsWith('-'))
    return { ...problem, mend: 'a key with dots, dashes or other signs is written label["k8s.pod"]' };
  if (text.startsWith('{{') || rest.startsWith('|'))
    return { ...problem, mend: 'this is not Go or Jinja: no pipes, no functions; write ${{ path }}' };
  return {
    ...problem,
    mend: 'a path looks like inputs.name, connect.url, alert.labels["k8s.pod"] or steps.probe.outputs.ms',
  };
};

export const showPath = (path: readonly (string | number)[]): string =>
  path
    .map((part, index) => {
      if (typeof part === 'number') return `[${part}]`;
      if (index === 0) return part;
      return /^[A-Za-z_][A-Za-z0-9_]*$/.test(part) ? `.${part}` : `[${JSON.stringify(part)}]`;
    })
    .join('');

/** The value at `path`; a missing one is an error, never nothing. */
export const lookUp = (path: readonly [string, ...(string | number)[]], context: Context): Result<Json> => {
  let at: Json = context;
  for (const [index, part] of path.entries()) {
    const holder: Json = at;
    const next = member(holder, part);
    if (next === undefined) return refused([missing(path, index, holder)]);
    at = next;
  }
  // Alone, these stand for the name of what they are.
  if (
    path.length === 1 &&
    (path[0] === 'target' || path[0] === 'component') &&
    typeof at === 'object' &&
    at !== null &&
    !Array.isArray(at)
  ) {
    return ok(member(at, 'name') ?? at);
  }
  return ok(at);
};

const member = (holder: Json, part: string | number): Json | undefined => {
  if (Array.isArray(holder)) return typeof part === 'number' ? (holder as readonly Json[])[part] : undefined;
  if (typeof holder !== 'object' || holder === null || typeof part === 'number') return undefined;
  return Object.hasOwn(holder, part) ? (holder as Readonly<Record<string, Json>>)[part] : undefined;
};

const missing = (path: readonly (string | number)[], index: number, holder: Json): Problem => {
  const upTo = showPath(path.slice(0, index + 1));
  const keys = typeof holder === 'object' && holder !== null && !Array.isArray(holder) ? Object.keys(holder) : [];
  const near = didYouMean(String(path[index]), keys);
  return {
    code: 'missing-value',
    message: `${upTo} is not there${upTo === showPath(path) ? '' : `, so ${showPath(path)} has no value`}`,
    ...(near === undefined ? {} : { mend: `did you mean ${showPath([...path.slice(0, index), near])}?` }),
  };
};

/** Why a root is not known here, in the words of one who came from elsewhere. */
export const unknownRoot = (root: string, roots: Iterable<string>): Problem => {
  const known = [...roots];
  const foreign = FOREIGN_ROOTS.get(root);
  const near = didYouMean(root, known);
  return {
    code: 'unknown-context',
    message: `${root} is not known here`,
    mend: foreign ?? (near === undefined ? `use one of ${known.join(', ')}` : `did you mean ${near}?`),
  };
};
