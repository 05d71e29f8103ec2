// One GET of JSON from a configured neighbour: bounded in time and size, no redirects, no proxy.
import { readFile } from 'node:fs/promises';
import type { Clock } from '../base/clock.ts';
import type { Redactor } from '../base/secret.ts';
import type { Neighbour } from '../port/sources.ts';

const TIMEOUT_MS = 2_000;
const LARGEST_ANSWER = 8 * 1_024 * 1_024;

/** `status` of a neighbour that answered, but not with what was asked for. */
export type Answered =
  | { readonly ok: true; readonly body: unknown }
  | { readonly ok: false; readonly error: string; readonly status?: number };

export type GetJson = (neighbour: Neighbour, path: string, params: URLSearchParams) => Promise<Answered>;

/** One that let the time limit pass is left alone for so long: a storm of alerts must not wait two seconds for each. */
const LEFT_ALONE_MS = 5_000;

export const createGetJson = ({ clock, redactor }: { readonly clock: Clock; readonly redactor: Redactor }): GetJson => {
  const hanging = new Map<string, { readonly at: number; readonly answer: Answered }>();
  return async (neighbour, path, params) => {
    const known = hanging.get(neighbour.url);
    if (known !== undefined && clock.monotonic() - known.at < LEFT_ALONE_MS) return known.answer;
    hanging.delete(neighbour.url);
    const authorization = await authorizationOf(neighbour, redactor);
    if (!authorization.ok) return authorization;
    // Loaded with the first question: it weighs 23 MB, and many an amends never asks one.
    const { default: axios } = await import('axios');
    try {
      const response = await axios.get<unknown>(`${neighbour.url.replace(/\/+$/, '')}${path}`, {
        params,
        timeout: TIMEOUT_MS,
        signal: AbortSignal.timeout(TIMEOUT_MS),
        maxRedirects: 0,
        maxContentLength: LARGEST_ANSWER,
        proxy: false,
        responseType: 'json',
        headers: { accept: 'application/json', ...authorization.headers },
      });
      return { ok: true, body: response.data };
    } catch (error) {
      const { response } = error as Failure;
      const status = response === undefined ? {} : { status: response.status };
      const answer = { ok: false, error: redactor.text(reasonOf(error)), ...status } as const;
      if (isLate(error)) hanging.set(neighbour.url, { at: clock.monotonic(), answer });
      return answer;
    }
  };
};

/** As the client throws it. */
type Failure = {
  readonly code?: string;
  readonly message?: string;
  readonly response?: { readonly status: number; readonly data: unknown };
};

/** What an abort at the time limit says by itself is `canceled`. */
const isLate = (error: unknown): boolean => {
  const { code } = error as Failure;
  return code === 'ERR_CANCELED' || code === 'ECONNABORTED';
};

const reasonOf = (error: unknown): string => {
  if (isLate(error)) return `no answer within ${TIMEOUT_MS} ms`;
  const { response, code, message } = error as Failure;
  if (response === undefined) return message === undefined || message === '' ? (code ?? 'no answer') : message;
  const { error: said } = (response.data ?? {}) as { readonly error?: unknown };
  return `status ${response.status}${typeof said === 'string' ? `: ${said.slice(0, 200)}` : ''}`;
};

type Authorization =
  | { readonly ok: true; readonly headers: Readonly<Record<string, string>> }
  | { readonly ok: false; readonly error: string };

/** The header that says who asks; not ok when the file with the secret cannot be read. */
export const authorizationOf = async ({ credential }: Neighbour, redactor: Redactor): Promise<Authorization> => {
  if (credential === null) return { ok: true, headers: {} };
  const file = credential.type === 'basic' ? credential.passwordFile : credential.tokenFile;
  let secret: string;
  try {
    secret = (await readFile(file, 'utf8')).replace(/\r?\n$/, '');
  } catch (error) {
    return { ok: false, error: `${file} cannot be read: ${(error as NodeJS.ErrnoException).code ?? ''}` };
  }
  redactor.register(secret);
  if (credential.type === 'bearer') return { ok: true, headers: { authorization: `Bearer ${secret}` } };
  const pair = Buffer.from(`${credential.username}:${secret}`).toString('base64');
  redactor.register(pair);
  return { ok: true, headers: { authorization: `Basic ${pair}` } };
};
