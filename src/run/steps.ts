// The steps of a runbook: which a phase has, in their order, and how one is called.
import type { ActionStep, Runbook, Step } from '../runbook/runbook.ts';
import { isApproval } from '../runbook/runbook.ts';
import type { Phase } from './events.ts';

export const stepKey = (phase: Phase, id: string): string => `${phase}/${id}`;

/** The steps of a phase in the order in which they run. */
export const stepsOf = (runbook: Runbook, phase: Phase): readonly Step[] => {
  switch (phase) {
    case 'before':
      return runbook.before;
    case 'steps':
      return runbook.steps;
    case 'on_success':
      return runbook.onSuccess.steps;
    case 'on_failure':
      return runbook.onFailure.steps;
    case 'on_exhausted':
      return runbook.onExhausted.steps;
    case 'rollback':
      return runbook.rollback ?? [];
    case 'undo': {
      const undoable = [...runbook.before, ...runbook.steps].filter(
        (step): step is ActionStep => !isApproval(step) && step.undo !== null,
      );
      return undoable.map((step) => ({ ...(step.undo as ActionStep), id: step.id })).toReversed();
    }
    default:
      return phase satisfies never;
  }
};

/** The step that a key of `stepKey` names. */
export const stepByKey = (runbook: Runbook, key: string): Step | undefined => {
  const slash = key.indexOf('/');
  const phase = key.slice(0, slash) as Phase;
  return stepsOf(runbook, phase).find((step) => step.id === key.slice(slash + 1));
};
