// Whether rules and alerts know each other: an alert that no rule can answer, a rule that no alert can set off. Said only
// where it is certain: labels that come with the series may have any value.
import type { Problem } from '../../base/failure.ts';
import { branchesOf, namedValues, satisfiable } from '../../rule/branches.ts';
import type { Branch } from '../../rule/branches.ts';
import type { AlertRule } from './alert-files.ts';
import { finding } from './finding.ts';
import type { Looked } from './finding.ts';

export const alertFindings = ({ rules, alerts, whole }: Looked): readonly Problem[] => {
  if (alerts.length === 0 || !whole) return [];
  const known = rules.map((rule) => ({ rule, branches: branchesOf(rule.conditions) }));
  return [
    ...alerts
      .filter((alert) => !known.some(({ branches }) => branches === null || branches.some((one) => fits(one, alert))))
      .map((alert) =>
        finding(
          'alert-without-rule',
          { file: alert.file, pointer: `${alert.pointer}/alert` },
          `No rule answers the alert ${alert.name}`,
          'write a rule for it: remediate, escalate, observe or ignore',
        ),
      ),
    ...known
      .filter(({ branches }) => isUnheard(branches, alerts))
      .map(({ rule, branches }) =>
        finding(
          'rule-without-alert',
          { file: rule.file, pointer: '/conditions' },
          `No alert of the alert files can set off ${rule.name}${namesIn(branches ?? [])}`,
          'correct the name, or write the alert',
        ),
      ),
  ];
};

/** A recovery asked for by a failure type is decided as an alert with this label; no alert file has to raise it. */
const BY_HAND = 'label.failure_type';

const isUnheard = (branches: readonly Branch[] | null, alerts: readonly AlertRule[]): boolean => {
  if (branches === null || branches.length === 0) return false;
  return (
    branches.some((branch) => !branch.has(BY_HAND)) &&
    !branches.some((branch) => alerts.some((alert) => fits(branch, alert)))
  );
};

const fits = (branch: Branch, alert: AlertRule): boolean =>
  (!branch.has(BY_HAND) || alert.labels.has(labelOf(BY_HAND))) &&
  [...branch.keys()].every((key) => {
    const value = valueOf(alert, key);
    return value === undefined || value === null || satisfiable(branch, key, [value]);
  });

/** Undefined or null where it may be anything. Texts are taken as they are written: what a template puts in says little. */
const valueOf = ({ name, labels, annotations }: AlertRule, key: string): string | null | undefined => {
  if (key === 'alertname') return name;
  if (key === 'text') return TEXTS.flatMap((one) => annotations.get(one) ?? []).join('\n');
  if (key.startsWith(ANNOTATION)) return annotations.get(key.slice(ANNOTATION.length)) ?? '';
  return labels.get(labelOf(key));
};
const TEXTS = ['summary', 'description'];
const ANNOTATION = 'annotation.';

const labelOf = (key: string): string => (key.startsWith('label.') ? key.slice('label.'.length) : key);

const namesIn = (branches: readonly Branch[]): string => {
  const names = branches.flatMap((branch) => namedValues(branch, 'alertname'));
  const said = [...new Set(names)].slice(0, 5);
  return said.length === 0 ? '' : ` (it is for ${said.join(', ')})`;
};
