// The `with` of a step against the action behind it: what is written out is checked by the action's own schema, what is
// a template by what it names.
import type { ZodType } from 'zod';
import { didYouMean } from '../base/failure.ts';
import type { Problem } from '../base/failure.ts';
import type { Json, JsonObject } from '../base/json.ts';
import { RUNBOOK_ROOTS, showPath } from './path.ts';
import type { Path } from './path.ts';
import type { Effect } from './runbook.ts';
import { misfits } from './shape.ts';
import { compileTemplate } from './template.ts';
import type { Reference } from './template.ts';
import type { Scope } from './tree.ts';

/** What loading needs to know of an action. */
export type KnownAction = {
  readonly effect: Effect;
  readonly input: ZodType;
  readonly outputs: Readonly<Record<string, string>>;
  readonly defaultTimeout: number;
  readonly saves?: true;
  readonly keeps?: true;
  readonly onlyTells?: true;
};
export type KnownActions = ReadonlyMap<string, KnownAction>;

export type Sight = {
  readonly scope: Scope;
  /** Steps that have been before this one: only they have outputs. */
  readonly earlier: ReadonlySet<string>;
  /** In the `with` of an undo, `undo` is what its step kept. */
  readonly undo: boolean;
};

/** Pointers start at the `with`. */
export const checkArguments = (
  uses: string,
  action: KnownAction,
  given: JsonObject,
  sight: Sight,
): readonly Problem[] => {
  const roots = sight.undo ? [...RUNBOOK_ROOTS, 'undo'] : RUNBOOK_ROOTS;
  const template = compileTemplate(given, roots);
  if (!template.ok) return template.problems;
  const { references } = template.value;
  const templated = references.map((reference) => reference.pointer);
  return [
    ...misfits(action.input, given).filter((problem) => isCertain(problem, templated)),
    ...references.flatMap((reference) => checkReference(reference, sight)),
    ...(uses === 'command.run' ? checkInterpreter(given, references) : []),
    ...(uses.startsWith('kubernetes.') ? checkDeclared(references) : []),
  ];
};

/** The question of an approval step, whose templates show the approver what earlier steps found out. */
export const checkQuestion = (question: string, sight: Sight): readonly Problem[] => {
  const template = compileTemplate({ question }, RUNBOOK_ROOTS);
  return template.ok
    ? template.value.references.flatMap((reference) => checkReference(reference, sight))
    : template.problems;
};

/** A cluster, a namespace and a workload are what a target declares: no label, input or output picks another. */
const checkDeclared = (references: readonly Reference[]): readonly Problem[] =>
  references
    .filter(
      ({ path, pointer }) =>
        /^\/connect(?:\/|$)/.test(pointer) && !['connect', 'target', 'component'].includes(path[0]),
    )
    .map(({ path, pointer }) => ({
      code: 'workload-from-outside',
      message: `${showPath(path)} would choose what is changed in the cluster`,
      mend: "declare it in the target's connect and write connect: ${{ connect }}",
      pointer,
    }));

/** A template may turn into anything, so whatever touches one is left to the check before the step. */
const isCertain = (problem: Problem, templated: readonly string[]): boolean => {
  if (problem.code === 'unknown-key' || problem.code === 'missing') return true;
  const at = problem.pointer ?? '';
  return !templated.some((place) => place === at || at.startsWith(`${place}/`) || place.startsWith(`${at}/`));
};

const MEMBERS: Readonly<Record<string, readonly string[]>> = {
  target: ['name', 'labels'],
  component: ['name', 'kind', 'team'],
  alert: ['labels', 'annotations', 'starts_at'],
};

const checkReference = ({ path, pointer }: Reference, sight: Sight): readonly Problem[] => {
  const [root, name] = path;
  if (root === 'inputs') return unknown(path, 1, Object.keys(sight.scope.inputs), 'declare it under inputs:', pointer);
  if (root === 'steps') return checkStepReference(path, sight, pointer);
  const members = MEMBERS[root];
  return members === undefined || name === undefined
    ? []
    : unknown(path, 1, members, `${root} has ${members.join(', ')}`, pointer);
};

const checkStepReference = (path: Path, sight: Sight, pointer: string): readonly Problem[] => {
  const [, id, member, output] = path;
  if (id === undefined || member === undefined) {
    return [
      {
        code: 'bad-template',
        message: `${showPath(path)} alone is not a value`,
        mend: 'write steps.<id>.outputs.<name>',
        pointer,
      },
    ];
  }
  const outputs = sight.scope.steps.get(String(id));
  if (outputs === undefined)
    return unknown(path, 1, [...sight.scope.steps.keys()], 'name a step of this runbook by its id', pointer);
  if (!sight.earlier.has(String(id))) {
    return [
      {
        code: 'not-yet',
        message: `steps.${id} comes later, so ${showPath(path)} has no value yet`,
        mend: `move the step ${id} before this one`,
        pointer,
      },
    ];
  }
  const wrong = unknown(path, 2, ['outcome', 'outputs', 'error'], 'a step has outcome, outputs and error', pointer);
  if (wrong.length > 0 || member !== 'outputs' || outputs === null || output === undefined) return wrong;
  const has = outputs.size === 0 ? 'its action has no outputs' : `its action gives ${[...outputs].join(', ')}`;
  return unknown(path, 3, [...outputs], has, pointer);
};

const unknown = (
  path: Path,
  index: number,
  known: readonly string[],
  otherwise: string,
  pointer: string,
): readonly Problem[] => {
  const part = path[index];
  if (part === undefined)
    return [
      {
        code: 'bad-template',
        message: `${showPath(path)} alone is not a value`,
        mend: `write ${showPath(path)}.<name>`,
        pointer,
      },
    ];
  if (known.includes(String(part))) return [];
  const near = didYouMean(String(part), known);
  const upTo = showPath(path.slice(0, index + 1));
  const mend = near === undefined ? otherwise : `did you mean ${showPath([...path.slice(0, index), near])}?`;
  return [{ code: 'unknown-name', message: `there is no ${upTo}`, mend, pointer }];
};

/** They run or re-run what their arguments say: no allow-list of executables holds behind them. */
const INTERPRETERS = new Set(
  'sh bash dash zsh ksh fish busybox python python2 python3 perl ruby php lua node deno bun npx npm env xargs find awk gawk mawk sed ssh scp rsync sudo su doas docker podman kubectl nsenter chroot tar make git timeout nohup nice watch eval expect'.split(
    ' ',
  ),
);

const checkInterpreter = (given: JsonObject, references: readonly Reference[]): readonly Problem[] => {
  const [place, command] = commandOf(given);
  if (command === undefined) return [];
  const chosen = references.find(
    (reference) => reference.pointer === place && !['connect', 'target', 'component'].includes(reference.path[0]),
  );
  if (chosen !== undefined) {
    return [
      {
        code: 'command-from-outside',
        message: `${showPath(chosen.path)} would choose the executable`,
        mend: 'write its absolute path out',
        pointer: place,
      },
    ];
  }
  const name = command.slice(command.lastIndexOf('/') + 1).replace(/[\d.]+$/, '');
  const outside = references.find((reference) => ['alert', 'inputs', 'steps'].includes(reference.path[0]));
  if (
    outside === undefined ||
    !(INTERPRETERS.has(name) || INTERPRETERS.has(command.slice(command.lastIndexOf('/') + 1)))
  )
    return [];
  return [
    {
      code: 'interpreter',
      message: `${command} runs what its arguments say, and ${showPath(outside.path)} comes from outside`,
      mend: 'call a program of your own with a fixed argument list, or write the argument out',
      pointer: outside.pointer,
    },
  ];
};

const commandOf = (given: JsonObject): readonly [string, string | undefined] => {
  for (const key of ['command', 'file', 'argv', 'path']) {
    const value: Json | undefined = given[key];
    if (typeof value === 'string') return [`/${key}`, value];
    if (Array.isArray(value) && typeof value[0] === 'string') return [`/${key}/0`, value[0]];
  }
  return ['', undefined];
};
