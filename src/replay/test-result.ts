// What a test came to: each case with what was expected and what was there instead, side by side.
import type { Problem } from '../base/failure.ts';
import { formatDuration } from '../base/duration.ts';
import { canonical, isObject } from '../base/json.ts';

export type Mismatch = { readonly what: string; readonly expected: string; readonly actual: string };

export type CaseResult = {
  /** `eval_time 4m`, or what else tells it apart within its test. */
  readonly name: string;
  readonly line: number;
  readonly mismatches: readonly Mismatch[];
  /** In words, why it came out as it did. */
  readonly why: string;
};

export type TestResult = {
  readonly file: string;
  readonly name: string;
  readonly line: number;
  readonly cases: readonly CaseResult[];
  /** Why it could not go on; null: it came to its end. */
  readonly stopped: string | null;
  /** Processor time is what it costs; milliseconds of the wall clock, since a reader of JUnit expects that. */
  readonly ms: number;
};

export type FileResult = {
  readonly file: string;
  readonly shape: 'rules' | 'runbook';
  /** Why the file could not be used, or what stands in its way. */
  readonly problems: readonly Problem[];
  readonly tests: readonly TestResult[];
};

export const passed = ({ cases, stopped }: Pick<TestResult, 'cases' | 'stopped'>): boolean =>
  stopped === null && cases.every(({ mismatches }) => mismatches.length === 0);

/** A value as a reader of YAML expects it. */
export const shown = (value: unknown): string =>
  value === undefined
    ? 'not there'
    : value === null
      ? 'null'
      : typeof value === 'string'
        ? value
        : JSON.stringify(value);

const shownTime = (ms: number | null): string => (ms === null ? 'null' : formatDuration(ms));

/** Compares one member; nothing is said of what the test does not expect. */
export const compare = (what: string, expected: unknown, actual: unknown): readonly Mismatch[] =>
  expected === undefined || canonical(expected) === canonical(actual)
    ? []
    : [{ what, expected: shown(expected), actual: shown(actual) }];

export const compareTime = (what: string, expected: number | null | undefined, actual: number | null) =>
  expected === undefined || expected === actual
    ? []
    : [{ what, expected: shownTime(expected), actual: shownTime(actual) }];

/** Every member that is expected has to be there; others may be. Objects within are compared the same way. */
export const comparePart = (what: string, expected: unknown, actual: unknown): readonly Mismatch[] => {
  if (!isObject(expected)) return compare(what, expected, actual);
  if (!isObject(actual)) return [{ what, expected: shown(expected), actual: shown(actual) }];
  return Object.entries(expected).flatMap(([name, value]) =>
    comparePart(`${what}.${name}`, value, Object.hasOwn(actual, name) ? actual[name] : undefined),
  );
};
