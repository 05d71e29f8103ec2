// What others wrote and a step hands to a command, a path or an address: an alert's labels, straight or through an input
// that takes any text. Rendering keeps it one argument; only a pattern says which arguments are meant.
import type { Problem } from '../../base/failure.ts';
import { isObject, pointer } from '../../base/json.ts';
import type { Json, JsonObject } from '../../base/json.ts';
import { RULE_ROOTS, showPath } from '../../runbook/path.ts';
import type { ActionStep, Input, Runbook } from '../../runbook/runbook.ts';
import { isApproval } from '../../runbook/runbook.ts';
import { compileTemplate } from '../../runbook/template.ts';
import type { Reference } from '../../runbook/template.ts';
import { finding } from './finding.ts';
import type { Looked } from './finding.ts';

export const uncheckedLabels = ({ rules, runbooks }: Looked): readonly Problem[] => {
  /** By runbook and input, the rule that fills it from a label. */
  const filled = new Map<string, string>();
  for (const rule of rules)
    for (const rung of rule.ladder)
      for (const [input, given] of Object.entries(rung.with))
        if (isForeign(given)) filled.set(`${rung.runbook} ${input}`, rule.name);
  return [...runbooks.values()].flatMap((runbook) => {
    const told = new Set<string>();
    return usesOf(runbook).flatMap((use) => {
      const found = reached(use, runbook, filled);
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

type Use = { readonly uses: string; readonly with: JsonObject; readonly at: string; readonly reference: Reference };

const usesOf = (runbook: Runbook): readonly Use[] => {
  const call = (uses: string, given: JsonObject, at: string): readonly Use[] => {
    const template = compileTemplate(given);
    return template.ok ? template.value.references.map((reference) => ({ uses, with: given, at, reference })) : [];
  };
  const stepsIn = (steps: readonly ActionStep[], at: string): readonly Use[] =>
    steps.flatMap((step, index) => [
      ...call(step.uses, step.with, `${at}/${index}/with`),
      ...(step.undo === null ? [] : call(step.undo.uses, step.undo.with, `${at}/${index}/undo/with`)),
      ...(step.probe === null ? [] : call(step.probe.uses, step.probe.with, `${at}/${index}/probe/with`)),
    ]);
  const actionsIn = (steps: Runbook['steps'], at: string): readonly Use[] =>
    steps.flatMap((step, index) =>
      isApproval(step)
        ? []
        : stepsIn([step], at).map((use) => ({ ...use, at: use.at.replace(`${at}/0`, `${at}/${index}`) })),
    );
  return [
    ...actionsIn(runbook.before, '/before'),
    ...actionsIn(runbook.steps, '/steps'),
    ...stepsIn(runbook.rollback ?? [], '/rollback'),
    ...runbook.verify.flatMap((check, index) =>
      check.type === 'action' ? call(check.uses, check.with, `/verify/${index}/with`) : [],
    ),
    ...stepsIn(runbook.onSuccess.steps, '/on_success/steps'),
    ...stepsIn(runbook.onFailure.steps, '/on_failure/steps'),
    ...stepsIn(runbook.onExhausted.steps, '/on_exhausted/steps'),
  ];
};

const reached = (use: Use, runbook: Runbook, filled: ReadonlyMap<string, string>): Problem | null => {
  const { path, pointer: inside } = use.reference;
  const where = destinationOf(use);
  if (where === null) return null;
  if (path[0] === 'alert' && (path[1] === 'labels' || path[1] === 'annotations')) {
    const name = showPath(path);
    return finding(
      'unchecked-label',
      { file: runbook.file, pointer: `${use.at}${inside}` },
      `${name} reaches ${where} of ${use.uses}, and nothing says what it may be`,
      'declare an input with a pattern, let the rule fill it, and use that',
    );
  }
  const input = path[0] === 'inputs' ? String(path[1]) : null;
  const rule = input === null ? undefined : filled.get(`${runbook.name} ${input}`);
  if (input === null || rule === undefined || !takesAnything(runbook.inputs[input])) return null;
  return finding(
    'unchecked-label',
    { file: runbook.file, pointer: pointer(['inputs', input]) },
    `The input ${input} takes any text, ${rule} fills it from a label, and it reaches ${where} of ${use.uses}`,
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
  if (URL_KEY.test(key) || (typeof value === 'string' && value.includes('://'))) return `the address ${key}`;
  if (PATH.test(key) || (typeof value === 'string' && value.startsWith('/'))) return `the path ${key}`;
  return COMMANDS.test(uses) ? `the command's ${key}` : null;
};

const valueAt = (root: Json, at: string): Json | undefined => {
  let value: Json | undefined = root;
  for (const part of at.split('/').slice(1)) {
    const name = part.replaceAll('~1', '/').replaceAll('~0', '~');
    if (Array.isArray(value)) value = (value as readonly Json[])[Number(name)];
    else value = isObject(value) ? (value as JsonObject)[name] : undefined;
  }
  return value;
};
