// Prometheus' rule files as far as they are about alerts: names, labels that every such alert has, and the comments that say
// which of them are meant for people alone.
import { didYouMean } from '../../base/failure.ts';
import type { Problem } from '../../base/failure.ts';
import { IGNORABLE } from '../../base/findings.ts';
import { isObject, pointer } from '../../base/json.ts';
import { finding } from './finding.ts';
import { openFile } from './places.ts';

export type AlertRule = {
  readonly file: string;
  readonly pointer: string;
  readonly name: string;
  /** Labels that every alert of this rule has; null where the value is made from the series. */
  readonly labels: ReadonlyMap<string, string | null>;
  /** As written, each template in them as one word. */
  readonly annotations: ReadonlyMap<string, string>;
};

/** `# amends-ignore <code>: <reason>`; of what comes next, an alert or a group of them; of the whole file when it stands above its groups. */
export type CommentPardon = {
  readonly code: string;
  readonly file: string;
  readonly line: number;
  readonly column: number;
  /** The pointer of the alert or group that it stands above; empty: all of the file. */
  readonly above: string;
};

export type AlertFiles = {
  readonly alerts: readonly AlertRule[];
  readonly pardons: readonly CommentPardon[];
  readonly problems: readonly Problem[];
};

export const readAlertFiles = (files: ReadonlyArray<{ readonly file: string; readonly text: string }>): AlertFiles => {
  const read = files.map(readAlertFile);
  return {
    alerts: read.flatMap(({ alerts }) => alerts),
    pardons: read.flatMap(({ pardons }) => pardons),
    problems: read.flatMap(({ problems }) => problems),
  };
};

const readAlertFile = ({ file, text }: { readonly file: string; readonly text: string }): AlertFiles => {
  const { value, place } = openFile(text);
  const groups = isObject(value) ? value['groups'] : undefined;
  if (!Array.isArray(groups)) {
    const message = 'this is no rule file of Prometheus: it has no list of groups';
    const mend = 'promtool check rules says what is wrong; or name other files: --alerts=GLOB';
    return { alerts: [], pardons: [], problems: [finding('bad-alert-file', { file, pointer: '' }, message, mend)] };
  }
  const alerts = groups.flatMap((group: unknown, index) => {
    const rules = isObject(group) && Array.isArray(group['rules']) ? (group['rules'] as readonly unknown[]) : [];
    return rules.flatMap((rule, at) => alertOf(rule, file, pointer(['groups', index, 'rules', at])));
  });
  const placed = [...groups.map((_, index) => pointer(['groups', index])), ...alerts.map(({ pointer: at }) => at)]
    .map((at) => ({ at, line: place(at).line }))
    .toSorted((left, right) => left.line - right.line);
  const { pardons, problems } = readComments(file, text, place('/groups').line, placed);
  return { alerts, pardons, problems };
};

const alertOf = (rule: unknown, file: string, at: string): readonly AlertRule[] => {
  if (!isObject(rule) || typeof rule['alert'] !== 'string') return [];
  const labels = Object.entries(isObject(rule['labels']) ? rule['labels'] : {}).map(([name, value]) => {
    const text = typeof value === 'string' || typeof value === 'number' ? String(value) : '';
    return [name, text.includes('{{') ? null : text] as const;
  });
  const annotations = Object.entries(isObject(rule['annotations']) ? rule['annotations'] : {}).map(
    ([name, value]) => [name, String(value).replaceAll(/\{\{[^}]*\}\}/g, 'x')] as const,
  );
  return [{ file, pointer: at, name: rule['alert'], labels: new Map(labels), annotations: new Map(annotations) }];
};

const COMMENT = /^(\s*)#\s*amends-ignore\b\s*(?:([a-z-]+)\s*(?::\s*(.*))?)?$/;

const readComments = (
  file: string,
  text: string,
  groupsLine: number,
  placed: ReadonlyArray<{ readonly at: string; readonly line: number }>,
): Pick<AlertFiles, 'pardons' | 'problems'> => {
  const pardons: CommentPardon[] = [];
  const problems: Problem[] = [];
  for (const [index, written] of text.split('\n').entries()) {
    const match = COMMENT.exec(written.trimEnd());
    if (match === null) continue;
    const [, indent = '', code = '', reason = ''] = match;
    const line = index + 1;
    const column = indent.length + 1;
    const fault = faultOf(code, reason);
    if (fault !== null) {
      problems.push({ ...finding('unused-ignore', { file, pointer: '' }, fault.message, fault.mend), line, column });
      continue;
    }
    const above = line < groupsLine ? '' : placed.find((one) => one.line > line)?.at;
    if (above !== undefined) pardons.push({ code, file, line, column, above });
  }
  return { pardons, problems };
};

const faultOf = (code: string, reason: string): { readonly message: string; readonly mend: string } | null => {
  const known: readonly string[] = IGNORABLE.alerts;
  if (!known.includes(code)) {
    const near = didYouMean(code, known);
    return {
      message: `nothing of the name ${JSON.stringify(code)} can be ignored here`,
      mend: near === undefined ? `what can be is ${known.join(', ')}` : `did you mean ${near}?`,
    };
  }
  if (reason.trim() !== '') return null;
  return { message: `${code} is ignored without a reason`, mend: `write one: # amends-ignore ${code}: why` };
};
