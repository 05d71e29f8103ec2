// What stands in files and nobody uses: runbooks, groups of steps, named conditions, inputs.
import type { Problem } from '../../base/failure.ts';
import { isObject, pointer } from '../../base/json.ts';
import { GROUPS } from '../../runbook/group.ts';
import { nameFromPath } from '../../runbook/parse.ts';
import { finding } from './finding.ts';
import type { Looked } from './finding.ts';

export const unused = (looked: Looked): readonly Problem[] =>
  looked.whole
    ? [...unusedRunbooks(looked), ...unusedGroups(looked), ...unusedConditions(looked), ...unusedInputs(looked)]
    : unusedInputs(looked);

const unusedRunbooks = ({ runbooks, written }: Looked): readonly Problem[] => {
  const used = new Set(written.rules.flatMap(({ value }) => runbooksNamedBy(value)));
  return [...runbooks.values()]
    .filter(({ name }) => !used.has(name))
    .map(({ name, file }) =>
      finding(
        'unused-runbook',
        { file, pointer: '' },
        `No rule uses the runbook ${name}`,
        'let a rule name it, or take it away',
      ),
    );
};

/** The rungs of a rule as it stands in its file. */
const runbooksNamedBy = (rule: unknown): readonly string[] => {
  const event = isObject(rule) ? rule['event'] : undefined;
  const params = isObject(event) ? event['params'] : undefined;
  const given = isObject(params) ? params['runbook'] : undefined;
  return (Array.isArray(given) ? given : [given]).flatMap((rung: unknown) => {
    const name = isObject(rung) ? rung['runbook'] : rung;
    return typeof name === 'string' ? [name] : [];
  });
};

/** Where only some kinds are in use, a group that stands beside them may be for the others. */
const unusedGroups = ({ written, beside }: Looked): readonly Problem[] => {
  const used = new Set(written.runbooks.flatMap(({ value }) => groupsNamedBy(value)));
  return written.runbooks.flatMap(({ file }) => {
    const name = nameFromPath(file);
    if (!name.ok || name.value.kind !== GROUPS || beside.has(file) || used.has(name.value.strategy)) return [];
    const message = `No runbook begins with the group of steps ${name.value.strategy}`;
    return [finding('unused-group', { file, pointer: '' }, message, 'name it in before:, or take it away')];
  });
};

const groupsNamedBy = (runbook: unknown): readonly unknown[] => {
  const before = isObject(runbook) ? runbook['before'] : undefined;
  return Array.isArray(before) ? before.flatMap((step: unknown) => (isObject(step) ? [step['group']] : [])) : [];
};

const unusedConditions = ({ written }: Looked): readonly Problem[] => {
  const used = new Set([...written.rules, ...written.conditions].flatMap(({ value }) => conditionsNamedIn(value)));
  return written.conditions.flatMap(({ file }) => {
    const name = (file.split('/').at(-1) ?? file).replace(/\.json$/, '');
    if (used.has(name)) return [];
    const message = `No rule uses the named condition ${name}`;
    return [finding('unused-condition', { file, pointer: '' }, message, 'let a rule name it, or take it away')];
  });
};

const conditionsNamedIn = (value: unknown): readonly string[] => {
  if (Array.isArray(value)) return value.flatMap(conditionsNamedIn);
  if (!isObject(value)) return [];
  const own = typeof value['condition'] === 'string' ? [value['condition']] : [];
  return [...own, ...Object.values(value).flatMap(conditionsNamedIn)];
};

const unusedInputs = ({ written }: Looked): readonly Problem[] =>
  written.runbooks.flatMap(({ file, value }) => {
    if (!isObject(value) || !isObject(value['inputs'])) return [];
    const { inputs, guide: _guide, ...rest } = value;
    const text = JSON.stringify(rest);
    return Object.keys(inputs as object)
      .filter((name) => !new RegExp(`\\binputs(?:\\.${name}\\b|\\[\\\\?["']${name}\\\\?["']\\])`).test(text))
      .map((name) =>
        finding(
          'unused-input',
          { file, pointer: pointer(['inputs', name]) },
          `The input ${name} is declared, and nothing in the runbook reads it`,
          `write \${{ inputs.${name} }} where it is meant, or take it away`,
        ),
      );
  });
