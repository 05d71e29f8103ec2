// What is missing from a runbook as it is written: a bound on a step that changes something, a backup before one that
// destroys something, a verification that could fail, the page for people.
import type { Problem } from '../../base/failure.ts';
import { isObject, pointer } from '../../base/json.ts';
import type { KnownAction, KnownActions } from '../../runbook/arguments.ts';
import { GROUPS } from '../../runbook/group.ts';
import { nameFromPath } from '../../runbook/parse.ts';
import { finding } from './finding.ts';
import type { Looked, Written } from './finding.ts';
import { isConstant } from './promql.ts';

export const stepFindings = ({ actions, written }: Looked): readonly Problem[] => {
  const groups = new Map(written.runbooks.flatMap(({ file, value }) => groupOf(file, value)));
  return written.runbooks.flatMap((runbook) => {
    const own = [...withoutTimeout(runbook, actions), ...withoutBackup(runbook, actions, groups)];
    return isGroup(runbook.file) ? own : [...own, ...cannotFail(runbook, actions), ...withoutGuide(runbook)];
  });
};

type Step = { readonly value: Readonly<Record<string, unknown>>; readonly pointer: string };

const listOf = (value: unknown, path: readonly string[]): readonly Step[] => {
  let at = value;
  for (const part of path) at = isObject(at) ? at[part] : undefined;
  return Array.isArray(at)
    ? at.flatMap((step: unknown, index) =>
        isObject(step) ? [{ value: step, pointer: pointer([...path, index]) }] : [],
      )
    : [];
};

const PHASES = [
  ['before'],
  ['steps'],
  ['rollback'],
  ['on_success', 'steps'],
  ['on_failure', 'steps'],
  ['on_exhausted', 'steps'],
] as const;

const isGroup = (file: string): boolean => {
  const name = nameFromPath(file);
  return name.ok && name.value.kind === GROUPS;
};

const groupOf = (file: string, value: unknown): ReadonlyArray<readonly [string, unknown]> => {
  const name = nameFromPath(file);
  return name.ok && name.value.kind === GROUPS ? [[name.value.strategy, value]] : [];
};

const actionOf = (step: Step, actions: KnownActions): KnownAction | undefined =>
  typeof step.value['uses'] === 'string' ? actions.get(step.value['uses']) : undefined;

/** Their effect is on amends' own record, and committed with the step. */
const OWN = /^(degrade|inbox|notify)\./;

const withoutTimeout = ({ file, value }: Written, actions: KnownActions): readonly Problem[] =>
  PHASES.flatMap((path) => listOf(value, path))
    .flatMap((step) => {
      const { undo } = step.value;
      return isObject(undo) ? [step, { value: undo, pointer: `${step.pointer}/undo` }] : [step];
    })
    .flatMap((step) => {
      const action = actionOf(step, actions);
      const uses = String(step.value['uses']);
      if (action === undefined || action.effect === 'read' || OWN.test(uses) || step.value['timeout'] !== undefined)
        return [];
      const seconds = Math.ceil(action.defaultTimeout / 1_000);
      return [
        finding(
          'no-timeout',
          { file, pointer: step.pointer },
          `${uses} changes something, and the step does not say how long it may take`,
          `write timeout: ${seconds}s, which is what holds now, or less`,
        ),
      ];
    });

const withoutBackup = (
  { file, value }: Written,
  actions: KnownActions,
  groups: ReadonlyMap<string, unknown>,
): readonly Problem[] => {
  if (isObject(value) && value['rollback'] !== undefined) return [];
  // One that may fail, or be passed over, keeps nothing that the next step could count on.
  const saves = (step: Step): boolean =>
    (actionOf(step, actions)?.saves === true &&
      step.value['continue_on_error'] !== true &&
      step.value['if'] === undefined) ||
    (typeof step.value['group'] === 'string' && listOf(groups.get(step.value['group']), ['steps']).some(saves));
  const savedBefore = listOf(value, ['before']).some(saves);
  const steps = listOf(value, ['steps']);
  return steps.flatMap((step, index) => {
    const action = actionOf(step, actions);
    if (action?.effect !== 'destroy' || action.keeps === true || step.value['undo'] !== undefined) return [];
    if (savedBefore || steps.slice(0, index).some(saves)) return [];
    const saving = [...actions].flatMap(([name, one]) => (one.saves === true ? [name] : []));
    return [
      finding(
        'no-backup',
        { file, pointer: step.pointer },
        `${String(step.value['uses'])} destroys something, and nothing is kept before it`,
        `put one of ${saving.join(', ')} before it, or give it an undo`,
      ),
    ];
  });
};

const cannotFail = ({ file, value }: Written, actions: KnownActions): readonly Problem[] =>
  listOf(value, ['verify']).flatMap((check) => {
    const why = alwaysPasses(check, actions);
    if (why === null) return [];
    return [
      finding(
        'verify-cannot-fail',
        { file, pointer: check.pointer },
        `This check passes whether or not the system has recovered: ${why}`,
        'ask for what only a recovered system has, by expect: or by another action',
      ),
    ];
  });

const alwaysPasses = (check: Step, actions: KnownActions): string | null => {
  const { uses, expect, query } = check.value;
  if (typeof query === 'string') return isConstant(query) ? 'its query asks for no series' : null;
  if (typeof expect === 'string') return isTrueAnyway(expect) ? `${expect} is true of any outputs` : null;
  return actionOf(check, actions)?.onlyTells === true ? `${String(uses)} succeeds whatever it finds` : null;
};

/** No outputs in it, or an alternative that always holds. */
const isTrueAnyway = (expect: string): boolean => {
  const bare = expect.replaceAll(/"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'/g, '""');
  if (!/\boutputs\b/.test(bare)) return true;
  return !/[()&?]/.test(bare) && bare.split('||').some((part) => part.trim() === 'true');
};

const withoutGuide = ({ file, value }: Written): readonly Problem[] => {
  if (!isObject(value) || (typeof value['guide'] === 'string' && value['guide'].trim() !== '')) return [];
  const message = 'There is no guide: whoever is paged when this does not help finds nothing';
  return [finding('no-guide', { file, pointer: '' }, message, 'write guide: | with what a human does then')];
};
