// Everything that can be said of files that each load: the findings, those that are meant so taken out.
import type { Problem } from '../../base/failure.ts';
import type { Pardon } from '../../base/findings.ts';
import { isObject } from '../../base/json.ts';
import type { Config } from '../../config.ts';
import { findConflicts } from '../conflicts.ts';
import { readAlertFiles } from './alert-files.ts';
import { alertFindings } from './alerts.ts';
import { emptyInventories } from './empty-inventory.ts';
import type { Looked } from './finding.ts';
import { withoutMeant } from './ignoring.ts';
import { neverMatches } from './never-matches.ts';
import { stepFindings } from './steps.ts';
import { uncheckedLabels } from './unchecked-label.ts';
import { unused } from './unused.ts';

export type Checked = Omit<Looked, 'alerts'> & {
  readonly config: Pick<Config, 'file' | 'pardons'>;
  readonly alertFiles: ReadonlyArray<{ readonly file: string; readonly text: string }>;
  /** Files of which something was said that is no finding. */
  readonly refused: ReadonlySet<string>;
  /** What was found by asking Prometheus; null when it was not asked. */
  readonly present: readonly Problem[] | null;
};

/** As they stand in a runbook or a group; what has no such shape was refused. */
const pardonsIn = (value: unknown): readonly Pardon[] => {
  const given = isObject(value) ? value['ignore'] : undefined;
  return (Array.isArray(given) ? given.filter(isObject) : []).map(({ code, reason }) => ({
    code: String(code),
    reason: String(reason),
  }));
};

const NEED_ALERTS = new Set(['alert-without-rule', 'rule-without-alert']);
const NEED_PROMETHEUS = new Set(['unknown-alert', 'unknown-label', 'unknown-metric']);
/** Not looked for when a file was refused: that file may be what uses, or answers. */
const NEED_ALL = new Set(['alert-without-rule', 'rule-without-alert', 'unused-runbook', 'unused-group']);

export const findAll = (checked: Checked): readonly Problem[] => {
  const { config, alertFiles, present, refused } = checked;
  const { alerts, pardons: comments, problems } = readAlertFiles(alertFiles);
  const looked: Looked = { ...checked, alerts };
  const conflicts = findConflicts(looked).map((problem): Problem => ({ ...problem, severity: 'warning' }));
  const rest = withoutMeant({
    looked,
    found: [
      ...neverMatches(looked),
      ...alertFindings(looked),
      ...unused(looked),
      ...stepFindings(looked),
      ...uncheckedLabels(looked),
      ...emptyInventories(looked, config),
      ...(present ?? []),
    ],
    pardons: [
      ...looked.rules.map(({ file, pardons = [] }) => ({ file, pardons })),
      // In a file that is refused something else comes first.
      ...looked.written.runbooks
        .filter(({ file }) => !refused.has(file))
        .map(({ file, value }) => ({ file, pardons: pardonsIn(value) })),
      ...(config.file === null ? [] : [{ file: config.file, pardons: config.pardons ?? [] }]),
    ],
    comments,
    wasLookedFor: (code) =>
      !(NEED_ALERTS.has(code) && alerts.length === 0) &&
      !(NEED_PROMETHEUS.has(code) && present === null) &&
      !(NEED_ALL.has(code) && !looked.whole),
  });
  return [...problems, ...conflicts, ...rest];
};
