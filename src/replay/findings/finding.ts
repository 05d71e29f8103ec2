// What is looked at when files are checked without any alert, and the shape of what is found: a problem that loading
// does not refuse, and that somebody may have meant.
import type { Component } from '../../alert/component.ts';
import type { Problem } from '../../base/failure.ts';
import type { Json } from '../../base/json.ts';
import type { Rule } from '../../rule/rule.ts';
import type { KnownActions } from '../../runbook/arguments.ts';
import type { Runbook } from '../../runbook/runbook.ts';
import type { AlertRule } from './alert-files.ts';

/** A file as it stands: `value` is null where it could not be read. */
export type Written = { readonly file: string; readonly value: Json };

export type Looked = {
  /** Good ones, in the order in which they are asked. */
  readonly rules: readonly Rule[];
  readonly runbooks: ReadonlyMap<string, Runbook>;
  readonly actions: KnownActions;
  readonly components: ReadonlyMap<string, Component>;
  /** All files, those of rules that are not in use too. Groups are among the runbooks. */
  readonly written: {
    readonly rules: readonly Written[];
    readonly runbooks: readonly Written[];
    readonly conditions: readonly Written[];
  };
  /** Files of groups that no pattern of the configuration names. */
  readonly beside: ReadonlySet<string>;
  /** Of Prometheus' rule files; empty when there are none. */
  readonly alerts: readonly AlertRule[];
  /** False when a file was refused: then nothing can be said of what nobody uses, or nobody answers. */
  readonly whole: boolean;
};

type Place = { readonly file: string; readonly pointer: string };

export const finding = (code: string, { file, pointer }: Place, message: string, mend: string): Problem => ({
  code,
  severity: 'warning',
  message,
  mend: `${mend}${ifMeant(code, file)}`,
  file,
  pointer,
});

/** Without a way to say so, nobody can have meant it. */
const NO_WAY = new Set([
  'unused-condition',
  'unused-group',
  'unused-ignore',
  'bad-alert-file',
  'prometheus-unreachable',
]);

const ifMeant = (code: string, file: string): string => {
  if (NO_WAY.has(code) || /(?:^|\/)conditions\//.test(file)) return '';
  const how =
    code === 'alert-without-rule'
      ? `above it: # amends-ignore ${code}: why`
      : file.endsWith('.json')
        ? `"ignore": [{ "code": "${code}", "reason": "..." }]`
        : `ignore: [{ code: ${code}, reason: ... }]`;
  return `; or, if it is meant so, ${how}`;
};
