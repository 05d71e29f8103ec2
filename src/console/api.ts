// What the page asks of amends. Whatever goes wrong comes back as a value with words for a person.
import { after, learn } from './clock.ts';

export type Row = Readonly<Record<string, unknown>>;
export type Answer =
  | { readonly ok: true; readonly body: Row }
  /** `status` 0: no answer at all. */
  | { readonly ok: false; readonly status: number; readonly problem: string };

export type Session = {
  readonly name: string;
  readonly role: string;
  /** Nobody signs in here: amends listens to its own machine alone. */
  readonly local: boolean;
  readonly csrf: string | null;
};

const PATIENCE_MS = 10_000;
let csrf: string | null = null;

export const setCsrf = (token: string | null): void => void (csrf = token);

/** Aborted when no answer comes in time: a network that is gone says nothing. */
const within = (ms: number): { readonly signal: AbortSignal; readonly done: () => void } => {
  const controller = new AbortController();
  return { signal: controller.signal, done: after(ms, () => controller.abort()) };
};

const ask = async (path: string, init: RequestInit): Promise<Answer> => {
  const { signal, done } = within(PATIENCE_MS);
  try {
    const response = await fetch(path, { ...init, signal, credentials: 'same-origin', redirect: 'error' });
    const date = Date.parse(response.headers.get('date') ?? '');
    const body = (await response.json().catch(() => ({}))) as Row;
    // To the second, in the middle of which it is right by half.
    learn(date + 500);
    if (response.ok) return { ok: true, body };
    const problems = list(body['problems']).map((problem) => text(problem['message']));
    const said = [text(body['detail']) || text(body['title']), ...problems.slice(1), text(body['mend'])];
    return { ok: false, status: response.status, problem: said.filter((part) => part !== '').join(' - ') };
  } catch {
    return { ok: false, status: 0, problem: 'amends does not answer' };
  } finally {
    done();
  }
};

export const get = (path: string): Promise<Answer> => ask(path, { headers: { accept: 'application/json' } });

export const send = (path: string, body: object, method = 'POST'): Promise<Answer> =>
  ask(path, {
    method,
    headers: { 'content-type': 'application/json', ...(csrf === null ? {} : { 'x-amends-csrf': csrf }) },
    body: JSON.stringify(body),
  });

// ---- reading what came ---------------------------------------------------------------------------------------------

export const text = (value: unknown): string =>
  typeof value === 'string' ? value : typeof value === 'number' || typeof value === 'boolean' ? String(value) : '';
export const row = (value: unknown): Row =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Row) : {};
export const list = (value: unknown): readonly Row[] => (Array.isArray(value) ? value.map(row) : []);
export const texts = (value: unknown): readonly string[] => (Array.isArray(value) ? value.map(text) : []);
export const number = (value: unknown): number => (typeof value === 'number' ? value : 0);
/** A time as the API writes it. */
export const when = (value: unknown): string | null => (typeof value === 'string' ? value : null);
export const path = (...parts: readonly string[]): string => parts.map(encodeURIComponent).join('/');
