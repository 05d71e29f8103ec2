// One question to a Prometheus that the step names. What comes from elsewhere enters a query only as a quoted string in
// the place of a matcher's value, so that nothing an alert says can change what is asked.
import { z } from 'zod';
import { ActionError } from '../../base/failure.ts';
import { isObject } from '../../base/json.ts';
import type { ActionContext } from '../../port/action.ts';
import type { Credential } from '../http/service.ts';
import { ANY_STATUS, address, at, callService, credentialInput } from '../http/service.ts';

/** Between quotes, a value's own quotes would end the text around it. */
const QUOTED = /"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`[^`]*`/g;
const PLACEHOLDER = /\{\{\s*([a-z][a-z0-9_]{0,63})\s*\}\}/g;

export const queryInput = {
  ...credentialInput,
  url: address,
  /** `{{ name }}` stands for one of `values`, as a quoted string: `up{instance={{ target }}}`. */
  query: z.string().min(1).max(4_096),
  values: z.record(z.string().regex(/^[a-z][a-z0-9_]{0,63}$/), z.string().max(1_024)).default({}),
};

export type Sample = { readonly labels: Readonly<Record<string, string>>; readonly value: number };
export type Question = {
  readonly url: string;
  readonly query: string;
  readonly values: Readonly<Record<string, string>>;
} & Credential;

const fill = ({ query, values }: Question): string =>
  query.replaceAll(PLACEHOLDER, (whole: string, name: string, index: number) => {
    const value = Object.hasOwn(values, name) ? values[name] : undefined;
    if (value === undefined) throw new ActionError('permanent', `the query has ${whole}, but values has no ${name}`);
    const before = query.slice(0, index).replaceAll(QUOTED, '');
    if (/["'`#]/.test(before) || !/[^=!<>~]!?=\s*$/.test(before))
      throw new ActionError(
        'permanent',
        `${whole} may only be the value of a matcher with = or !=: up{instance=${whole}}`,
      );
    return JSON.stringify(value);
  });

const numberOf = (value: unknown): number => {
  if (value === '+Inf') return Number.POSITIVE_INFINITY;
  if (value === '-Inf') return Number.NEGATIVE_INFINITY;
  return typeof value === 'string' && value !== '' ? Number(value) : Number.NaN;
};

/** Throws `permanent` for a query that Prometheus does not take, `retryable` when it cannot be asked now. */
export const askPrometheus = async (
  question: Question,
  timeoutMs: number,
  context: ActionContext,
): Promise<readonly Sample[]> => {
  const query = fill(question);
  const form = new URLSearchParams({ query, timeout: `${Math.max(1, Math.round(timeoutMs * 0.9))}ms` });
  const url = `${question.url.replace(/\/+$/, '')}/api/v1/query`;
  // By POST, since a query may hold what an address may not; it only reads all the same.
  const call = { method: 'POST', url, form, timeoutMs, statuses: ANY_STATUS, repeatable: true } as const;
  const answer = await callService(call, question, context);
  const { status, json } = answer;
  if (status !== 200) {
    const said = at(json, '/error');
    const why = typeof said === 'string' ? `: ${said.slice(0, 300)}` : '';
    const kind = status < 500 && status !== 429 && status !== 408 ? 'permanent' : 'retryable';
    throw new ActionError(kind, `Prometheus at ${question.url} answered ${status}${why}`);
  }
  const type = at(json, '/data/resultType');
  const result = at(json, '/data/result');
  if (type === 'scalar' && Array.isArray(result)) return [{ labels: {}, value: numberOf(result[1]) }];
  if (type !== 'vector' || !Array.isArray(result))
    throw new ActionError(
      'permanent',
      `${question.url} answered with neither a vector nor a scalar; mend: ask for one`,
    );
  return result.filter(isObject).map((series) => {
    const metric = isObject(series['metric']) ? series['metric'] : {};
    return {
      labels: Object.fromEntries(Object.entries(metric).map(([name, text]) => [name, String(text)])),
      value: Array.isArray(series['value']) ? numberOf(series['value'][1]) : Number.NaN,
    };
  });
};
