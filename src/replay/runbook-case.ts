// What a test of a runbook expects, held against the way that the run took, and against the runbook itself: a step that is
// not there is a mistake in the test.
import { didYouMean } from '../base/failure.ts';
import type { Problem } from '../base/failure.ts';
import type { Actions } from '../port/action.ts';
import type { ActionStep, Runbook, Step } from '../runbook/runbook.ts';
import { isApproval } from '../runbook/runbook.ts';
import { stepKey, stepsOf } from '../run/steps.ts';
import type { Source } from '../config-source.ts';
import { RESERVED } from './canned.ts';
import type { RunObserved } from './runbook-test.ts';
import type { CaseResult, Mismatch } from './test-result.ts';
import { compare, comparePart, shown } from './test-result.ts';
import type { RunbookCase, RunbookTest, StepResult } from './test-schema.ts';

export const judgeRun = (expected: RunbookCase, observed: RunObserved, line: number): CaseResult => ({
  name: 'runbook_test',
  line,
  mismatches: [
    ...compare('exp_path', expected.exp_path, observed.path),
    ...comparePart('exp_with', expected.exp_with, observed.with),
    ...comparePart('exp_outputs', expected.exp_outputs, observed.outputs),
    ...comparePart('exp_steps', expected.exp_steps, observed.steps),
    ...comparePart('exp_tries', expected.exp_tries, observed.tries),
    ...compare('exp_outcome', expected.exp_outcome, observed.outcome),
    ...compare('exp_cause', expected.exp_cause, observed.cause),
    ...holding('exp_error', expected.exp_error, observed.error),
    ...compare('exp_undone', expected.exp_undone, observed.undone),
    ...compare('exp_rollback', expected.exp_rollback, observed.rollback),
    ...compare('exp_after', expected.exp_after, observed.after),
    ...compare('exp_degraded', expected.exp_degraded?.toSorted(), observed.degraded),
    ...compare('exp_escalated', expected.exp_escalated, observed.escalated),
    ...inboxOf(expected.exp_inbox, observed.inbox),
  ],
  why: `${observed.outcome ?? 'not done'}${observed.cause === null ? '' : ` (${observed.cause})`}${observed.error === '' ? '' : `: ${observed.error}`}`,
});

const holding = (what: string, part: string | undefined, whole: string): readonly Mismatch[] =>
  part === undefined || whole.includes(part) ? [] : [{ what, expected: `... ${part} ...`, actual: shown(whole) }];

const inboxOf = (expected: readonly string[] | undefined, actual: readonly string[]): readonly Mismatch[] => {
  if (expected === undefined) return [];
  const fits = expected.length === actual.length && expected.every((part, index) => actual[index]?.includes(part));
  return fits ? [] : [{ what: 'exp_inbox', expected: shown(expected), actual: shown(actual) }];
};

const phasesOf = (runbook: Runbook) => ({
  forward: [...runbook.before, ...runbook.steps],
  rollback: runbook.rollback ?? [],
  after: [...runbook.onSuccess.steps, ...runbook.onFailure.steps, ...runbook.onExhausted.steps],
});

/** By phase and id, for those whose id alone would be taken for something else. */
const keyedOf = (runbook: Runbook): ReadonlyArray<readonly [string, Step]> =>
  (['before', 'steps', 'on_success', 'on_failure', 'on_exhausted', 'rollback'] as const).flatMap((phase) =>
    stepsOf(runbook, phase).map((step) => [stepKey(phase, step.id), step] as const),
  );

type Path = readonly PropertyKey[];

/** Every id that the runbook does not have, every output that its action does not give. */
export const checkAgainst = (
  runbook: Runbook,
  actions: Actions,
  test: RunbookTest,
  source: Source,
  at: Path,
): readonly Problem[] => {
  const phases = phasesOf(runbook);
  const all = new Map([...phases.forward, ...phases.rollback, ...phases.after].map((step) => [step.id, step]));
  const named = new Map([...all, ...keyedOf(runbook)]);
  const undoable = new Map(
    phases.forward.flatMap((step) => (isApproval(step) || step.undo === null ? [] : [[step.id, step.undo] as const])),
  );
  const problems: Problem[] = [];
  const known = (id: string, ids: Iterable<string>, path: Path, what = 'step'): boolean => {
    const names = [...ids];
    if (names.includes(id)) return true;
    const near = didYouMean(id, names);
    const mend = near === undefined ? `known are: ${names.join(', ') || 'none'}` : `did you mean ${near}?`;
    problems.push(
      source.problem('unknown-step', [...at, ...path], `${runbook.name} has no ${what} ${JSON.stringify(id)}`, mend),
    );
    return false;
  };
  const result = (step: Step, said: unknown, path: Path): void =>
    void problems.push(...checkResult(actions, step, said, source, [...at, ...path]));
  for (const [id, said] of Object.entries(test.actions ?? {})) {
    const step = named.get(id);
    if (!RESERVED.has(id) && known(id, step === undefined ? all.keys() : [id], ['actions', id]) && step !== undefined)
      result(step, said, ['actions', id]);
  }
  for (const [id, said] of Object.entries(test.actions?.undo ?? {})) {
    const undo = undoable.get(id);
    if (known(id, undoable.keys(), ['actions', 'undo', id], 'step with an undo') && undo !== undefined)
      result(undo, said, ['actions', 'undo', id]);
  }
  const expected = test.runbook_test;
  const lists = {
    exp_path: phases.forward,
    exp_rollback: phases.rollback,
    exp_after: phases.after,
    exp_undone: phases.forward,
  };
  for (const [key, steps] of Object.entries(lists)) {
    const ids = expected[key as keyof typeof lists] ?? [];
    for (const [index, id] of ids.entries())
      known(
        id,
        steps.map((step) => step.id),
        ['runbook_test', key, index],
      );
  }
  const undone = [...undoable.keys()].map((id) => `undo/${id}`);
  for (const key of ['exp_with', 'exp_outputs', 'exp_steps', 'exp_tries'] as const) {
    const names = key === 'exp_with' ? [...all.keys(), ...undone] : [...all.keys()];
    for (const id of Object.keys(expected[key] ?? {})) known(id, names, ['runbook_test', key, id]);
  }
  return problems;
};

const checkResult = (actions: Actions, step: Step, said: unknown, source: Source, at: Path): readonly Problem[] => {
  if (isApproval(step) !== (typeof said === 'string')) {
    const mend = isApproval(step) ? 'approve, deny or expire' : '{ outcome: failed }, or { outputs: { ... } }';
    return [source.problem('bad-value', at, `${step.id} is ${isApproval(step) ? 'a question' : 'no question'}`, mend)];
  }
  if (typeof said === 'string') return [];
  const { uses } = step as ActionStep;
  const outputs = actions.get(uses)?.outputs ?? {};
  const tries: readonly StepResult[] = Array.isArray(said) ? said : [said as StepResult];
  return tries.flatMap((one, index) =>
    Object.keys(one.outputs ?? {}).flatMap((name) => {
      if (Object.hasOwn(outputs, name)) return [];
      const near = didYouMean(name, Object.keys(outputs));
      const mend =
        near === undefined ? `it gives: ${Object.keys(outputs).join(', ') || 'none'}` : `did you mean ${near}?`;
      const path = [...at, ...(Array.isArray(said) ? [index] : []), 'outputs', name];
      return [source.problem('unknown-output', path, `${uses} gives no ${JSON.stringify(name)}`, mend)];
    }),
  );
};
