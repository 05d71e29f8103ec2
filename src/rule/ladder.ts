// The runbooks of a rule, rung by rung, checked against what is known of each.
import type { Json, JsonObject } from '../base/json.ts';
import { parseDuration } from '../base/duration.ts';
import { nearest } from './conditions.ts';
import type { Report } from './conditions.ts';
import type { Mode } from './limits.ts';
import type { Rung } from './rule.ts';
import type { RungText } from './schema.ts';
import type { Path, Source } from './source.ts';

/** What a rule must know of a runbook; the runbook itself fits. */
export type KnownRunbook = {
  readonly effect: 'read' | 'change' | 'destroy';
  readonly inputs: Readonly<
    Record<
      string,
      {
        readonly type: 'string' | 'number' | 'boolean' | 'duration' | 'list';
        readonly default: Json | undefined;
        readonly enum: readonly Json[] | null;
      }
    >
  >;
};

type Params = {
  readonly runbook: string | RungText | (string | RungText)[];
  readonly with?: Record<string, Json> | undefined;
  readonly accept_destructive?: boolean | undefined;
};

export const readLadder = (
  source: Source,
  params: Params,
  mode: Mode,
  runbooks: ReadonlyMap<string, KnownRunbook>,
  report: Report,
): Rung[] => {
  const base: Path = ['event', 'params', 'runbook'];
  const list = Array.isArray(params.runbook) ? params.runbook : [params.runbook];
  return list.map((item, index) => {
    const at = Array.isArray(params.runbook) ? [...base, index] : base;
    const text: RungText = typeof item === 'string' ? { runbook: item } : item;
    const named = typeof item === 'string' ? at : [...at, 'runbook'];
    const rung: Rung = { runbook: text.runbook, mode: text.mode ?? mode, with: { ...params.with, ...text.with } };
    const runbook = runbooks.get(text.runbook);
    if (runbook === undefined) {
      report(
        source.place(named),
        'unknown-runbook',
        `There is no runbook "${text.runbook}"`,
        nearest(text.runbook, [...runbooks.keys()]),
      );
      return rung;
    }
    const accepted = text.accept_destructive ?? params.accept_destructive ?? false;
    if (runbook.effect === 'destroy' && rung.mode === 'auto' && !accepted) {
      report(
        source.place(named),
        'destructive-auto',
        `The runbook "${text.runbook}" destroys something and would run without asking`,
        'set mode to "approve", or add "accept_destructive": true',
      );
    }
    checkInputs(source, text, at, params, runbook, report);
    return rung;
  });
};

const checkInputs = (
  source: Source,
  text: RungText,
  at: Path,
  params: Params,
  runbook: KnownRunbook,
  report: Report,
): void => {
  const own = text.with ?? {};
  const shared = params.with ?? {};
  const check = (given: JsonObject, path: Path): void => {
    for (const [name, value] of Object.entries(given)) {
      const place = source.place([...path, name]);
      const input = Object.hasOwn(runbook.inputs, name) ? runbook.inputs[name] : undefined;
      if (input === undefined) {
        report(
          place,
          'bad-input',
          `The runbook "${text.runbook}" has no input ${JSON.stringify(name)}`,
          nearest(name, Object.keys(runbook.inputs)),
        );
        continue;
      }
      if (typeof value === 'string' && value.includes('${{')) {
        checkTemplate(value, (message, mend) => report(place, 'bad-template', message, mend));
        continue;
      }
      if (!hasType(value, input.type))
        report(
          place,
          'bad-input',
          `The input "${name}" of "${text.runbook}" is a ${input.type}, and ${JSON.stringify(value)} is not`,
        );
      else if (input.enum !== null && !input.enum.includes(value))
        report(
          place,
          'bad-input',
          `The input "${name}" of "${text.runbook}" may not be ${JSON.stringify(value)}`,
          `one of: ${input.enum.map(String).join(', ')}`,
        );
    }
  };
  check(own, [...at, 'with']);
  check(shared, ['event', 'params', 'with']);
  for (const [name, input] of Object.entries(runbook.inputs)) {
    if (input.default !== undefined || Object.hasOwn(own, name) || Object.hasOwn(shared, name)) continue;
    report(
      source.place(at),
      'missing-input',
      `The runbook "${text.runbook}" needs the input "${name}"`,
      `add "with": { "${name}": ... }`,
    );
  }
};

const hasType = (value: Json, type: KnownRunbook['inputs'][string]['type']): boolean => {
  switch (type) {
    case 'string':
      return typeof value === 'string';
    case 'number':
      return typeof value === 'number';
    case 'boolean':
      return typeof value === 'boolean';
    case 'list':
      return Array.isArray(value);
    case 'duration':
      return typeof value === 'string' && parseDuration(value) !== undefined;
  }
};

const CONTEXTS = ['label', 'annotation', 'target', 'component'];

/** The names a template may start with; the rest is checked when it is filled in. */
const checkTemplate = (text: string, report: (message: string, mend: string) => void): void => {
  const opened = text.split('${{').length - 1;
  const parts = [...text.matchAll(/\$\{\{\s*([A-Za-z_][A-Za-z0-9_]*)[^}]*\}\}/g)];
  if (parts.length !== opened) report('Not a template', 'write ${{ label.name }}');
  for (const [, root] of parts) {
    if (root !== undefined && !CONTEXTS.includes(root))
      report(`A rule's template knows nothing of "${root}"`, `known are: ${CONTEXTS.join(', ')}`);
  }
};
