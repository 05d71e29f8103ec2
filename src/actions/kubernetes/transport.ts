// One request to an API server: the official client writes it, this sends it over the one way out by HTTP, and says what
// the answer means. The answer is handed on as it came: the client's own objects leave out members that are newer than it.
import type { HttpLibrary, RequestContext, ResponseContext } from '@kubernetes/client-node';
import { ActionError } from '../../base/failure.ts';
import type { FailureKind } from '../../base/failure.ts';
import type { Json } from '../../base/json.ts';
import { isObject, nestingDepth } from '../../base/json.ts';
import type { ActionContext } from '../../port/action.ts';
import type { HttpReply, Method } from '../http/client.ts';
import { sendRequest } from '../http/client.ts';
import type { Client } from './client.ts';
import type { Endpoint } from './connect.ts';
import { forbidden } from './permissions.ts';
import type { Need } from './permissions.ts';

/** Of one request, so that a server that hangs costs one look and not all of them. */
const REQUEST_MS = 10_000;
/** How often a request is sent again that the server was too busy to look at, and how long it is waited for at most. */
const BUSY_TRIES = 3;
const LONGEST_BUSY_MS = 10_000;
const DEEPEST = 64;
const LONGEST_SAID = 300;

export type Call = {
  /** For messages: `looking at the deployment shop`. */
  readonly what: string;
  readonly need: Need;
  /** It changes something: once it has left, nobody may claim that nothing happened. */
  readonly changes: boolean;
  /** Statuses beside 2xx that the caller judges: 404, 409. */
  readonly taken?: readonly number[];
  /** Sent in place of what the client made of it. */
  readonly body?: Json;
};
export type Answer = { readonly status: number; readonly json: Json };

/** The reason and message of a Status object, as every refusal of an API server carries it. */
const said = (json: Json | undefined): string => {
  const message = isObject(json) ? json['message'] : undefined;
  return typeof message === 'string' && message !== '' ? `: ${message.slice(0, LONGEST_SAID)}` : '';
};

const parsed = (text: string): Json | undefined => {
  if (nestingDepth(Buffer.from(text), DEEPEST) > DEEPEST) return undefined;
  try {
    return JSON.parse(text) as Json;
  } catch {
    return undefined;
  }
};

const MENDS: Readonly<Record<number, string>> = {
  401: '; mend: its token is refused or has run out: put a new one into the file that connect names',
  410: '; it has forgotten where the list went on',
};

const kindOf = (status: number, changes: boolean): FailureKind => {
  // Too busy (429) and not there (503) mean that it was not looked at; a list that has gone stale (410) begins anew.
  if (status === 429 || status === 503 || status === 410 || status === 409) return 'retryable';
  if (status < 500) return 'permanent';
  return changes ? 'indeterminate' : 'retryable';
};

const judge = (reply: HttpReply, json: Json | undefined, call: Call): ActionError | null => {
  const { status } = reply;
  const good = status >= 200 && status < 300;
  if (good && json === undefined)
    return new ActionError(
      call.changes ? 'indeterminate' : 'permanent',
      `${call.what} was not answered in JSON; mend: is that the address of an API server?`,
    );
  if (good || call.taken?.includes(status) === true) return null;
  const text = `${call.what} was answered ${status}${said(json)}`;
  if (status >= 300 && status < 400)
    return new ActionError('permanent', `${text}; redirects are not followed; mend: use the API server's own address`);
  if (status === 403) return new ActionError('permanent', `${text}; ${forbidden([call.need])}`);
  return new ActionError(kindOf(status, call.changes), `${text}${MENDS[status] ?? ''}`);
};

/** Whole seconds, as API servers say it. */
const busyMs = (reply: HttpReply): number => {
  const seconds = Number(reply.headers['retry-after'] ?? '1');
  return Math.min(LONGEST_BUSY_MS, Math.max(0, (Number.isFinite(seconds) ? seconds : 1) * 1_000));
};

export type Transport = {
  /** Makes a request by `invoke` and gives what was answered, unchanged. Throws ActionError. */
  ask(call: Call, invoke: (httpApi: HttpLibrary) => Promise<unknown>): Promise<Answer>;
};

export const createTransport = (client: Client, endpoint: Endpoint, context: ActionContext): Transport => {
  const { clock, signal } = context;
  const sendOnce = async (request: RequestContext, call: Call): Promise<HttpReply> => {
    const body = call.body === undefined ? request.getBody() : JSON.stringify(call.body);
    const limit = new AbortController();
    const timer = clock.after(REQUEST_MS, () =>
      limit.abort(new ActionError('retryable', `no answer within ${REQUEST_MS} ms`)),
    );
    try {
      return await sendRequest(
        {
          method: request.getHttpMethod() as string as Method,
          url: request.getUrl(),
          headers: {
            ...request.getHeaders(),
            Accept: 'application/json',
            ...(endpoint.token === null ? {} : { Authorization: `Bearer ${endpoint.token}` }),
          },
          body: typeof body === 'string' ? body : null,
          repeatable: !call.changes,
          tls: endpoint.tls,
        },
        {
          allow: context.allow,
          signal: AbortSignal.any([signal, limit.signal]),
          traceparent: context.traceparent,
          monotonic: () => clock.monotonic(),
          began: () => (call.changes ? context.began() : undefined),
        },
      );
    } finally {
      timer.cancel();
    }
  };
  const send = async (request: RequestContext, call: Call): Promise<HttpReply> => {
    for (let busy = 1; ; busy += 1) {
      signal.throwIfAborted();
      const reply = await sendOnce(request, call);
      const ms = busyMs(reply);
      if (reply.status !== 429 || busy >= BUSY_TRIES || clock.monotonic() + ms >= context.deadline) return reply;
      await clock.sleep(ms, signal);
    }
  };
  return {
    async ask(call, invoke) {
      let answer: Answer | undefined;
      const httpApi = client.wrapHttpLibrary({
        async send(request): Promise<ResponseContext> {
          const reply = await send(request, call);
          const json = parsed(reply.text);
          const failed = judge(reply, json, call);
          if (failed !== null) throw failed;
          answer = { status: reply.status, json: json ?? null };
          // The client would throw at a status that is taken here, and its objects are not used.
          return new client.ResponseContext(
            200,
            { 'content-type': 'application/json' },
            { text: async () => 'null', binary: async () => Buffer.from('null') },
          );
        },
      });
      await invoke(httpApi);
      if (answer === undefined) throw new Error(`${call.what}: the client sent nothing`);
      return answer;
    },
  };
};
