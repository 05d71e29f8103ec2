// The one port: the webhook on plain node:http, everything else by express behind one table of routes and roles.
import { readFileSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import type { IncomingMessage, RequestListener, Server, ServerResponse } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { Server as HttpsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import express from 'express';
import type { Express, NextFunction, Request, Response } from 'express';
import { rateLimit } from 'express-rate-limit';
import helmet from 'helmet';
import type { z } from 'zod';
import { readTraceparent } from '../base/trace.ts';
import type { Clock } from '../base/clock.ts';
import { didYouMean } from '../base/failure.ts';
import type { Problem } from '../base/failure.ts';
import { pointer } from '../base/json.ts';
import type { Log } from '../base/log.ts';
import type { Settings, WebConfig } from '../config.ts';
import type { Metrics } from '../metrics.ts';
import { StoreUnavailable } from '../port/store.ts';
import { createHandlers } from './api.ts';
import type { Changes } from './changes.ts';
import { readDegradedModes } from './degraded.ts';
import type { ApiContext, Call, Handlers } from './call.ts';
import { createAuthenticator, hasCredentials, isCrossSite, isLocalHost, mayAct } from './auth.ts';
import type { Authenticate, Principal } from './auth.ts';
import { alive, readiness } from './health.ts';
import type { HealthContext } from './health.ts';
import { outside } from './outside.ts';
import { Refused, SAFE_HEADERS, TITLES, UNAUTHORIZED, sendProblem } from './problem.ts';
import type { Refusal } from './problem.ts';
import { ROUTES, streamQuery } from './routes.ts';
import type { Route } from './routes.ts';
import { createStreams } from './stream.ts';
import type { Streams } from './stream.ts';
import { WEBHOOK_PATH, createWebhookHandler } from './webhook.ts';
import type { WebhookOptions } from './webhook.ts';

export type HttpOptions = ApiContext &
  HealthContext & {
    readonly listen: Settings['listen'];
    /** Read at every request, so that a reload can bring tokens in and take them away. */
    readonly web: () => WebConfig | null;
    /** Hears each password that was right. */
    readonly known?: (secret: string) => void;
    readonly intake: WebhookOptions['intake'];
    readonly metrics: Metrics;
    readonly log: Log;
    readonly clock: Clock;
    readonly limits?: WebhookOptions['limits'];
    readonly changes: Changes;
    readonly heartbeatMs?: number;
    /** API requests a minute and credential. */
    readonly requestsPerMinute?: number;
  };

export type HttpServer = {
  /** Resolves once it listens, with where. */
  start(): Promise<{ readonly url: string; readonly port: number }>;
  /** Takes no more, lets what is under way end, at most for `graceMs`. */
  stop(graceMs?: number): Promise<void>;
  /** Reads the certificate again. */
  reloadTls(): void;
};

const HEADERS_TIMEOUT_MS = 10_000;
const REQUEST_TIMEOUT_MS = 15_000;
/** How often the two are looked after; Node's own 30 s would let a slow sender stay four times as long. */
const CHECK_MS = 2_000;
/** Longer than the 90 s for which Go's client keeps a connection it may use again, so that it is never closed under a post. */
const KEEP_ALIVE_MS = 120_000;
const LARGEST_HEADER = 16 * 1_024;
const LARGEST_API_BODY = 64 * 1_024;
const GRACE_MS = 5_000;

export const createServer = (options: HttpOptions): HttpServer => {
  const authenticate = createAuthenticator(options.web, options.clock, options.known);
  const webhook = createWebhookHandler({
    authenticate,
    intake: options.intake,
    telemetry: options.metrics.telemetry,
    clock: options.clock,
    log: options.log,
    ...(options.limits === undefined ? {} : { limits: options.limits }),
  });
  const streams = createStreams({ ...options, degradedModes: () => readDegradedModes(options) });
  const app = createApp(options, authenticate, streams);
  const listener: RequestListener = (request, response) => {
    if (pathOf(request) === WEBHOOK_PATH) webhook(request, response);
    else app(request, response);
  };
  const server = createListener(options, listener);
  return {
    start: () =>
      new Promise((resolve, reject) => {
        const { host, port } = options.listen;
        server.once('error', reject);
        server.listen({ host, port, backlog: 1_024 }, () => {
          server.off('error', reject);
          server.on('error', (error) => options.log.error({ error }, 'the port failed'));
          const bound = (server.address() as AddressInfo).port;
          const shown = host === '::' || host === '0.0.0.0' ? 'localhost' : host.includes(':') ? `[${host}]` : host;
          resolve({ url: `${tlsOf(options) === null ? 'http' : 'https'}://${shown}:${bound}`, port: bound });
        });
      }),
    stop: (graceMs = GRACE_MS) =>
      new Promise((resolve) => {
        const timer = options.clock.after(graceMs, () => server.closeAllConnections());
        streams.close();
        server.close(() => {
          timer.cancel();
          resolve();
        });
        server.closeIdleConnections();
      }),
    reloadTls() {
      const tls = tlsOf(options);
      if (tls !== null && 'setSecureContext' in server) server.setSecureContext(secureContext(tls));
    },
  };
};

const pathOf = ({ url = '' }: IncomingMessage): string => {
  const query = url.indexOf('?');
  return query === -1 ? url : url.slice(0, query);
};

const tlsOf = ({ web }: HttpOptions): WebConfig['tls'] => web()?.tls ?? null;

const createListener = (options: HttpOptions, listener: RequestListener): Server | HttpsServer => {
  const limits = {
    headersTimeout: HEADERS_TIMEOUT_MS,
    requestTimeout: REQUEST_TIMEOUT_MS,
    connectionsCheckingInterval: CHECK_MS,
    maxHeaderSize: LARGEST_HEADER,
    keepAlive: true,
    keepAliveTimeout: KEEP_ALIVE_MS,
  };
  const tls = tlsOf(options);
  return tls === null
    ? createHttpServer(limits, listener)
    : createHttpsServer({ ...limits, ...secureContext(tls) }, listener);
};

const secureContext = ({ certFile, keyFile, clientCaFile }: NonNullable<WebConfig['tls']>) => ({
  cert: readFileSync(certFile),
  key: readFileSync(keyFile),
  minVersion: 'TLSv1.2' as const,
  ...(clientCaFile === null ? {} : { ca: readFileSync(clientCaFile), requestCert: true, rejectUnauthorized: true }),
});

type Answering = Response<unknown, { principal?: Principal }>;

const createApp = (options: HttpOptions, authenticate: Authenticate, streams: Streams): Express => {
  const app = express();
  app.disable('x-powered-by').disable('etag').enable('case sensitive routing').enable('strict routing');
  app.set('query parser', 'simple');
  app.use(
    helmet({
      contentSecurityPolicy: { useDefaults: false, directives: { defaultSrc: ["'none'"], frameAncestors: ["'none'"] } },
      strictTransportSecurity: tlsOf(options) !== null,
    }),
  );
  app.use((_request, response, next) => {
    for (const [name, value] of Object.entries(SAFE_HEADERS)) response.setHeader(name, value);
    next();
  });
  for (const route of ROUTES.filter(({ role }) => role === 'anyone'))
    app.all(route.path, healthHandler(options, authenticate, route));
  app.use(createGate(options, authenticate));
  app.use(
    '/api/',
    rateLimit({
      windowMs: 60_000,
      limit: options.requestsPerMinute ?? 1_200,
      legacyHeaders: false,
      keyGenerator: (_request, response) => (response as Answering).locals.principal?.name ?? '',
      handler: (_request, response) =>
        sendProblem(response, {
          status: 429,
          title: 'Too many requests',
          detail: 'Come again in a minute.',
          headers: { 'Retry-After': '60' },
        }),
    }),
  );
  const handlers: Handlers = { ...createHandlers(options) };
  const body = express.json({ limit: LARGEST_API_BODY, inflate: false, strict: true, type: 'application/json' });
  const listed = ROUTES.filter(({ role }) => role !== 'anyone' && role !== 'sender');
  for (const path of new Set(listed.map((route) => route.path))) {
    const routes = listed.filter((route) => route.path === path);
    app.all(path, (request: Request, response: Answering, next) =>
      dispatch({ routes, handlers, options, body, authenticate, streams }, request, response, next),
    );
  }
  app.use((_request, response) =>
    sendProblem(response, { status: 404, title: 'Not found', mend: 'GET /api/v1/openapi.json lists what there is' }),
  );
  app.use((error: unknown, _request: Request, response: Response, _next: NextFunction) =>
    answerError(options.log, error, response),
  );
  return app;
};

/** Whoever is not known learns nothing, not even which paths there are. */
const createGate =
  (options: HttpOptions, authenticate: Authenticate) =>
  async (request: Request, response: Answering, next: NextFunction): Promise<void> => {
    const known = await authenticate(request);
    if (!known.ok) {
      options.metrics.request('other', known.status);
      sendProblem(
        response,
        known.status === 401 ? UNAUTHORIZED : { status: 503, title: 'Not available', headers: { 'Retry-After': '1' } },
      );
      return;
    }
    const forged = known.principal.local && !isLocalHost(request);
    if (forged || (!['GET', 'HEAD'].includes(request.method) && isCrossSite(request))) {
      options.metrics.request('other', 403);
      sendProblem(response, { status: 403, title: 'Forbidden', detail: 'A page of another origin may not do this.' });
      return;
    }
    response.locals.principal = known.principal;
    next();
  };

const healthHandler =
  (options: HttpOptions, authenticate: Authenticate, route: Route) =>
  async (request: Request, response: Response): Promise<void> => {
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      sendProblem(response, methodNotAllowed(['GET']));
      return;
    }
    if (route.path === '/-/healthy' || route.path === '/healthz') {
      sendJson(response, alive(options));
      return;
    }
    const known =
      hasCredentials(options.web()) && request.headers.authorization === undefined ? null : await authenticate(request);
    sendJson(
      response,
      await readiness(options, known?.ok === true && (!known.principal.local || isLocalHost(request))),
    );
  };

const methodNotAllowed = (methods: readonly string[]): Refusal => ({
  status: 405,
  title: 'Method not allowed',
  headers: { Allow: methods.join(', ') },
});

const sendJson = (
  response: ServerResponse,
  { status = 200, body }: { readonly status?: number; readonly body: unknown },
): void => {
  sendText(response, 'application/json', JSON.stringify(outside(body)), status);
};

const sendText = (response: ServerResponse, type: string, text: string, status = 200): void => {
  response.writeHead(status, { 'Content-Type': type, 'Content-Length': Buffer.byteLength(text) });
  response.end(text);
};

type Dispatch = {
  readonly routes: readonly Route[];
  readonly handlers: Handlers;
  readonly options: HttpOptions;
  readonly body: express.RequestHandler;
  readonly authenticate: Authenticate;
  readonly streams: Streams;
};

const dispatch = async (given: Dispatch, request: Request, response: Answering, next: NextFunction): Promise<void> => {
  const { routes, handlers, options, body } = given;
  const method = request.method === 'HEAD' ? 'GET' : request.method;
  const route = routes.find((candidate) => candidate.method === method);
  response.on('finish', () => options.metrics.request(routes[0]?.path ?? 'other', response.statusCode));
  try {
    if (route === undefined) throw new Refused(methodNotAllowed(routes.map((candidate) => candidate.method)));
    const { principal } = response.locals;
    if (
      principal === undefined ||
      route.role === 'anyone' ||
      route.role === 'sender' ||
      !mayAct(principal.role, route.role)
    ) {
      throw new Refused({ status: 403, title: 'Forbidden', detail: `This needs the role ${route.role}.` });
    }
    if (route.id === 'metrics') {
      sendText(response, options.metrics.contentType, await options.metrics.text());
      return;
    }
    if (route.id === 'events-stream') {
      await stream(given, route, request, response);
      return;
    }
    const handler = handlers[route.id];
    if (handler === undefined) throw new Error(`the route ${route.id} has no handler`);
    const call: Call = {
      params: request.params as Readonly<Record<string, string>>,
      query: checked(route.query, { ...request.query }, 'query'),
      body: route.body === undefined ? undefined : checked(route.body, await readJson(request, response, body), 'body'),
      principal,
      traceparent: readTraceparent(request.headers['traceparent']),
    };
    const reply = await handler(call);
    if ('page' in reply) sendText(response, 'text/html; charset=utf-8', reply.page);
    else sendJson(response, reply);
  } catch (error) {
    next(error);
  }
};

const stream = async (
  { streams, authenticate }: Dispatch,
  route: Route,
  request: Request,
  response: Answering,
): Promise<void> => {
  const query = checked(route.query, { ...request.query }, 'query') as z.output<typeof streamQuery>;
  const lastEventId = request.get('last-event-id') ?? query.last_event_id ?? null;
  await streams.open(response, {
    replayLast: query.replay_last,
    lastEventId,
    only: query.only ?? [],
    follow: query.follow && request.method !== 'HEAD',
    async stillMay() {
      const known = await authenticate(request);
      return known.ok && mayAct(known.principal.role, 'viewer');
    },
  });
};

/** An empty body is an empty object; anything but JSON is refused, which also keeps a page's forms out. */
const readJson = async (request: Request, response: Response, body: express.RequestHandler): Promise<unknown> => {
  const empty =
    request.headers['transfer-encoding'] === undefined && Number(request.headers['content-length'] ?? 0) === 0;
  if (empty) return {};
  if (request.is('application/json') === false)
    throw new Refused({ status: 415, title: 'Unsupported media type', detail: 'Only application/json is read.' });
  await new Promise<void>(
    (resolve, reject) =>
      void body(request, response, (error?: unknown) => (error === undefined ? resolve() : reject(error))),
  );
  return request.body as unknown;
};

const checked = (
  schema: z.ZodType | undefined,
  value: unknown,
  where: 'query' | 'body',
): Readonly<Record<string, unknown>> => {
  if (schema === undefined) return {};
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data as Readonly<Record<string, unknown>>;
  const known = 'shape' in schema ? Object.keys((schema as z.ZodObject).shape) : [];
  const problems = parsed.error.issues.flatMap((issue): readonly Problem[] => {
    if (issue.code !== 'unrecognized_keys')
      return [{ code: 'bad-value', message: issue.message, pointer: pointer(issue.path) }];
    return issue.keys.map((key) => {
      const near = didYouMean(key, known);
      return {
        code: 'unknown-field',
        message: `${key} is not known here`,
        pointer: pointer([...issue.path, key]),
        mend: near === undefined ? `known: ${known.join(', ')}` : `did you mean ${near}?`,
      };
    });
  });
  throw new Refused({
    status: 400,
    title: 'Bad request',
    detail: `The ${where} is refused: ${problems[0]?.message ?? ''}`,
    problems,
  });
};

const answerError = (log: Log, error: unknown, response: Response): void => {
  if (response.headersSent) {
    response.destroy();
    return;
  }
  if (error instanceof Refused) sendProblem(response, error.refusal);
  else if (error instanceof StoreUnavailable)
    sendProblem(response, {
      status: 503,
      title: 'Not available',
      detail: 'The store does not answer.',
      headers: { 'Retry-After': '5' },
    });
  else {
    // express and its body parser say what the sender did wrong; the rest is a bug of ours, whose text stays inside.
    const { status } = error as { status?: unknown };
    const known = typeof status === 'number' && status >= 400 && status < 500 ? status : 500;
    if (known === 500) log.error({ error }, 'a request failed');
    sendProblem(response, { status: known, title: TITLES[known] ?? 'Bad request' });
  }
};
