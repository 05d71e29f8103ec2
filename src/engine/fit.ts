// Whether a runbook fits a target before anything is broken: its inputs, what it reads of the target's `connect`, and the
// actions that the component allows. The same questions as a run would ask, one by one, in the middle of an incident.
import type { Target } from '../alert/component.ts';
import type { Problem } from '../base/failure.ts';
import type { Json, JsonObject } from '../base/json.ts';
import { pointer } from '../base/json.ts';
import type { ConfiguredComponent } from '../config.ts';
import { resolveInputs } from '../runbook/inputs.ts';
import { lookUp, showPath } from '../runbook/path.ts';
import type { ActionStep, Runbook, Step } from '../runbook/runbook.ts';
import { isApproval } from '../runbook/runbook.ts';
import { compileTemplate, renderConnect } from '../runbook/template.ts';
import { allowed } from './perform.ts';

type Use = {
  readonly at: string;
  readonly uses: string;
  readonly with: JsonObject;
  /** Under a condition, of which only a run knows whether it holds. */
  readonly conditional: boolean;
};

/** Empty when every step that has to go well can at least be begun. What may fail without harm is not looked at. */
export const misfits = (
  runbook: Runbook,
  component: Pick<ConfiguredComponent, 'name' | 'kind' | 'allowedActions'>,
  target: Target,
  given: JsonObject,
): readonly Problem[] => {
  if (runbook.kind !== component.kind)
    return [
      {
        code: 'another-kind',
        message: `${runbook.name} is for components of kind ${runbook.kind}, but ${component.name} is of kind ${component.kind}`,
        mend: `name a runbook ${component.kind}/<strategy>`,
      },
    ];
  const inputs = resolveInputs(runbook, given);
  const connect = renderConnect(target.connect, target.name);
  if (!inputs.ok || !connect.ok)
    return [...(inputs.ok ? [] : inputs.problems), ...(connect.ok ? [] : connect.problems)];
  return usesOf(runbook).flatMap((use) => [
    ...(component.allowedActions === null || allowed(component.allowedActions, use.uses)
      ? []
      : [
          {
            code: 'action-not-allowed',
            message: `${component.name} does not allow ${use.uses}`,
            mend: `add it to allow.actions of ${component.name}`,
            file: runbook.file,
            pointer: use.at,
          },
        ]),
    ...(use.conditional ? [] : missingOf(use, connect.value, runbook, target)),
  ]);
};

const missingOf = (
  use: Use,
  connect: Readonly<Record<string, Json>>,
  runbook: Runbook,
  target: Target,
): readonly Problem[] => {
  const template = compileTemplate(use.with);
  if (!template.ok) return template.problems;
  return template.value.references.flatMap(({ path, pointer: within }) =>
    path[0] !== 'connect' || lookUp(path, { connect }).ok
      ? []
      : [
          {
            code: 'missing-connect',
            message: `${target.name} has no ${showPath(path)}, which ${use.uses} needs`,
            mend: 'add it to the connect of the target in the inventory',
            file: runbook.file,
            pointer: `${use.at}/with${within}`,
          },
        ],
  );
};

const usesOf = (runbook: Runbook): readonly Use[] => {
  const ofStep =
    (phase: string) =>
    (step: Step, index: number): readonly Use[] => {
      if (isApproval(step) || step.continueOnError) return [];
      const at = pointer([phase, index]);
      const conditional = step.if !== null;
      const more: ReadonlyArray<readonly [string, ActionStep | null]> = [
        ['undo', step.undo],
        ['probe', step.probe],
      ];
      return [
        { at, uses: step.uses, with: step.with, conditional },
        // What an undo is given is known only after its step.
        ...more.flatMap(([name, one]) =>
          one === null ? [] : [{ at: `${at}/${name}`, uses: one.uses, with: one.with, conditional: true }],
        ),
      ];
    };
  return [
    ...runbook.before.flatMap(ofStep('before')),
    ...runbook.steps.flatMap(ofStep('steps')),
    ...(runbook.rollback ?? []).flatMap(ofStep('rollback')),
    ...runbook.verify.flatMap((check, index): readonly Use[] =>
      check.type === 'action'
        ? [{ at: pointer(['verify', index]), uses: check.uses, with: check.with, conditional: false }]
        : [],
    ),
    ...runbook.onSuccess.steps.flatMap(ofStep('on_success')),
    ...runbook.onFailure.steps.flatMap(ofStep('on_failure')),
    ...runbook.onExhausted.steps.flatMap(ofStep('on_exhausted')),
  ];
};
