// One GET of JSON from a configured neighbour: bounded in time and size, no redirects, no proxy.
import axios from 'axios';

const TIMEOUT_MS = 2_000;
const LARGEST_ANSWER = 8 * 1_024 * 1_024;

export type Answered = { readonly ok: true; readonly body: unknown } | { readonly ok: false; readonly error: string };

export const getJson = async (base: string, path: string, params: URLSearchParams): Promise<Answered> => {
  try {
    const response = await axios.get<unknown>(`${base.replace(/\/+$/, '')}${path}`, {
      params,
      timeout: TIMEOUT_MS,
      signal: AbortSignal.timeout(TIMEOUT_MS),
      maxRedirects: 0,
      maxContentLength: LARGEST_ANSWER,
      proxy: false,
      responseType: 'json',
      headers: { accept: 'application/json' },
    });
    return { ok: true, body: response.data };
  } catch (error) {
    if (!axios.isAxiosError(error)) return { ok: false, error: error instanceof Error ? error.message : String(error) };
    const status = error.response?.status;
    const body = error.response?.data as { error?: unknown } | undefined;
    const said = typeof body?.error === 'string' ? `: ${body.error.slice(0, 200)}` : '';
    return { ok: false, error: status === undefined ? error.message : `status ${status}${said}` };
  }
};
