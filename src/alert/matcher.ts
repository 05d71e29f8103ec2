// Alertmanager's matchers (`job="redis-cache"`, `instance=~"10\\..*"`), as they stand in amends.yaml. Their regular
// expressions run in linear time whatever a label holds.
import { RE2JS } from 're2js';
import { ok } from '../base/failure.ts';
import type { Problem, Result } from '../base/failure.ts';
import type { Matcher } from './component.ts';

const CLASSIC_NAME = /^[a-zA-Z_:][a-zA-Z0-9_:]*/;
const OPERATORS = ['=~', '!~', '!=', '='] as const;
const LONGEST_EXPRESSION = 1_000;
/** `a|b|c` without anything special needs no engine. */
const PLAIN_ALTERNATIVES = /^[\w\-:/@%, ]+(?:\|[\w\-:/@%, ]+)*$/;

/** One or several, with commas between and braces around or not. Without any it is refused, since that would match every alert. */
export const parseMatchers = (text: string): Result<readonly Matcher[]> => {
  const wrong = (message: string, mend?: string): { ok: false; problems: readonly Problem[] } => ({
    ok: false,
    problems: [
      {
        code: 'bad-matcher',
        message: `${message} in the matcher ${JSON.stringify(text.slice(0, 200))}`,
        mend: mend ?? 'write it as Alertmanager does: job="redis-cache"',
      },
    ],
  });
  let inner = text.trim();
  if (inner.startsWith('{') && inner.endsWith('}')) inner = inner.slice(1, -1).trim();
  const matchers: Matcher[] = [];
  let at = 0;
  const skipSpace = (): void => {
    while (at < inner.length && /\s/.test(inner[at] ?? '')) at += 1;
  };
  while (at < inner.length) {
    skipSpace();
    const name = inner[at] === '"' ? readQuoted(inner, at) : readName(inner, at);
    if (name === null || name.value === '') return wrong('no label name');
    at = name.end;
    skipSpace();
    const operator = OPERATORS.find((candidate) => inner.startsWith(candidate, at));
    if (operator === undefined) return wrong('no operator', 'use one of = != =~ !~');
    at += operator.length;
    skipSpace();
    const value = inner[at] === '"' ? readQuoted(inner, at) : readBare(inner, at);
    if (value === null) return wrong('a value that is not well quoted');
    at = value.end;
    const matcher = createMatcher(name.value, operator, value.value);
    if (!matcher.ok) return matcher;
    matchers.push(matcher.value);
    skipSpace();
    if (at < inner.length && inner[at] !== ',')
      return wrong(`unexpected text after the value of ${name.value}`, 'put a comma between matchers and quote values');
    at += 1;
  }
  return matchers.length === 0 ? wrong('nothing to match') : ok(matchers);
};

/** A missing label is the empty text, as in Alertmanager; expressions are anchored at both ends. */
const createMatcher = (label: string, operator: Matcher['operator'], value: string): Result<Matcher> => {
  const make = (matches: (candidate: string) => boolean): Result<Matcher> => ok({ label, operator, value, matches });
  if (operator === '=') return make((candidate) => candidate === value);
  if (operator === '!=') return make((candidate) => candidate !== value);
  const wanted = operator === '=~';
  if (value.length <= LONGEST_EXPRESSION && PLAIN_ALTERNATIVES.test(value)) {
    const alternatives = new Set(value.split('|'));
    return make((candidate) => alternatives.has(candidate) === wanted);
  }
  const compiled = compileExpression(value);
  if (!compiled.ok) return compiled;
  return make((candidate) => compiled.value.matches(candidate) === wanted);
};

/** RE2 syntax; `matches` on the result is anchored at both ends. */
export const compileExpression = (text: string): Result<RE2JS> => {
  if (text.length > LONGEST_EXPRESSION) {
    return {
      ok: false,
      problems: [
        {
          code: 'bad-expression',
          message: `the regular expression is longer than ${LONGEST_EXPRESSION} characters`,
          mend: 'use several matchers',
        },
      ],
    };
  }
  try {
    return ok(RE2JS.compile(text));
  } catch (error) {
    const message = `the regular expression ${JSON.stringify(text.slice(0, 200))} is refused: ${(error as Error).message}`;
    return {
      ok: false,
      problems: [
        { code: 'bad-expression', message, mend: 'write it in RE2 syntax (no look-around, no back-references)' },
      ],
    };
  }
};

type Token = { readonly value: string; readonly end: number };

const readName = (text: string, at: number): Token | null => {
  const found = CLASSIC_NAME.exec(text.slice(at));
  return found === null ? null : { value: found[0], end: at + found[0].length };
};

const readBare = (text: string, at: number): Token | null => {
  const found = /^[^\s,"{}]*/.exec(text.slice(at))?.[0] ?? '';
  const next = text[at + found.length];
  return next === '"' || next === '{' || next === '}' ? null : { value: found, end: at + found.length };
};

/** Alertmanager knows `\\"`, `\\\\` and `\\n`; any other backslash stands for itself, so that `\\.` needs no doubling. */
const readQuoted = (text: string, start: number): Token | null => {
  let value = '';
  for (let at = start + 1; at < text.length; at += 1) {
    const mark = text[at] ?? '';
    if (mark === '"') return { value, end: at + 1 };
    const next = text[at + 1];
    if (mark !== '\\' || next === undefined) value += mark;
    else {
      at += 1;
      value += next === '"' || next === '\\' ? next : next === 'n' ? '\n' : `\\${next}`;
    }
  }
  return null;
};
