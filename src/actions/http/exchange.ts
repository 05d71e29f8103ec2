// What http.get and http.request share: headers with secrets from files, the judgement of a reply, and its outputs.
import { z } from 'zod';
import { ActionError } from '../../base/failure.ts';
import type { Json, JsonObject } from '../../base/json.ts';
import { nestingDepth } from '../../base/json.ts';
import type { ActionContext } from '../../port/action.ts';
import { absolutePath } from '../inputs.ts';
import type { HttpReply, HttpRequest } from './client.ts';
import { sendRequest } from './client.ts';

const LONGEST_TEXT = 16 * 1024;
const DEEPEST = 20;
/** The connection's own business. */
const RESERVED = new Set([
  'host',
  'connection',
  'content-length',
  'transfer-encoding',
  'upgrade',
  'te',
  'trailer',
  'expect',
  'proxy-authorization',
]);

const headerName = z
  .string()
  .regex(/^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}$/, { message: 'not the name of a header' })
  .refine((name) => !RESERVED.has(name.toLowerCase()), { message: 'this header is set by the connection itself' });
// oxlint-disable-next-line no-control-regex
const HEADER_VALUE = /^[^\u0000-\u0008\u000a-\u001f\u007f-\uffff]*$/;
const headerValue = z
  .string()
  .max(8_192)
  .regex(HEADER_VALUE, { message: 'holds characters that a header cannot carry' });

export const exchangeInput = {
  url: z.string().min(1).max(4_096),
  headers: z.record(headerName, headerValue).default({}),
  /** Header name to the file that holds its value. */
  header_files: z.record(headerName, absolutePath).default({}),
  bearer_token_file: absolutePath.optional(),
  expect_status: z.array(z.int().min(200).max(599)).min(1).max(20).optional(),
};

type Exchange = {
  readonly headers: Readonly<Record<string, string>>;
  readonly header_files: Readonly<Record<string, string>>;
  readonly bearer_token_file?: string | undefined;
  readonly expect_status?: readonly number[] | undefined;
};

export const exchangeOutputs = {
  status: 'the HTTP status',
  body: 'the first 16 KiB of the reply as text',
  json: 'the reply when it is JSON of at most 16 KiB, else null',
  duration_ms: 'from the request to the end of the reply, in milliseconds',
  retry_after: 'the header Retry-After, or empty',
};

const parsed = (text: string): Json => {
  if (text.length > LONGEST_TEXT || nestingDepth(Buffer.from(text), DEEPEST) > DEEPEST) return null;
  try {
    return JSON.parse(text) as Json;
  } catch {
    return null;
  }
};

const outputsOf = (reply: HttpReply): JsonObject => {
  const isJson = (reply.headers['content-type'] ?? '').includes('json');
  return {
    status: reply.status,
    body: reply.text.slice(0, LONGEST_TEXT),
    json: isJson ? parsed(reply.text) : null,
    duration_ms: reply.durationMs,
    retry_after: reply.headers['retry-after'] ?? '',
  };
};

const judge = (reply: HttpReply, request: HttpRequest, expected: readonly number[] | undefined): ActionError | null => {
  const { status } = reply;
  const what = `${request.method} ${request.url.split('?', 1)[0]?.slice(0, 300) ?? ''} was answered ${status}`;
  const outputs = outputsOf(reply);
  // Even when it is expected: a runbook must not come to depend on where a redirect leads.
  if (status >= 300 && status < 400)
    return new ActionError(
      'permanent',
      `${what}: redirects are not followed; mend: use the address it leads to (${(reply.headers['location'] ?? '').slice(0, 200)})`,
      { outputs },
    );
  if (expected === undefined ? status >= 200 && status < 300 : expected.includes(status)) return null;
  if (status === 429 || status === 503 || status === 408) return new ActionError('retryable', what, { outputs });
  if (status < 500) return new ActionError('permanent', what, { outputs });
  return new ActionError(request.repeatable ? 'retryable' : 'indeterminate', what, { outputs });
};

/** Throws ActionError, with the reply in its outputs if there was one. */
export const exchange = async (request: HttpRequest, input: Exchange, context: ActionContext): Promise<JsonObject> => {
  const { signal } = context;
  signal.throwIfAborted();
  const headers: Record<string, string> = { ...request.headers, ...input.headers };
  const fromFile = async (name: string, file: string, prefix: string): Promise<void> => {
    const value = (await context.secret(file)).trim();
    if (!headerValue.safeParse(value).success)
      throw new ActionError('permanent', `the secret in ${file} holds characters that the header ${name} cannot carry`);
    headers[name] = `${prefix}${value}`;
  };
  for (const [name, file] of Object.entries(input.header_files)) await fromFile(name, file, '');
  if (input.bearer_token_file !== undefined) await fromFile('Authorization', input.bearer_token_file, 'Bearer ');
  const sent = { ...request, headers };
  const reply = await sendRequest(sent, {
    allow: context.allow,
    signal,
    traceparent: context.traceparent,
    monotonic: () => context.clock.monotonic(),
    began: () => context.began(),
  });
  const failed = judge(reply, sent, input.expect_status);
  if (failed !== null) throw failed;
  return outputsOf(reply);
};
