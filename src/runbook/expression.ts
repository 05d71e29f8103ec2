// Conditions: CEL with its tree checked at load, so that what is left to go wrong at run time is a missing value. A
// condition that cannot be evaluated is an error, never a no.
import { Environment } from '@marcbachmann/cel-js';
import type { ASTNode } from '@marcbachmann/cel-js';
import { ok, refused } from '../base/failure.ts';
import type { Problem, Result } from '../base/failure.ts';
import type { Json } from '../base/json.ts';
import { foreignSpelling } from './foreign.ts';
import { RUNBOOK_ROOTS, lookUp, showPath } from './path.ts';
import type { Context, Path } from './path.ts';
import type { Runbook } from './runbook.ts';
import { isApproval } from './runbook.ts';
import { inspect } from './tree.ts';
import type { Comparison, OutputScope, Scope } from './tree.ts';

export type Condition = {
  readonly text: string;
  /** It says failed() or always(), so it is asked even when a step before failed. */
  readonly lifts: boolean;
  evaluate(context: Context, failed?: boolean): Result<boolean>;
};

const LONGEST_TEXT = 1_000;
const LIMITS = { maxAstNodes: 200, maxDepth: 24, maxListElements: 64, maxMapEntries: 16, maxCallArguments: 8 };
const OPTIONS = {
  homogeneousAggregateLiterals: false,
  unlistedVariablesAreDyn: false,
  enableOptionalTypes: false,
  limits: LIMITS,
};

// CEL's functions get no context; evaluation is synchronous, so this is set before and taken back after each.
let anyFailed = false;

const environment = (roots: readonly string[]): Environment => {
  const made = new Environment(OPTIONS);
  for (const root of roots) made.registerVariable(root, 'dyn');
  made.registerFunction('failed(): bool', () => anyFailed);
  made.registerFunction('always(): bool', () => true);
  return made;
};
const conditions = environment(RUNBOOK_ROOTS);
const expectations = environment(['outputs']);

/** The `if` of a step. */
export const compileCondition = (text: string, scope: Scope): Result<Condition> =>
  compile(text, scope, conditions, typed(scope));

/** The `expect` of a check: CEL over `outputs`. */
export const compileExpect = (text: string, outputs: ReadonlySet<string> | null): Result<Condition> =>
  compile(text, { outputs }, expectations, expectations);

const compile = (
  text: string,
  scope: Scope | OutputScope,
  loose: Environment,
  strict: Environment,
): Result<Condition> => {
  if (text.length > LONGEST_TEXT) {
    return refused([
      {
        code: 'bad-condition',
        message: `a condition may have ${LONGEST_TEXT} characters, this has ${text.length}`,
        mend: 'split the step',
      },
    ]);
  }
  const foreign = foreignSpelling(text);
  if (foreign !== undefined) return refused([foreign]);
  const parsed = parseText(loose, text);
  if (!parsed.ok) return parsed;
  const { run, ast } = parsed.value;
  const seen = inspect(ast, scope);
  if (seen.problems.length > 0) return refused(seen.problems);
  const mistyped = typeProblem(strict, text);
  if (mistyped !== undefined) return refused([mistyped]);
  const lifts = seen.calls.has('failed') || seen.calls.has('always');
  return ok({
    text,
    lifts,
    evaluate: (context, failed = false) => evaluate(text, run, seen.roots, seen.comparisons, context, failed),
  });
};

type Parsed = { readonly run: (context: Record<string, unknown>) => unknown; readonly ast: ASTNode };

const parseText = (env: Environment, text: string): Result<Parsed> => {
  try {
    const run = env.parse(text);
    return ok({ run, ast: run.ast });
  } catch (error) {
    const { summary, range } = error as { summary?: string; range?: { start: number } };
    const where = range === undefined ? '' : ` at character ${range.start + 1}`;
    const message = `not CEL: ${lower(summary ?? String(error))}${where}`;
    return refused([
      {
        code: 'bad-condition',
        message,
        mend: 'a condition looks like steps.probe.outcome == "failed" && inputs.force',
      },
    ]);
  }
};

// What every runbook knows, made once: to register it for each took half of what a condition costs.
const STEP = 'amends.Step';
const texts = 'map<string, string>';
const shared = new Environment(OPTIONS)
  .registerType(STEP, { schema: { outcome: 'string', error: 'string', outputs: 'map<string, dyn>' } })
  .registerVariable('target', { schema: { name: 'string', labels: texts } })
  .registerVariable('component', { schema: { name: 'string', kind: 'string', team: 'string' } })
  .registerVariable('alert', { schema: { labels: texts, annotations: texts, starts_at: 'int' } })
  .registerVariable('connect', 'map<string, dyn>')
  .registerVariable('run', 'map<string, dyn>')
  .registerFunction('failed(): bool', () => false)
  .registerFunction('always(): bool', () => true);

// One scope serves all conditions of a runbook, and an environment is dear to make.
const environments = new WeakMap<Scope, Environment>();

/** The same names with the types that the runbook declares, so that `==` between unlike types is found at load. */
const typed = (scope: Scope): Environment => {
  const known = environments.get(scope);
  if (known !== undefined) return known;
  const types = { string: 'string', duration: 'string', boolean: 'bool', list: 'list', number: 'dyn' } as const;
  const inputs = Object.entries(scope.inputs).map(([name, input]) => [name, types[input.type]] as const);
  const steps = [...scope.steps.keys()].map((id) => [id, STEP] as const);
  const made = shared
    .clone(OPTIONS)
    .registerVariable('inputs', { schema: Object.fromEntries(inputs) })
    .registerVariable('steps', { schema: Object.fromEntries(steps) });
  environments.set(scope, made);
  return made;
};

const typeProblem = (env: Environment, text: string): Problem | undefined => {
  const checked = env.check(text);
  if (checked.valid) {
    if (checked.type === 'bool' || checked.type === 'dyn') return undefined;
    return {
      code: 'not-a-condition',
      message: `this gives ${article(checked.type ?? 'no value')}, not true or false`,
      mend: 'compare it with something, for example with == or has()',
    };
  }
  const summary = (checked.error as { summary?: string } | undefined)?.summary ?? 'it does not fit together';
  const unlike = /no such overload: (\S+) (==|!=|<|<=|>|>=|in) (\S+)/.exec(summary);
  if (unlike !== null) {
    const [, left = '', operator = '', right = ''] = unlike;
    return {
      code: 'unlike-types',
      message: `${operator} stands between ${article(left)} and ${article(right)}, which are never equal and cannot be compared`,
      mend: 'compare like with like: "3" is text, 3 is a number; target and component have a .name',
    };
  }
  return {
    code: 'bad-condition',
    message: lower(summary),
    mend: 'string(), int() and double() turn one type into another',
  };
};

const article = (type: string): string => {
  const plain = type.replaceAll(/dyn<(\w+)>/g, '$1').replaceAll(/^\$.*/g, 'object');
  const word = {
    int: 'a whole number',
    double: 'a number',
    string: 'text',
    bool: 'true or false',
    map: 'an object',
    list: 'a list',
    object: 'an object',
  }[plain.split('<')[0] ?? ''];
  return word ?? plain;
};

const lower = (text: string): string => text.charAt(0).toLowerCase() + text.slice(1);

const evaluate = (
  text: string,
  run: Parsed['run'],
  roots: ReadonlySet<string>,
  comparisons: readonly Comparison[],
  context: Context,
  failed: boolean,
): Result<boolean> => {
  const wrong = comparisons
    .map((comparison) => unlikeNow(comparison, context))
    .find((problem) => problem !== undefined);
  if (wrong !== undefined) return refused([wrong]);
  const values: Record<string, unknown> = Object.create(null) as Record<string, unknown>;
  for (const root of roots) if (Object.hasOwn(context, root)) values[root] = celValue(context[root]);
  anyFailed = failed;
  try {
    const value = run(values);
    if (typeof value === 'boolean') return ok(value);
    return refused([
      {
        code: 'not-a-condition',
        message: `${JSON.stringify(text)} gave ${typeof value === 'string' ? 'text' : typeof value}, not true or false`,
      },
    ]);
  } catch (error) {
    const summary = (error as { summary?: string }).summary ?? (error instanceof Error ? error.message : String(error));
    return refused([
      { code: 'condition-failed', message: `${JSON.stringify(text)} cannot be evaluated: ${lower(summary)}` },
    ]);
  } finally {
    anyFailed = false;
  }
};

/** CEL finds 3 and "3" merely unequal; for an operator's eyes that is a slip, so it is an error here. */
const unlikeNow = (comparison: Comparison, context: Context): Problem | undefined => {
  const found = lookUp(comparison.path as Path, context);
  if (!found.ok || found.value === null || typeof found.value === 'object' || typeof found.value === comparison.type)
    return undefined;
  const message = `${showPath(comparison.path)} is a ${typeof found.value} and is compared with a ${comparison.type}`;
  return { code: 'unlike-types', message, mend: 'compare like with like: "3" is text, 3 is a number' };
};

/** Maps have no inherited members, and whole numbers are integers: 3 equals 3 and divides as CEL says. */
const celValue = (value: Json | undefined): unknown => {
  if (typeof value === 'number') return Number.isSafeInteger(value) ? BigInt(value) : value;
  if (Array.isArray(value)) return (value as readonly Json[]).map(celValue);
  if (typeof value !== 'object' || value === null) return value;
  return new Map(Object.entries(value).map(([key, member]) => [key, celValue(member)]));
};

/** The scope of a runbook that has been loaded. */
const scopeOf = (runbook: Runbook): Scope => {
  const aftermaths = [runbook.onSuccess, runbook.onFailure, runbook.onExhausted].flatMap(
    (aftermath) => aftermath.steps,
  );
  const all = [...runbook.before, ...runbook.steps, ...(runbook.rollback ?? []), ...aftermaths];
  return {
    steps: new Map(all.map((step) => [step.id, isApproval(step) ? new Set<string>() : null])),
    inputs: runbook.inputs,
  };
};

/** Evaluates the conditions of one runbook, each compiled once. */
export const evaluatorOf = (
  runbook: Runbook,
): ((
  text: string,
  context: Context,
  failed: boolean,
) => { readonly ok: true; readonly value: boolean } | { readonly ok: false; readonly error: string }) => {
  const scope = scopeOf(runbook);
  const compiled = new Map<string, Result<Condition>>();
  return (text, context, failed) => {
    const condition = compiled.get(text) ?? compileCondition(text, scope);
    compiled.set(text, condition);
    const result = condition.ok ? condition.value.evaluate(context, failed) : condition;
    return result.ok ? result : { ok: false, error: result.problems.map((problem) => problem.message).join('; ') };
  };
};
