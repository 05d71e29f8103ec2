// A figure from Prometheus. Labels come from outside and enter a query only as quoted strings in the place of a matcher's
// value: nothing an alert says can change what is asked.
import { z } from 'zod';
import type { JsonObject } from '../base/json.ts';
import type { Fact, FactInput } from '../port/fact.ts';
import { PROMETHEUS_FAILED } from '../port/sources.ts';
import type { Sample } from '../port/sources.ts';
import type { Answer } from '../rule/fact.ts';

/** An answer this old is good enough: a storm asks once. */
const MAX_AGE_MS = 15_000;

const PLACEHOLDER = /\{\{\s*(label\.[^\s{}]+|target|component)\s*\}\}/g;
const LEFT_OVER = /\{\{|\}\}/;

/** What is wrong with the placeholders of a query, or null. */
const checkQuery = (query: string): string | null => {
  const code = withoutTexts(query);
  if (withoutTexts(query, ' ').replaceAll(/\s/g, '') === '') return 'there is no query in it';
  const inCode = [...code.matchAll(PLACEHOLDER)];
  if (inCode.length < [...query.matchAll(PLACEHOLDER)].length)
    return 'a placeholder is put in as a quoted string, so it may not stand between quotes or in a comment: {instance={{ label.instance }}}';
  if (LEFT_OVER.test(query.replaceAll(PLACEHOLDER, '')))
    return 'a placeholder is one of {{ label.<name> }}, {{ target }} and {{ component }}';
  const misplaced = inCode.some(({ index }) => !/(^|[^=!<>])!?=\s*$/.test(code.slice(0, index)));
  return misplaced
    ? 'a placeholder may only be the value of a matcher with = or !=: as an expression (=~) it could match anything: {instance={{ label.instance }}}'
    : null;
};

/** The query with what stands in quotes and comments blanked out, so that places in it stay the same. */
const withoutTexts = (query: string, blank = '_'): string => {
  let out = '';
  let quote = '';
  for (let at = 0; at < query.length; at += 1) {
    const character = query[at] ?? '';
    if (quote === '#') {
      if (character === '\n') quote = '';
      out += character === '\n' ? character : blank;
    } else if (quote !== '') {
      const escaped = character === '\\' && quote !== '`';
      out += escaped ? blank + blank : blank;
      if (escaped) at += 1;
      else if (character === quote) quote = '';
    } else {
      if (character === '"' || character === "'" || character === '`' || character === '#') quote = character;
      out += quote === '' ? character : blank;
    }
  }
  return out;
};

const params = z.strictObject({
  query: z
    .string()
    .min(1)
    .max(4_096)
    .superRefine((query, context) => {
      const message = checkQuery(query);
      if (message !== null) context.addIssue({ code: 'custom', message });
    }),
  empty: z.number().optional(),
  id: z
    .string()
    .regex(/^[A-Za-z_][A-Za-z0-9_]{0,63}$/, 'a name is letters, digits and underscores')
    .optional(),
});

type Filled = { readonly query: string } | { readonly problem: string };

/** A string of PromQL is written like one of JSON, whatever is in it. */
const fill = (query: string, { alert, target, component }: FactInput): Filled => {
  let problem: string | null = null;
  const filled = query.replaceAll(PLACEHOLDER, (_, name: string) => {
    const label = name.startsWith('label.') ? name.slice('label.'.length) : null;
    const value =
      label === null
        ? name === 'target'
          ? target
          : component
        : Object.hasOwn(alert.labels, label)
          ? alert.labels[label]
          : null;
    if (value === null || value === undefined || value === '')
      problem ??= `the query needs ${name}, which is not there`;
    return JSON.stringify(value ?? '');
  });
  return problem === null ? { query: filled } : { problem };
};

/** Exactly one sample with a finite value; `empty` stands for none. */
const readValue = (samples: readonly Sample[], empty: number | undefined): Pick<Answer, 'value' | 'problem'> => {
  const [sample] = samples;
  if (sample === undefined)
    return empty === undefined ? { value: undefined, problem: 'the query gave no sample' } : { value: empty };
  if (samples.length > 1) return { value: undefined, problem: `the query gave ${samples.length} samples, not one` };
  if (!Number.isFinite(sample.value)) return { value: undefined, problem: `the query gave ${sample.value}` };
  return { value: sample.value };
};

const fact: Fact = {
  summary:
    'The one sample that the query in params gives on Prometheus; without exactly one the rule cannot be decided, unless empty says what no sample counts as.',
  type: 'number',
  optional: false,
  params,
  outside: true,
  async ask(input, given, sources) {
    const { query, empty, id } = params.parse(given);
    const name: JsonObject = id === undefined ? {} : { id };
    const filled = fill(query, input);
    if ('problem' in filled) return { value: undefined, problem: filled.problem, shown: { ...name, query } };
    const shown = { ...name, query: filled.query };
    const answer = await sources.query(filled.query, { maxAgeMs: MAX_AGE_MS });
    if (!answer.ok) {
      const silent = answer.problems.some(({ code }) => code === PROMETHEUS_FAILED);
      return {
        value: undefined,
        problem: answer.problems.map(({ message }) => message).join('; '),
        ...(silent ? { unanswered: filled.query } : {}),
        shown,
      };
    }
    return { ...readValue(answer.value, empty), shown };
  },
};

export default fact;
