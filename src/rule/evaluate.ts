// The only place that runs json-rules-engine: one Engine a rule and evaluation, since one that is shared by concurrent
// runs loses rules, and since one rule's error would otherwise reject the run of all.
import { Engine } from 'json-rules-engine';
import type { TopLevelCondition } from 'json-rules-engine';
import { isObject } from '../base/json.ts';
import type { Json, JsonObject } from '../base/json.ts';
import type { FactValue } from './fact.ts';
import { engineOperators } from './operators.ts';

/** A rule's conditions with what came of each: `result`, and for a comparison `actual` (null with `absent` when it is not there). */
export type Trace = { readonly matched: boolean; readonly conditions: JsonObject };

/** The loader refuses a `path`; this stands behind it, in place of a resolver that can be made to run code. */
const refusePath = (): never => {
  throw new Error('a condition may not have a path');
};

const EVENT = { type: 'match' };

/** The engine writes a whole number into a condition's priority, so it never gets the frozen tree itself. */
const thaw = (value: Json): Json => {
  if (Array.isArray(value)) return value.map(thaw);
  if (!isObject(value)) return value;
  const copy: Record<string, Json> = {};
  for (const key of Object.keys(value)) {
    // An assignment to `__proto__` would change what the object is.
    if (key !== '__proto__') copy[key] = thaw(value[key] as Json);
  }
  return copy;
};

/**
 * A copy of our own of each tree, made once: all that the engine ever does to it is to write a priority as the number it
 * is, and results go into clones.
 */
const thawed = new WeakMap<JsonObject, TopLevelCondition>();
const engineTreeOf = (conditions: JsonObject): TopLevelCondition => {
  const known = thawed.get(conditions);
  if (known !== undefined) return known;
  const made = thaw(conditions) as unknown as TopLevelCondition;
  thawed.set(conditions, made);
  return made;
};

/** Rejects when a fact or an operator fails; the caller takes that as this rule's error alone. */
export const evaluateConditions = async (
  conditions: JsonObject,
  facts: ReadonlySet<string>,
  read: (fact: string, params: JsonObject) => FactValue,
  /** Facts that the outcome does not hang on and nobody asked for. */
  unasked: Unasked = () => false,
): Promise<Trace> => {
  const engine = new Engine([], {
    allowUndefinedFacts: true,
    allowUndefinedConditions: false,
    replaceFactsInEventParams: false,
    pathResolver: refusePath,
  });
  for (const operator of engineOperators) engine.addOperator(operator);
  for (const fact of facts) {
    // Values are remembered by the reader; the engine's own cache hashes the params at every look.
    engine.addFact(fact, (params) => read(fact, params as JsonObject), { cache: false });
  }
  engine.addRule({ conditions: engineTreeOf(conditions), event: EVENT });
  const { results, failureResults } = await engine.run();
  const result = results[0] ?? failureResults[0];
  if (result === undefined) throw new Error('the engine lost the rule');
  return { matched: results.length > 0, conditions: traceOf(result.conditions as unknown as EngineNode, unasked) };
};

type Unasked = (fact: string, params: JsonObject) => boolean;

type EngineNode = {
  readonly all?: readonly EngineNode[];
  readonly any?: readonly EngineNode[];
  readonly not?: EngineNode;
  readonly name?: string;
  readonly fact?: string;
  readonly params?: JsonObject;
  readonly operator?: string;
  readonly value?: Json;
  readonly factResult?: FactValue;
  readonly result?: boolean;
};

const traceOf = (node: EngineNode, unasked: Unasked): JsonObject => {
  const below = (child: EngineNode): JsonObject => traceOf(child, unasked);
  // A condition of lower priority is not looked at once the result is certain.
  const told: JsonObject = { ...(node.name === undefined ? {} : { name: node.name }), result: node.result ?? null };
  if (node.all !== undefined) return { all: node.all.map(below), ...groupResult(node.all, told, 'all') };
  if (node.any !== undefined) return { any: node.any.map(below), ...groupResult(node.any, told, 'any') };
  if (node.not !== undefined) return { not: below(node.not), ...groupResult([node.not], told, 'not') };
  if (unasked(node.fact ?? '', node.params ?? {})) return { ...leafOf(node), actual: null, ...told, result: null };
  return {
    ...leafOf(node),
    actual: node.factResult ?? null,
    ...(node.result !== undefined && (node.factResult === undefined || node.factResult === null)
      ? { absent: true }
      : {}),
    ...told,
  };
};

const leafOf = (node: EngineNode): JsonObject => ({
  fact: node.fact ?? null,
  ...(node.params === undefined ? {} : { params: node.params }),
  operator: node.operator ?? null,
  value: node.value ?? null,
});

/** The engine leaves the outermost group without its result. */
const groupResult = (children: readonly EngineNode[], told: JsonObject, sort: 'all' | 'any' | 'not'): JsonObject => {
  if (told['result'] !== null) return told;
  const results = children.map((child) => child.result);
  if (results.every((result) => result === undefined)) return told;
  const result =
    sort === 'any' ? results.includes(true) : sort === 'all' ? !results.includes(false) : results[0] !== true;
  return { ...told, result };
};
