// One GET of JSON from a configured neighbour: bounded in time and size, no redirects, no proxy.
import { readFile } from 'node:fs/promises';
import axios from 'axios';
import type { Redactor } from '../base/secret.ts';
import type { Neighbour } from '../port/sources.ts';

const TIMEOUT_MS = 2_000;
const LARGEST_ANSWER = 8 * 1_024 * 1_024;

/** `silent`: nobody was there to answer, as opposed to an answer that says no. */
export type Answered =
  | { readonly ok: true; readonly body: unknown }
  | { readonly ok: false; readonly error: string; readonly silent: boolean };

export const getJson = async (
  neighbour: Neighbour,
  path: string,
  params: URLSearchParams,
  redactor: Redactor,
): Promise<Answered> => {
  const authorization = await authorizationOf(neighbour, redactor);
  if (!authorization.ok) return { ...authorization, silent: false };
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
    if (!axios.isAxiosError(error))
      return { ok: false, error: error instanceof Error ? error.message : String(error), silent: false };
    const status = error.response?.status;
    if (status === undefined) return { ok: false, error: redactor.text(reasonOf(error)), silent: true };
    const body = error.response?.data as { error?: unknown } | undefined;
    const said = typeof body?.error === 'string' ? `: ${body.error.slice(0, 200)}` : '';
    return { ok: false, error: redactor.text(`status ${status}${said}`), silent: false };
  }
};

/** What an abort at the time limit says by itself is `canceled`. */
const reasonOf = (error: { readonly code?: string | undefined; readonly message: string }): string =>
  error.code === 'ERR_CANCELED' || error.code === 'ECONNABORTED' ? `no answer within ${TIMEOUT_MS} ms` : error.message;

type Authorization =
  | { readonly ok: true; readonly headers: Readonly<Record<string, string>> }
  | { readonly ok: false; readonly error: string };

const authorizationOf = async ({ credential }: Neighbour, redactor: Redactor): Promise<Authorization> => {
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
