// What a rule's outcome still hangs on: figures from outside are asked for only where everything else that is known
// leaves the outcome open.
import { isObject } from '../base/json.ts';
import type { Json, JsonObject } from '../base/json.ts';
import type { FactValue } from './fact.ts';
import { operatorHolds } from './operators.ts';
import type { OperatorName } from './schema.ts';

type Question = { readonly fact: string; readonly params: JsonObject };

/** A fact's value, or null while nobody has asked. */
export type Look = (fact: string, params: JsonObject) => { readonly value: FactValue } | null;

type Node = { readonly result: boolean | null; readonly open: readonly Question[] };

/** Empty: the conditions hold, or do not, whatever the answers were. */
export const openQuestions = (conditions: JsonObject, look: Look): readonly Question[] => weigh(conditions, look).open;

const weigh = (condition: Json | undefined, look: Look): Node => {
  if (!isObject(condition)) throw new Error('a condition is not an object');
  const { all, any, not, fact, params, operator, value } = condition;
  if (Array.isArray(all)) return combine(all as readonly Json[], look, false);
  if (Array.isArray(any)) return combine(any as readonly Json[], look, true);
  if (not !== undefined) {
    const { result, open } = weigh(not, look);
    return { result: result === null ? null : !result, open };
  }
  const question = {
    fact: typeof fact === 'string' ? fact : '',
    params: isObject(params) ? params : {},
  };
  const known = look(question.fact, question.params);
  if (known === null) return { result: null, open: [question] };
  return { result: operatorHolds(operator as OperatorName, known.value, value), open: [] };
};

/** `decisive` is the result of one child that settles the group: true for `any`, false for `all`. */
const combine = (children: readonly Json[], look: Look, decisive: boolean): Node => {
  const nodes = children.map((child) => weigh(child, look));
  if (nodes.some(({ result }) => result === decisive)) return { result: decisive, open: [] };
  const open = nodes.flatMap((node) => (node.result === null ? node.open : []));
  return { result: open.length > 0 ? null : !decisive, open };
};
