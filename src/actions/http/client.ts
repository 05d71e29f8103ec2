// The one way out by HTTP: no redirects, a bounded reply, one deadline over all of it, and an honest word on whether a
// failed request may have had an effect.
import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import type { LookupFunction } from 'node:net';
import { ActionError } from '../../base/failure.ts';
import type { Allow } from '../../port/action.ts';
import { plainUrl, resolveAllowed } from './address.ts';
import type { Address } from './address.ts';

const LARGEST_REPLY = 1024 * 1024;

export type Method = 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
export type HttpRequest = {
  readonly method: Method;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | null;
  /** It may be sent twice without harm: by its method, or because of an idempotency key. */
  readonly repeatable: boolean;
  /** Bytes of the largest body, either way; 1 MiB without it. */
  readonly largest?: number;
  readonly tls?: Tls;
};
/** PEM texts: authorities in place of the system's, and what we show of ourselves. */
export type Tls = {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  /** The name in the server's certificate, where it is not the host's. */
  readonly servername?: string;
};
export type HttpReply = {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly text: string;
  readonly durationMs: number;
};
export type HttpContext = {
  readonly allow: Allow;
  readonly signal: AbortSignal;
  /** Sent as the header `traceparent`, unless the request has one of its own. */
  readonly traceparent?: string | undefined;
  monotonic(): number;
  began(): void;
};

const pinned =
  ({ address, family }: Address): LookupFunction =>
  (_host, options, callback) => {
    if (options.all === true) callback(null, [{ address, family }]);
    else callback(null, address, family);
  };

/** An agent for one request, which notes when there was a connection to send it over. */
const agentFor = (url: URL, address: Address, tls: Tls, onConnected: () => void): HttpAgent => {
  const options = { lookup: pinned(address), keepAlive: false, maxSockets: 1 };
  const agent =
    url.protocol === 'https:'
      ? new HttpsAgent({ ...options, ...tls, rejectUnauthorized: true })
      : new HttpAgent(options);
  const create = agent.createConnection.bind(agent) as (...args: unknown[]) => NodeJS.EventEmitter;
  (agent as unknown as { createConnection: typeof create }).createConnection = (...args) => {
    const socket = create(...args);
    socket.once(url.protocol === 'https:' ? 'secureConnect' : 'connect', onConnected);
    return socket;
  };
  return agent;
};

const TLS = /CERT|SSL|TLS|SELF_SIGNED|UNABLE_TO_/;

const failure = (error: unknown, request: HttpRequest, where: string, left: boolean): ActionError => {
  const code = (error as NodeJS.ErrnoException).code ?? 'unknown';
  const reason =
    code === 'ERR_CANCELED' ? 'no whole reply in time' : `${(error as Error).message.slice(0, 200)} (${code})`;
  const text = `${request.method} ${where} failed: ${reason}`;
  if (!left) return new ActionError(TLS.test(code) ? 'permanent' : 'retryable', text);
  if (!request.repeatable)
    return new ActionError('indeterminate', `${text}; the request had left, so it may have taken effect`);
  return new ActionError('retryable', text);
};

const traceHeader = ({ headers }: HttpRequest, traceparent: string | undefined): Readonly<Record<string, string>> =>
  traceparent === undefined || Object.keys(headers).some((name) => name.toLowerCase() === 'traceparent')
    ? {}
    : { traceparent };

export const sendRequest = async (request: HttpRequest, context: HttpContext): Promise<HttpReply> => {
  const { signal } = context;
  const url = plainUrl(request.url);
  const address = await resolveAllowed(url, context.allow);
  signal.throwIfAborted();
  let left = false;
  const agent = agentFor(url, address, request.tls ?? {}, () => (left = true));
  const start = context.monotonic();
  context.began();
  try {
    // Loaded with the first request: it weighs 23 MB, and many an amends never sends one.
    const { default: axios } = await import('axios');
    const reply = await axios.request<Buffer>({
      method: request.method,
      url: url.href,
      headers: {
        'User-Agent': 'amends',
        Accept: '*/*',
        ...traceHeader(request, context.traceparent),
        ...request.headers,
      },
      ...(request.body === null ? {} : { data: Buffer.from(request.body) }),
      httpAgent: agent,
      httpsAgent: agent,
      proxy: false,
      maxRedirects: 0,
      maxContentLength: request.largest ?? LARGEST_REPLY,
      maxBodyLength: request.largest ?? LARGEST_REPLY,
      responseType: 'arraybuffer',
      validateStatus: () => true,
      signal,
    });
    const headers = Object.fromEntries(
      Object.entries(reply.headers).map(([name, value]) => [name.toLowerCase(), String(value)]),
    );
    return {
      status: reply.status,
      headers,
      text: Buffer.from(reply.data).toString('utf8'),
      durationMs: Math.round(context.monotonic() - start),
    };
  } catch (error) {
    throw failure(error, request, `${url.origin}${url.pathname}`, left);
  } finally {
    agent.destroy();
  }
};
