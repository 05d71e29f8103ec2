// What a condition's tree may hold: known names, listed functions, loops one deep. Everything that is not listed is refused.
import type { ASTNode } from '@marcbachmann/cel-js';
import { didYouMean } from '../base/failure.ts';
import type { Problem } from '../base/failure.ts';
import { FOREIGN_OUTCOMES } from './foreign.ts';
import { RUNBOOK_ROOTS, unknownRoot } from './path.ts';
import type { Input } from './runbook.ts';

/** What a condition may name: every step of the runbook, with the outputs it has if they are known, and the inputs. */
export type Scope = {
  readonly steps: ReadonlyMap<string, ReadonlySet<string> | null>;
  readonly inputs: Readonly<Record<string, Pick<Input, 'type'>>>;
};
/** What an `expect` may name. */
export type OutputScope = { readonly outputs: ReadonlySet<string> | null };

type Names = readonly (string | number)[];

/** A path that is compared with a literal of this type. */
export type Comparison = { readonly path: Names; readonly type: 'string' | 'number' | 'boolean' };
export type Inspection = {
  readonly problems: readonly Problem[];
  readonly roots: ReadonlySet<string>;
  readonly calls: ReadonlySet<string>;
  readonly comparisons: readonly Comparison[];
};

const FUNCTIONS = new Set(['has', 'size', 'string', 'int', 'double', 'bool', 'failed', 'always']);
const METHODS = new Set([
  'contains',
  'startsWith',
  'endsWith',
  'size',
  'lowerAscii',
  'upperAscii',
  'trim',
  'indexOf',
  'substring',
]);
const MACROS = new Set(['exists', 'all', 'exists_one', 'filter', 'map']);
const OUTCOMES = ['pending', 'skipped', 'succeeded', 'failed', 'unknown'];
const STEP_MEMBERS = ['outcome', 'outputs', 'error'];
const MEMBERS: Readonly<Record<string, readonly string[]>> = {
  target: ['name', 'labels'],
  component: ['name', 'kind', 'team'],
  alert: ['labels', 'annotations', 'starts_at'],
};

type Walk = {
  readonly scope: Scope | OutputScope;
  readonly problems: Problem[];
  readonly roots: Set<string>;
  readonly calls: Set<string>;
  readonly comparisons: Comparison[];
};

export const inspect = (ast: ASTNode, scope: Walk['scope']): Inspection => {
  const walk: Walk = { scope, problems: [], roots: new Set(), calls: new Set(), comparisons: [] };
  visit(ast, walk, new Set(), 0);
  const once = new Map(walk.problems.map((problem) => [problem.message, problem]));
  return { ...walk, problems: [...once.values()] };
};

const visit = (node: ASTNode, walk: Walk, bound: ReadonlySet<string>, loops: number): void => {
  const each = (nodes: readonly ASTNode[]): void => {
    for (const inner of nodes) visit(inner, walk, bound, loops);
  };
  switch (node.op) {
    case 'value':
      if (typeof node.args === 'object' && node.args !== null)
        refuse(walk, 'bytes and unsigned numbers are not taken', 'write text or a plain number');
      return;
    case 'id':
    case '.':
    case '[]': {
      const path = pathOf(node);
      if (path === undefined) {
        if (node.op === '.') visit(node.args[0], walk, bound, loops);
        else if (node.op === '[]') each(node.args);
      } else if (!bound.has(String(path[0]))) visitPath(path, walk);
      return;
    }
    case 'call':
      return visitCall(node.args[0], node.args[1], walk, bound, loops);
    case 'rcall':
      return visitMethod(node.args[0], node.args[1], node.args[2], walk, bound, loops);
    case 'list':
      return each(node.args);
    case 'map':
      return node.args.forEach(each);
    case '!_':
    case '-_':
      return visit(node.args, walk, bound, loops);
    case '==':
    case '!=':
    case '<':
    case '<=':
    case '>':
    case '>=':
      compared(node.args, walk, bound);
      return each(node.args);
    case 'in':
    case '+':
    case '-':
    case '*':
    case '/':
    case '%':
    case '||':
    case '&&':
    case '?:':
      return each(node.args);
    case '.?':
    case '[?]':
    default:
      refuse(walk, `${node.op} is not taken in a condition`, 'write it with && || ! == and has()');
  }
};

const refuse = (walk: Walk, message: string, mend: string, code = 'bad-condition'): void =>
  void walk.problems.push({ code, message, mend });

/** `steps.a.outputs["x"][0]` as names; undefined when a part of it is computed. */
const pathOf = (node: ASTNode): Names | undefined => {
  if (node.op === 'id') return [node.args];
  if (node.op === '.') {
    const before = pathOf(node.args[0]);
    return before === undefined ? undefined : [...before, node.args[1]];
  }
  if (node.op !== '[]') return undefined;
  const before = pathOf(node.args[0]);
  const key = node.args[1];
  if (before === undefined || key.op !== 'value') return undefined;
  if (typeof key.args === 'string') return [...before, key.args];
  return typeof key.args === 'bigint' ? [...before, Number(key.args)] : undefined;
};

const visitPath = (path: Names, walk: Walk): void => {
  const root = String(path[0]);
  walk.roots.add(root);
  if ('outputs' in walk.scope) {
    if (root !== 'outputs')
      walk.problems.push({
        ...unknownRoot(root, ['outputs']),
        mend: 'expect sees the outputs of its own check: outputs.<name>',
      });
    else known(walk, path[1], walk.scope.outputs, 'outputs', 'this action');
    return;
  }
  if (!(RUNBOOK_ROOTS as readonly string[]).includes(root)) {
    walk.problems.push(unknownRoot(root, RUNBOOK_ROOTS));
    return;
  }
  if (root === 'inputs') known(walk, path[1], new Set(Object.keys(walk.scope.inputs)), 'inputs', 'the runbook');
  else if (root === 'steps') visitStep(path, walk, walk.scope);
  else if (MEMBERS[root] !== undefined && path[1] !== undefined)
    known(walk, path[1], new Set(MEMBERS[root]), root, root);
};

const known = (
  walk: Walk,
  name: string | number | undefined,
  names: ReadonlySet<string> | null,
  root: string,
  owner: string,
): void => {
  if (names === null) return;
  if (name === undefined) return refuse(walk, `${root} alone is not a value`, `write ${root}.<name>`);
  if (names.has(String(name))) return;
  const near = didYouMean(String(name), names);
  const list = names.size === 0 ? `${owner} has none` : `${owner} has ${[...names].join(', ')}`;
  refuse(
    walk,
    `there is no ${root}.${name}`,
    near === undefined ? list : `did you mean ${root}.${near}?`,
    'unknown-name',
  );
};

const visitStep = (path: Names, walk: Walk, scope: Scope): void => {
  const [, id, member, output] = path;
  if (id === undefined) return refuse(walk, 'steps alone is not a value', 'write steps.<id>.outcome');
  const outputs = scope.steps.get(String(id));
  if (outputs === undefined) {
    const near = didYouMean(String(id), scope.steps.keys());
    return refuse(
      walk,
      `there is no step ${id}`,
      near === undefined ? 'name a step of this runbook by its id' : `did you mean steps.${near}?`,
      'unknown-name',
    );
  }
  if (member === undefined) return refuse(walk, `steps.${id} alone is not a value`, `write steps.${id}.outcome`);
  if (!STEP_MEMBERS.includes(String(member))) {
    return refuse(
      walk,
      `a step has no ${member}`,
      `a step has ${STEP_MEMBERS.join(', ')}; write steps.${id}.outcome or steps.${id}.outputs.<name>`,
      'unknown-name',
    );
  }
  if (member === 'outputs' && output !== undefined) known(walk, output, outputs, `steps.${id}.outputs`, 'its action');
};

const visitCall = (
  name: string,
  args: readonly ASTNode[],
  walk: Walk,
  bound: ReadonlySet<string>,
  loops: number,
): void => {
  walk.calls.add(name);
  if (!FUNCTIONS.has(name)) {
    const near = didYouMean(name, FUNCTIONS);
    refuse(
      walk,
      `there is no function ${name}()`,
      near === undefined ? `there are ${[...FUNCTIONS].join(', ')}` : `did you mean ${near}()?`,
    );
  } else if ('outputs' in walk.scope && (name === 'failed' || name === 'always')) {
    refuse(walk, `${name}() says nothing in an expect`, 'leave it out');
  }
  for (const inner of args) visit(inner, walk, bound, loops);
};

const visitMethod = (
  name: string,
  receiver: ASTNode,
  args: readonly ASTNode[],
  walk: Walk,
  bound: ReadonlySet<string>,
  loops: number,
): void => {
  visit(receiver, walk, bound, loops);
  if (MACROS.has(name)) {
    const [variable, ...rest] = args;
    if (loops >= 1)
      return refuse(
        walk,
        `${name} stands inside another loop`,
        'one loop deep at most: let the action give a flatter output',
      );
    const inner = new Set(bound);
    if (variable?.op === 'id') inner.add(variable.args);
    for (const member of rest) visit(member, walk, inner, loops + 1);
    return;
  }
  if (name === 'matches')
    refuse(
      walk,
      'matches() is not taken: its regular expressions have no bound',
      'write contains(), startsWith() or endsWith()',
    );
  else if (!METHODS.has(name)) {
    const near = didYouMean(name, [...METHODS, ...MACROS]);
    refuse(
      walk,
      `there is no method ${name}()`,
      near === undefined ? `there are ${[...METHODS, ...MACROS].join(', ')}` : `did you mean ${near}()?`,
    );
  }
  for (const inner of args) visit(inner, walk, bound, loops);
};

const compared = (sides: readonly ASTNode[], walk: Walk, bound: ReadonlySet<string>): void => {
  const [left, right] = sides;
  if (left === undefined || right === undefined) return;
  for (const [named, other] of [
    [left, right],
    [right, left],
  ] as const) {
    const path = pathOf(named);
    const type = literalType(other);
    if (path === undefined || type === undefined || bound.has(String(path[0]))) continue;
    walk.comparisons.push({ path, type });
    if (
      path[0] !== 'steps' ||
      path[2] !== 'outcome' ||
      path.length !== 3 ||
      other.op !== 'value' ||
      typeof other.args !== 'string'
    )
      continue;
    if (OUTCOMES.includes(other.args)) continue;
    const meant = FOREIGN_OUTCOMES.get(other.args) ?? didYouMean(other.args, OUTCOMES);
    refuse(
      walk,
      `no outcome is called "${other.args}"`,
      meant === undefined ? `it is one of ${OUTCOMES.join(', ')}` : `write "${meant}"`,
      'unknown-outcome',
    );
  }
};

const literalType = (node: ASTNode): Comparison['type'] | undefined => {
  if (node.op === '-_') return literalType(node.args);
  if (node.op !== 'value') return undefined;
  if (typeof node.args === 'bigint') return 'number';
  const type = typeof node.args;
  return type === 'string' || type === 'number' || type === 'boolean' ? type : undefined;
};
