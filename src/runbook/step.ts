// One step of a runbook file: defaults put in, and checked against its action, its place and what it names.
import { parseDuration } from '../base/duration.ts';
import { didYouMean } from '../base/failure.ts';
import type { Problem } from '../base/failure.ts';
import { pointer } from '../base/json.ts';
import type { JsonObject } from '../base/json.ts';
import { checkArguments, checkQuestion } from './arguments.ts';
import type { KnownAction, KnownActions } from './arguments.ts';
import { compileCondition } from './expression.ts';
import type { ActionStep, Effect, Step } from './runbook.ts';
import type { ActionStepDocument, SideStepDocument, StepDocument } from './schema.ts';
import type { Scope } from './tree.ts';

/** What is known while a runbook is put together. `problems` and `effects` gather. */
export type Building = {
  readonly actions: KnownActions;
  readonly scope: Scope;
  readonly problems: Problem[];
  readonly earlier: ReadonlySet<string>;
  readonly effects: Set<Effect>;
};

/** Where it stands decides what it may do: `check` only reads, `before` destroys nothing. */
export type Place = 'before' | 'steps' | 'after' | 'undo' | 'check';
type At = readonly PropertyKey[];

const DEFAULT_EXPIRES = 30 * 60_000;
const DEFAULT_RETRY = { attempts: 1, delay: 1_000, factor: 2 };

export const buildStep = (building: Building, document: StepDocument, at: At, place: 'before' | 'steps'): Step => {
  if (!('approve' in document)) return buildActionStep(building, document, at, place);
  const expires = document.approve.expires === undefined ? DEFAULT_EXPIRES : ms(document.approve.expires);
  const { scope, earlier } = building;
  const found = checkQuestion(document.approve.question, { scope, earlier, undo: false });
  building.problems.push(
    ...found.map((problem) => ({ ...problem, pointer: `${pointer([...at, 'approve'])}${problem.pointer ?? ''}` })),
  );
  return {
    id: document.id,
    approve: { question: document.approve.question, expires },
    if: condition(building, document.if, at),
  };
};

export const buildActionStep = (building: Building, document: ActionStepDocument, at: At, place: Place): ActionStep => {
  const own = { ...building, earlier: new Set([...building.earlier, document.id]) };
  return {
    ...buildCall(building, document, document.id, at, place),
    continueOnError: document.continue_on_error ?? false,
    undo: document.undo === undefined ? null : side(own, document.undo, document.id, [...at, 'undo'], 'undo'),
    probe: document.probe === undefined ? null : side(building, document.probe, document.id, [...at, 'probe'], 'check'),
  };
};

/** Has no id of its own: it is the undo, or the probe, of the step that it belongs to. */
const side = (
  building: Building,
  document: SideStepDocument,
  id: string,
  at: At,
  place: 'undo' | 'check',
): ActionStep => ({
  ...buildCall(building, document, id, at, place),
  continueOnError: false,
  undo: null,
  probe: null,
});

type Call = Omit<ActionStep, 'continueOnError' | 'undo' | 'probe'>;

const buildCall = (building: Building, document: SideStepDocument, id: string, at: At, place: Place): Call => {
  const given: JsonObject = document.with ?? {};
  const action = useAction(building, document.uses, given, at, place);
  const effect = action?.effect ?? 'read';
  if (effect !== 'read' && place !== 'check' && document.idempotent === undefined) {
    building.problems.push({
      code: 'idempotent-missing',
      message: `${document.uses} changes something, and nothing says whether it may be done twice`,
      mend: 'add idempotent: true if a second time does no harm, else idempotent: false',
      pointer: pointer(at),
    });
  }
  return {
    id,
    uses: document.uses,
    with: given,
    if: condition(building, document.if, at),
    timeout:
      document.timeout === undefined
        ? (action?.defaultTimeout ?? 0)
        : positive(building, document.timeout, [...at, 'timeout']),
    retry: {
      attempts: document.retry?.attempts ?? DEFAULT_RETRY.attempts,
      delay: document.retry?.delay === undefined ? DEFAULT_RETRY.delay : ms(document.retry.delay),
      factor: document.retry?.factor ?? DEFAULT_RETRY.factor,
    },
    idempotent: effect === 'read' ? true : (document.idempotent ?? false),
    effect,
  };
};

/** The action behind `uses`, if there is one; its place and its arguments are checked on the way. */
export const useAction = (
  building: Building,
  uses: string,
  given: JsonObject,
  at: At,
  place: Place,
): KnownAction | undefined => {
  const { actions, problems, scope, earlier } = building;
  const action = actions.get(uses);
  if (action === undefined) {
    const near = didYouMean(uses, actions.keys());
    const mend = near === undefined ? 'amends runbook actions lists what there is' : `did you mean ${near}?`;
    problems.push({
      code: 'unknown-action',
      message: `there is no action ${uses}`,
      mend,
      pointer: pointer([...at, 'uses']),
    });
    return undefined;
  }
  building.effects.add(action.effect);
  const misplaced = misplacedEffect(action.effect, place);
  if (misplaced !== undefined)
    problems.push({
      code: 'effect-out-of-place',
      message: `${uses} ${misplaced.message}`,
      mend: misplaced.mend,
      pointer: pointer([...at, 'uses']),
    });
  const found = checkArguments(uses, action, given, { scope, earlier, undo: place === 'undo' });
  problems.push(
    ...found.map((problem) => ({ ...problem, pointer: `${pointer([...at, 'with'])}${problem.pointer ?? ''}` })),
  );
  return action;
};

const misplacedEffect = (
  effect: Effect,
  place: Place,
): { readonly message: string; readonly mend: string } | undefined => {
  if (place === 'check' && effect !== 'read')
    return { message: 'changes something, and a check only looks', mend: 'use an action that only reads' };
  if (place === 'before' && effect === 'destroy')
    return { message: 'may destroy something, and before only keeps evidence and backups', mend: 'move it to steps' };
  return undefined;
};

const condition = (building: Building, given: string | boolean | undefined, at: At): string | null => {
  if (given === undefined) return null;
  const text = String(given);
  const compiled = compileCondition(text, building.scope);
  if (!compiled.ok)
    building.problems.push(...compiled.problems.map((problem) => ({ ...problem, pointer: pointer([...at, 'if']) })));
  return text;
};

export const ms = (duration: string): number => parseDuration(duration) ?? 0;

export const positive = (building: Building, duration: string, at: At): number => {
  const value = ms(duration);
  if (value <= 0)
    building.problems.push({
      code: 'bad-timeout',
      message: 'a timeout of nothing ends before it begins',
      mend: 'write for example 10s',
      pointer: pointer(at),
    });
  return value;
};
