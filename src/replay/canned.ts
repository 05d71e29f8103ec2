// Actions that do nothing and come out as a test says. What a step would have been called with is checked as the real
// action checks it; only those that reach no further than amends' own record are the real ones.
import { ActionError, ok, refused } from '../base/failure.ts';
import type { Action, ActionContext, ActionResult, Actions } from '../port/action.ts';
import type { Sources } from '../port/sources.ts';
import type { Labels } from '../alert/alert.ts';
import type { QueryCheck, Runbook } from '../runbook/runbook.ts';
import type { Look, RunbookTest, StepResult } from './test-schema.ts';

/** They ask amends for something, and touch nothing else. */
const OWN = /^(?:degrade|inbox|notify|triage)\.|^faiss\.escalate$/;

type Given = NonNullable<RunbookTest['actions']>;

export type Canned = {
  readonly actions: Actions;
  query(promql: string, runbook: Runbook, labels: Labels): Awaited<ReturnType<Sources['query']>>;
};

export const cannedActions = (real: Actions, given: Given): Canned => {
  const results = takeInTurn<StepResult>((key) => resultsOf(given, key));
  const looks = takeInTurn<Look>(() => listOf<Look>(given.verify ?? 'pass'));
  const canned = (name: string, action: Action): Action => ({
    ...action,
    async run(input, context) {
      const key = context.marker.slice(context.run.id.length + 1);
      if (key === 'verify') return lookResult(looks('verify') ?? 'pass');
      const result = results(key);
      if (result === undefined && OWN.test(name)) return action.run(input, context);
      return perform(action, context, result ?? {});
    },
  });
  return {
    actions: new Map([...real].map(([name, action]) => [name, canned(name, action)])),
    query: (promql, runbook, labels) => {
      const check = runbook.verify.find((one): one is QueryCheck => one.type === 'query' && one.query === promql);
      return answerOf(looks('verify') ?? 'pass', check, labels);
    },
  };
};

const listOf = <T>(given: T | readonly T[]): readonly T[] => (Array.isArray(given) ? given : [given as T]);

/** A step of this name is called by its phase as well: `steps/verify`. */
export const RESERVED: ReadonlySet<string> = new Set(['verify', 'undo']);

/** Undefined: the test says nothing of it. */
const resultsOf = (given: Given, key: string): readonly StepResult[] | undefined => {
  const id = key.slice(key.indexOf('/') + 1);
  const name = Object.hasOwn(given, key) || RESERVED.has(id) ? key : id;
  const said = key.startsWith('undo/') ? given.undo?.[id] : Object.hasOwn(given, name) ? given[name] : undefined;
  if (said === undefined || typeof said === 'string') return undefined;
  return listOf<StepResult>(said);
};

/** One after the other; the last one repeats. */
const takeInTurn = <T>(of: (key: string) => readonly T[] | undefined): ((key: string) => T | undefined) => {
  const turns = new Map<string, number>();
  return (key) => {
    const list = of(key);
    const turn = turns.get(key) ?? 0;
    turns.set(key, turn + 1);
    return list?.[Math.min(turn, list.length - 1)];
  };
};

const perform = async (action: Action, context: ActionContext, result: StepResult): Promise<ActionResult> => {
  const { outputs = {}, outcome = 'succeeded', kind = 'permanent', takes = 0, undo } = result;
  const changes = action.effect !== 'read';
  const { clock } = context;
  const left = context.deadline - clock.monotonic();
  const began = changes && (result.began ?? (outcome === 'succeeded' || kind === 'indeterminate' || takes > left));
  if (began) context.began();
  await clock.sleep(Math.min(takes, Math.max(0, left)), context.signal);
  if (takes > left)
    throw new ActionError(began ? 'indeterminate' : 'retryable', 'it did not end within its time limit');
  if (outcome === 'failed') throw new ActionError(kind, result.error ?? 'it failed, as the test says', { outputs });
  return { outputs, ...(undo === undefined ? {} : { undo }) };
};

const lookResult = async (look: Look): Promise<ActionResult> => {
  const { outcome = 'pass', outputs = {}, error } = typeof look === 'string' ? { outcome: look } : look;
  if (outcome === 'fail')
    throw new ActionError('permanent', error ?? 'it did not pass, as the test says', {
      outputs,
    });
  return { outputs };
};

const answerOf = (look: Look, check: QueryCheck | undefined, labels: Labels): Awaited<ReturnType<Sources['query']>> => {
  const said = typeof look === 'string' ? { outcome: look } : look;
  if ('error' in said && said.error !== undefined) return refused([{ code: 'prometheus-failed', message: said.error }]);
  if ('value' in said && said.value !== undefined) return ok([{ labels, value: said.value }]);
  if (said.outcome === 'fail' || check === undefined) return ok([]);
  const { operator, value } = check.comparison;
  return ok([{ labels, value: operator === 'equal' ? value : operator === 'above' ? value + 1 : value - 1 }]);
};
