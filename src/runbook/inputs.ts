// A runbook's inputs: what it declares, and whether what a rule or a human gives fits. Types are kept strict, since a
// value goes on into commands.
import { RE2JS } from 're2js';
import { parseDuration } from '../base/duration.ts';
import { didYouMean, ok, refused } from '../base/failure.ts';
import type { Problem, Result } from '../base/failure.ts';
import { canonical, pointer } from '../base/json.ts';
import type { Json, JsonObject } from '../base/json.ts';
import type { Input, Runbook } from './runbook.ts';
import type { InputDocument } from './schema.ts';
import { hasTemplate } from './template.ts';

const LONGEST_TEXT = 4_096;
const LONGEST_LIST = 1_000;

type Inputs = Pick<Runbook, 'name' | 'inputs'>;

/** Every declared input with its value: the given one, or the default. */
export const resolveInputs = (runbook: Inputs, given: JsonObject): Result<JsonObject> => {
  const problems = [...checkInputs(runbook, given)];
  const values = Object.create(null) as Record<string, Json>;
  for (const [name, input] of Object.entries(runbook.inputs)) {
    const value = Object.hasOwn(given, name) ? given[name] : input.default;
    if (value === undefined) continue;
    if (hasTemplate(value)) {
      problems.push({
        code: 'bad-input',
        message: `the input ${name} still holds a template`,
        mend: 'give the value itself',
        pointer: pointer([name]),
      });
    }
    values[name] = value;
  }
  return problems.length > 0 ? refused(problems) : ok(values);
};

/** What is wrong with `given`; values that are still templates are taken on trust, and checked again when they are known. */
export const checkInputs = (runbook: Inputs, given: JsonObject): readonly Problem[] => {
  const problems: Problem[] = [];
  const names = Object.keys(runbook.inputs);
  for (const [name, value] of Object.entries(given)) {
    const input = Object.hasOwn(runbook.inputs, name) ? runbook.inputs[name] : undefined;
    if (input === undefined) {
      const near = didYouMean(name, names);
      const mend =
        near !== undefined
          ? `did you mean ${near}?`
          : names.length === 0
            ? 'it takes none: leave it out'
            : `it takes ${names.join(', ')}`;
      problems.push({
        code: 'unknown-input',
        message: `${runbook.name} has no input ${name}`,
        mend,
        pointer: pointer([name]),
      });
    } else if (!hasTemplate(value)) {
      const wrong = unfit(input, value);
      if (wrong !== undefined)
        problems.push({
          code: 'bad-input',
          message: `the input ${name} ${wrong}`,
          mend: wanted(input),
          pointer: pointer([name]),
        });
    }
  }
  for (const [name, input] of Object.entries(runbook.inputs)) {
    if (input.default !== undefined || Object.hasOwn(given, name)) continue;
    problems.push({
      code: 'missing-input',
      message: `${runbook.name} needs the input ${name}`,
      mend: `give it: ${wanted(input)}`,
      pointer: pointer([name]),
    });
  }
  return problems;
};

/** An input as declared, with what its declaration has wrong; pointers start at the declaration. */
export const declareInput = (
  document: InputDocument,
): { readonly input: Input; readonly problems: readonly Problem[] } => {
  const problems: Problem[] = [];
  const textual = document.type === 'string' || document.type === 'list';
  if (document.pattern !== undefined && !textual) {
    problems.push({
      code: 'bad-input',
      message: `a ${document.type} has no pattern`,
      mend: 'take the pattern out, or make it a string',
      pointer: '/pattern',
    });
  }
  const compiled = document.pattern === undefined ? undefined : compilePattern(document.pattern);
  if (compiled !== undefined && !compiled.ok) {
    problems.push({
      code: 'bad-pattern',
      message: `the pattern is not RE2: ${compiled.why}`,
      mend: 'RE2 has neither look-around nor back-references',
      pointer: '/pattern',
    });
  }
  const input: Input = {
    type: document.type,
    default: document.default,
    description: document.description ?? '',
    pattern: compiled?.ok === true && textual ? (document.pattern ?? null) : null,
    enum: document.enum ?? null,
  };
  for (const [index, member] of (document.enum ?? []).entries()) {
    const wrong = unfit({ ...input, enum: null }, input.type === 'list' ? [member] : member);
    if (wrong !== undefined)
      problems.push({
        code: 'bad-input',
        message: `this choice ${wrong}`,
        mend: `it must be ${KINDS[input.type]}`,
        pointer: `/enum/${index}`,
      });
  }
  if (document.default !== undefined) {
    const wrong = hasTemplate(document.default)
      ? 'is a template, and a default stands for itself'
      : unfit(input, document.default);
    if (wrong !== undefined)
      problems.push({ code: 'bad-input', message: `the default ${wrong}`, mend: wanted(input), pointer: '/default' });
  }
  return { input, problems };
};

const KINDS = {
  string: 'text',
  number: 'a number',
  boolean: 'true or false',
  duration: 'a duration such as 30s or 5m',
  list: 'a list of texts, numbers or true and false',
} as const;

const wanted = (input: Input): string => {
  const choice = input.enum === null ? '' : `, of ${input.enum.map((member) => JSON.stringify(member)).join(', ')}`;
  const pattern = input.pattern === null ? '' : `, matching ${input.pattern} as a whole`;
  return `it is ${KINDS[input.type]}${choice}${pattern}`;
};

const unfit = (input: Input, value: Json): string | undefined => {
  switch (input.type) {
    case 'number':
      if (typeof value !== 'number' || !Number.isFinite(value)) return 'is not a number';
      break;
    case 'boolean':
      if (typeof value !== 'boolean') return 'is not true or false';
      break;
    case 'duration':
      if (typeof value !== 'string' || parseDuration(value) === undefined) return 'is not a duration';
      break;
    case 'string':
      return typeof value === 'string' ? unfitText(input, value) : 'is not text';
    case 'list':
      return unfitList(input, value);
  }
  return chosen(input, value);
};

const unfitText = (input: Input, value: string): string | undefined => {
  if (value.length > LONGEST_TEXT) return `is longer than ${LONGEST_TEXT} characters`;
  if (value.includes('\0')) return 'holds a NUL';
  const compiled = input.pattern === null ? undefined : compilePattern(input.pattern);
  if (compiled?.ok === true && !compiled.pattern.matches(value)) return 'does not match its pattern';
  return chosen(input, value);
};

const unfitList = (input: Input, value: Json): string | undefined => {
  if (!Array.isArray(value)) return 'is not a list';
  if (value.length > LONGEST_LIST) return `has more than ${LONGEST_LIST} members`;
  for (const member of value as readonly Json[]) {
    if (typeof member === 'object') return 'holds something that is neither text, a number nor true or false';
    const wrong =
      typeof member === 'string'
        ? unfitText(input, member)
        : input.pattern === null
          ? chosen(input, member)
          : 'holds something that is not text';
    if (wrong !== undefined) return wrong;
  }
  return undefined;
};

const chosen = (input: Input, value: Json): string | undefined =>
  input.enum === null || input.enum.some((member) => canonical(member) === canonical(value))
    ? undefined
    : 'is none of the choices';

type Compiled = { readonly ok: true; readonly pattern: RE2JS } | { readonly ok: false; readonly why: string };

const compilePattern = (text: string): Compiled => {
  try {
    return { ok: true, pattern: RE2JS.compile(text) };
  } catch (error) {
    return { ok: false, why: error instanceof Error ? error.message : String(error) };
  }
};
