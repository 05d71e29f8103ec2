// What others wrote and a step hands to a command, a path or an address: an alert's labels, straight or through an input
// that takes any text. Rendering keeps it one argument; only a pattern says which arguments are meant.
import type { Problem } from '../../base/failure.ts';
import { isObject, pointer } from '../../base/json.ts';
import type { Json, JsonObject } from '../../base/json.ts';
import { RULE_ROOTS, RUNBOOK_ROOTS, showPath } from '../../runbook/path.ts';
import type { Input, Runbook } from '../../runbook/runbook.ts';
import { compileTemplate } from '../../runbook/template.ts';
import type { Reference } from '../../runbook/template.ts';
import { finding } from './finding.ts';
import type { Looked } from './finding.ts';

export const uncheckedLabels = ({ rules, runbooks, written }: Looked): readonly Problem[] => {
  /** By runbook and input, the rule that fills it from a label. */
  const filled = new Map<string, string>();
  for (const rule of rules)
    for (const rung of rule.ladder)
      for (const [input, given] of Object.entries(rung.with))
        if (isForeign(given)) filled.set(`${rung.runbook} ${input}`, rule.name);
  const loaded = new Map([...runbooks.values()].map((runbook) => [runbook.file, runbook]));
  return written.runbooks.flatMap(({ file, value }) => {
    const told = new Set<string>();
    return usesIn(value).flatMap((use) => {
      const found = reached(use, file, loaded.get(file), filled);
      const key = `${found?.pointer ?? ''} ${found?.message ?? ''}`;
      if (found === null || told.has(key)) return [];
      told.add(key);
      return [found];
    });
  });
};

const isForeign = (given: Json): boolean => {
  const template = compileTemplate(given, RULE_ROOTS);
  return template.ok && template.value.references.some(({ path }) => path[0] === 'label' || path[0] === 'annotation');
};

/** A template in the `with` of a step, an undo, a probe or a check. */
type Use = { readonly uses: string; readonly with: JsonObject; readonly at: string; readonly reference: Reference };

const usesIn = (document: Json): readonly Use[] => {
  const found: Use[] = [];
  const walk = (node: Json | undefined, path: readonly PropertyKey[]): void => {
    if (Array.isArray(node)) node.forEach((member: Json, index) => walk(member, [...path, index]));
    if (!isObject(node)) return;
    const { uses, with: given } = node;
    if (typeof uses !== 'string') {
      for (const [key, member] of Object.entries(node)) walk(member, [...path, key]);
      return;
    }
    const template = isObject(given) ? compileTemplate(given, [...RUNBOOK_ROOTS, 'undo']) : null;
    for (const reference of template?.ok === true ? template.value.references : [])
      found.push({ uses, with: given as JsonObject, at: pointer([...path, 'with']), reference });
    for (const side of ['undo', 'probe']) walk(node[side], [...path, side]);
  };
  walk(document, []);
  return found;
};

const reached = (
  use: Use,
  file: string,
  runbook: Runbook | undefined,
  filled: ReadonlyMap<string, string>,
): Problem | null => {
  const { path, pointer: inside } = use.reference;
  const where = destinationOf(use);
  if (where === null) return null;
  if (path[0] === 'alert' && (path[1] === 'labels' || path[1] === 'annotations'))
    return finding(
      'unchecked-label',
      { file, pointer: `${use.at}${inside}` },
      `${showPath(path)} reaches ${where}, and nothing says what it may be`,
      'declare an input with a pattern, let the rule fill it, and use that',
    );
  const input = path[0] === 'inputs' ? String(path[1]) : null;
  const rule = input === null ? undefined : filled.get(`${runbook?.name ?? ''} ${input}`);
  if (input === null || rule === undefined || !takesAnything(runbook?.inputs[input])) return null;
  return finding(
    'unchecked-label',
    { file, pointer: pointer(['inputs', input]) },
    `${rule} fills the input ${input} from a label, it takes any text, and it reaches ${where}`,
    'give it a pattern or an enum',
  );
};

const takesAnything = (input: Input | undefined): boolean =>
  input !== undefined &&
  (input.type === 'string' || input.type === 'list') &&
  input.pattern === null &&
  input.enum === null;

const COMMANDS = /^(command|ssh|validation)\./;
const PATH = /(?:^|_)(?:path|paths|file|files|folder|directory|database|backup|backups|log|archive|socket|repository)$/;
const URL_KEY = /(?:^|_)urls?$/;

/** In words, or null when it goes nowhere that could be abused. */
const destinationOf = ({ uses, with: given, reference }: Use): string | null => {
  const key = reference.pointer.split('/').findLast((part) => part !== '' && !/^\d+$/.test(part)) ?? '';
  const value = valueAt(given, reference.pointer);
  if (URL_KEY.test(key) || (typeof value === 'string' && value.includes('://'))) return `${key} of ${uses}, an address`;
  if (PATH.test(key) || (typeof value === 'string' && value.startsWith('/'))) return `${key} of ${uses}, a path`;
  return COMMANDS.test(uses) ? `${key} of ${uses}, a command` : null;
};

const valueAt = (root: Json, at: string): Json | undefined => {
  let value: Json | undefined = root;
  for (const part of at.split('/').slice(1)) {
    const name = part.replaceAll('~1', '/').replaceAll('~0', '~');
    if (Array.isArray(value)) value = (value as readonly Json[])[Number(name)];
    else value = isObject(value) ? value[name] : undefined;
  }
  return value;
};
