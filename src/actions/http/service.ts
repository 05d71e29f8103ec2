// What actions that speak a service's own JSON API share: its address and credential, one bounded call, and an honest
// word on what a bad answer means.
import { z } from 'zod';
import { ActionError } from '../../base/failure.ts';
import type { FailureKind } from '../../base/failure.ts';
import type { Json, JsonObject } from '../../base/json.ts';
import { isObject, nestingDepth } from '../../base/json.ts';
import type { ActionContext } from '../../port/action.ts';
import { absolutePath } from '../inputs.ts';
import type { HttpReply, Method } from './client.ts';
import { sendRequest } from './client.ts';

const DEEPEST = 20;
const LONGEST_SAID = 200;

export const address = z.string().min(1).max(4_096);

/** How amends shows itself to the service; each secret stands in a file. */
export const credentialInput = {
  bearer_token_file: absolutePath.optional(),
  username: z
    .string()
    .regex(/^[\x21-\x39\x3b-\x7e]{1,256}$/, { message: 'a user name without blanks and colons' })
    .optional(),
  password_file: absolutePath.optional(),
};
export type Credential = {
  readonly bearer_token_file?: string | undefined;
  readonly username?: string | undefined;
  readonly password_file?: string | undefined;
};

/** For who judges the status itself. */
export const ANY_STATUS: readonly number[] = Array.from({ length: 500 }, (_, index) => index + 100);

export type Call = {
  readonly method: Method;
  readonly url: string;
  readonly json?: Json;
  /** A body of form fields, in place of JSON. */
  readonly form?: URLSearchParams;
  readonly headers?: Readonly<Record<string, string>>;
  /** It may be sent twice without harm. A GET always may. */
  readonly repeatable?: boolean;
  /** The answers that are taken; 2xx when nothing is said. */
  readonly statuses?: readonly number[];
  /** This request changes something: from here on nobody may claim that nothing happened. */
  readonly changes?: boolean;
  /** Its own limit, beside the step's. */
  readonly timeoutMs?: number;
};
export type Answer = {
  readonly status: number;
  /** Undefined: it is not JSON. */
  readonly json: Json | undefined;
  readonly text: string;
  readonly durationMs: number;
};

const authorization = async (
  credential: Credential,
  context: ActionContext,
): Promise<Readonly<Record<string, string>>> => {
  const { bearer_token_file: tokenFile, username, password_file: passwordFile } = credential;
  if (tokenFile !== undefined)
    return { Authorization: `Bearer ${headerSafe((await context.secret(tokenFile)).trim(), tokenFile)}` };
  if (username === undefined || passwordFile === undefined) return {};
  const password = (await context.secret(passwordFile)).replace(/\r?\n$/, '');
  return { Authorization: `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}` };
};

const headerSafe = (value: string, file: string): string => {
  if (/^[\x21-\x7e]{1,8192}$/.test(value)) return value;
  throw new ActionError('permanent', `the secret in ${file} is empty or holds what a header cannot carry`);
};

const parsed = (text: string): Json | undefined => {
  if (nestingDepth(Buffer.from(text), DEEPEST) > DEEPEST) return undefined;
  try {
    return JSON.parse(text) as Json;
  } catch {
    return undefined;
  }
};

/** The service's own words on what is wrong, from the members that APIs put them in. */
const said = (json: Json | undefined): string => {
  const found = isObject(json)
    ? [json['detail'], json['error'], json['message']].find((word) => typeof word === 'string')
    : json;
  return typeof found === 'string' && found !== '' ? `: ${found.slice(0, LONGEST_SAID)}` : '';
};

const kindOf = (status: number, repeatable: boolean): FailureKind => {
  if (status === 408 || status === 429 || status === 503) return 'retryable';
  if (status < 500) return 'permanent';
  return repeatable ? 'retryable' : 'indeterminate';
};

/** Where it went, without the query: that may hold what is nobody's business. */
const place = (url: string): string => url.split('?', 1)[0]?.slice(0, 300) ?? '';

const judge = (reply: HttpReply, call: Call, repeatable: boolean, json: Json | undefined): ActionError | null => {
  const { status } = reply;
  if (call.statuses === undefined ? status >= 200 && status < 300 : call.statuses.includes(status)) return null;
  const what = `${call.method} ${place(call.url)} was answered ${status}${said(json)}`;
  if (status >= 300 && status < 400)
    return new ActionError(
      'permanent',
      `${what}; redirects are not followed; mend: use the address it leads to (${(reply.headers['location'] ?? '').slice(0, 200)})`,
    );
  const mend = status === 401 || status === 403 ? '; mend: look at the credential in the file that the step names' : '';
  return new ActionError(kindOf(status, repeatable), `${what}${mend}`);
};

/** One call of a declared host. Throws ActionError; what it throws never holds the reply's body or a header. */
export const callService = async (call: Call, credential: Credential, context: ActionContext): Promise<Answer> => {
  const { clock, signal } = context;
  signal.throwIfAborted();
  const repeatable = call.repeatable ?? call.method === 'GET';
  const headers = {
    ...(call.json === undefined ? {} : { 'Content-Type': 'application/json' }),
    ...(call.form === undefined ? {} : { 'Content-Type': 'application/x-www-form-urlencoded' }),
    ...(await authorization(credential, context)),
    ...call.headers,
  };
  const limit = new AbortController();
  const timer =
    call.timeoutMs === undefined
      ? null
      : clock.after(call.timeoutMs, () =>
          limit.abort(new ActionError('retryable', `no answer within ${call.timeoutMs} ms`)),
        );
  try {
    const reply = await sendRequest(
      {
        method: call.method,
        url: call.url,
        headers: { Accept: 'application/json', ...headers },
        body: call.json === undefined ? (call.form?.toString() ?? null) : JSON.stringify(call.json),
        repeatable,
      },
      {
        allow: context.allow,
        signal: AbortSignal.any([signal, limit.signal]),
        traceparent: context.traceparent,
        monotonic: () => clock.monotonic(),
        began: () => (call.changes === true ? context.began() : undefined),
      },
    );
    const json = parsed(reply.text);
    const failed = judge(reply, call, repeatable, json);
    if (failed !== null) throw failed;
    return { status: reply.status, json, text: reply.text, durationMs: reply.durationMs };
  } finally {
    timer?.cancel();
  }
};

/** A look at what was just changed: if it fails, the change stands all the same, and nobody may say that nothing happened. */
export const afterChange = async <T>(changed: string, outputs: JsonObject, look: () => Promise<T>): Promise<T> => {
  try {
    return await look();
  } catch (error) {
    if (!(error instanceof ActionError)) throw error;
    const text = `${changed}, but what came of it could not be seen: ${error.message}`;
    throw new ActionError('indeterminate', text, { cause: error, outputs });
  }
};

/** The JSON of an answer that has to be an object. */
export const objectOf = (answer: Answer, url: string): JsonObject => {
  if (isObject(answer.json)) return answer.json;
  throw new ActionError('permanent', `${place(url)} did not answer with a JSON object; mend: is that its API?`);
};

/** RFC 6901, `/data/0/id`; an empty one is the whole. */
export const jsonPointer = z
  .string()
  .max(512)
  .regex(/^(?:\/(?:[^~/]|~[01])*)*$/, { message: 'not a JSON pointer: write /data/0/id' });

/** Undefined: there is nothing at that place. */
export const at = (json: Json | undefined, pointer: string): Json | undefined => {
  let found: Json | undefined = json;
  for (const part of pointer.split('/').slice(1)) {
    const key = part.replaceAll('~1', '/').replaceAll('~0', '~');
    if (Array.isArray(found)) found = /^(?:0|[1-9]\d{0,8})$/.test(key) ? (found[Number(key)] as Json) : undefined;
    else if (isObject(found) && Object.hasOwn(found, key)) found = found[key];
    else return undefined;
  }
  return found;
};
