// Calls to the API of a running amends. What goes wrong becomes one message that says what to do next.
import { readFile } from 'node:fs/promises';
import { isObject } from '../../base/json.ts';
import { formatProblem } from '../../base/failure.ts';
import type { Problem } from '../../base/failure.ts';

export type Answer = Readonly<Record<string, unknown>>;
export type Query = Readonly<Record<string, string | number | undefined>>;

export type Client = {
  readonly url: string;
  get(path: string, query?: Query): Promise<Answer>;
  post(path: string, body?: unknown): Promise<Answer>;
  /** What is not JSON, as it comes. */
  text(path: string): Promise<string>;
  /** Every item of a list, page by page, up to `limit`. */
  list(path: string, query: Query, limit: number): Promise<readonly Answer[]>;
};

/** The other side said no, or nothing: shown as it is, exit 1. */
export class CallFailed extends Error {
  override readonly name = 'CallFailed';
  readonly status: number | null;
  /** The problem document, for --output=json. */
  readonly document: Answer;
  constructor(message: string, status: number | null, document: Answer) {
    super(message);
    this.status = status;
    this.document = document;
  }
}

/** Another server that was to be asked, and gave no answer that can be used. */
export const unanswered = (message: string): CallFailed =>
  new CallFailed(message, null, { title: 'unreachable', detail: message });

const TIMEOUT_MS = 30_000;
const PAGE = 500;

export type ClientOptions = { readonly url: string; readonly tokenFile: string | undefined };

export const createClient = ({ url, tokenFile }: ClientOptions): Client => {
  const base = url.replace(/\/+$/, '');
  const credentials = async (): Promise<Record<string, string>> =>
    tokenFile === undefined ? {} : { authorization: `Bearer ${await readToken(tokenFile)}` };
  const call = async (method: 'GET' | 'POST', path: string, query: Query, body: unknown): Promise<Answer> => {
    const headers: Record<string, string> = { accept: 'application/json', ...(await credentials()) };
    if (method === 'POST') headers['content-type'] = 'application/json';
    const response = await send(base, `${path}${search(query)}`, {
      method,
      headers,
      redirect: 'error',
      ...(method === 'POST' ? { body: JSON.stringify(body ?? {}) } : {}),
    });
    return response;
  };
  const client: Client = {
    url: base,
    get: async (path, query = {}) => call('GET', path, query, undefined),
    post: async (path, body) => call('POST', path, {}, body),
    text: async (path) => sendForText(base, path, { headers: await credentials(), redirect: 'error' }),
    async list(path, query, limit) {
      const items: Answer[] = [];
      let cursor: string | undefined;
      do {
        const page = await client.get(path, { ...query, limit: Math.min(PAGE, limit - items.length), cursor });
        if (Array.isArray(page['items'])) items.push(...page['items'].filter(isObject));
        cursor = typeof page['next'] === 'string' ? page['next'] : undefined;
      } while (cursor !== undefined && items.length < limit);
      return items.slice(0, limit);
    },
  };
  return client;
};

const search = (query: Query): string => {
  const given = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) if (value !== undefined) given.set(name, String(value));
  const text = given.toString();
  return text === '' ? '' : `?${text}`;
};

const readToken = async (file: string): Promise<string> => {
  try {
    return (await readFile(file, 'utf8')).trim();
  } catch (error) {
    throw new CallFailed(
      `The token file ${file} cannot be read (${reasonOf(error)}).\nName one that can by --token-file or AMENDS_TOKEN_FILE.`,
      null,
      {
        title: 'token file unreadable',
        detail: file,
      },
    );
  }
};

const exchange = async (
  base: string,
  path: string,
  init: RequestInit,
): Promise<{ readonly response: Response; readonly text: string }> => {
  try {
    const response = await fetch(`${base}${path}`, { ...init, signal: AbortSignal.timeout(TIMEOUT_MS) });
    return { response, text: await response.text() };
  } catch (error) {
    throw new CallFailed(
      `amends does not answer at ${base} (${reasonOf(error)}).\nStart it with: amends serve\nOr name the one that runs by --url or AMENDS_URL.`,
      null,
      { title: 'unreachable', detail: reasonOf(error), url: base },
    );
  }
};

const sendForText = async (base: string, path: string, init: RequestInit): Promise<string> => {
  const { response, text } = await exchange(base, path, init);
  if (response.ok) return text;
  throw refusal(base, response, parse(text));
};

const send = async (base: string, path: string, init: RequestInit): Promise<Answer> => {
  const { response, text } = await exchange(base, path, init);
  const answer = parse(text);
  if (response.ok && answer !== undefined) return answer;
  throw refusal(base, response, answer);
};

const refusal = (base: string, { status }: Response, answer: Answer | undefined): CallFailed =>
  answer === undefined
    ? new CallFailed(
        `${base} answered ${status} and not in JSON: is it amends? Name another by --url or AMENDS_URL.`,
        status,
        { title: 'not amends', status },
      )
    : new CallFailed(describe(base, status, answer), status, answer);

const parse = (text: string): Answer | undefined => {
  if (text.trim() === '') return {};
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
};

/** A problem document (RFC 9457) as people read it. */
const describe = (base: string, status: number, document: Answer): string => {
  const said = [document['title'], document['detail']].filter(
    (part): part is string => typeof part === 'string' && part !== '',
  );
  const message = said.length === 0 ? `${base} answered ${status}` : said.join(': ');
  const problems = Array.isArray(document['problems']) ? document['problems'].filter(isObject) : [];
  const mend = typeof document['mend'] === 'string' ? [`  mend: ${document['mend']}`] : [];
  const hint =
    status === 401 || status === 403
      ? ['Name a file with a token that may do this by --token-file or AMENDS_TOKEN_FILE.']
      : [];
  return [message, ...problems.map((problem) => formatProblem(problem as unknown as Problem)), ...mend, ...hint].join(
    '\n',
  );
};

/** The code of a network or file error, where it has one. Errors of Node's own are asked by shape: they may come from another realm. */
const reasonOf = (error: unknown): string => {
  if (!isObject(error)) return String(error);
  if (error['name'] === 'TimeoutError') return `no answer within ${TIMEOUT_MS / 1000} s`;
  const inner = isObject(error['cause']) ? error['cause'] : error;
  return String(inner['code'] ?? inner['message']);
};
