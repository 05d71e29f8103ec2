// The one port: the webhook on plain node:http, everything else by express behind one table of routes and roles.
import { readFileSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import type { IncomingMessage, RequestListener, Server } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { Server as HttpsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import express from 'express';
import type { Express, NextFunction, Request, Response } from 'express';
import { rateLimit } from 'express-rate-limit';
import helmet from 'helmet';
import type { Clock } from '../base/clock.ts';
import type { Log } from '../base/log.ts';
import type { Settings } from '../config.ts';
import type { WebConfig } from '../config-web.ts';
import type { Metrics } from '../metrics.ts';
import { createHandlers } from './api.ts';
import { createAuthenticator } from './auth.ts';
import type { ApiContext, Handlers } from './call.ts';
import type { Changes } from './changes.ts';
import { createConsoleFiles } from './console.ts';
import { readDegradedModes } from './degraded.ts';
import { OF_CONSOLE, OPEN, answerError, dispatch, healthHandler, openHandler } from './dispatch.ts';
import type { Parts } from './dispatch.ts';
import { createGate, createIdentify } from './gate.ts';
import type { Answering } from './gate.ts';
import type { HealthContext } from './health.ts';
import { SAFE_HEADERS, sendProblem } from './problem.ts';
import { ROUTES } from './routes.ts';
import { createSessions } from './sessions.ts';
import { createStreams } from './stream.ts';
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
    /** How people reach it, where that is not as it listens. */
    readonly externalUrl?: string | null;
    /** Where it is kept who is signed in to the console; null or left out: in memory alone. */
    readonly sessionFile?: string | null;
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
  const sessions = createSessions({ ...options, file: options.sessionFile ?? null });
  const app = createApp(options, {
    options,
    authenticate,
    sessions,
    streams,
    identify: createIdentify(authenticate, sessions, options.web),
    externalOrigin: typeof options.externalUrl === 'string' ? new URL(options.externalUrl).origin : null,
    console: createConsoleFiles(),
    body: express.json({ limit: LARGEST_API_BODY, inflate: false, strict: true, type: 'application/json' }),
  });
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

const createApp = (options: HttpOptions, parts: Parts): Express => {
  const { identify, externalOrigin } = parts;
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
  for (const route of ROUTES.filter(({ role, id }) => role === 'anyone' && !OF_CONSOLE.has(id)))
    app.all(route.path, healthHandler(parts, route));
  for (const path of new Set(OPEN.map((route) => route.path))) app.all(path, openHandler(parts, path));
  app.use(createGate({ identify, metrics: options.metrics, externalOrigin }));
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
  const listed = ROUTES.filter(({ role }) => role !== 'anyone' && role !== 'sender');
  for (const path of new Set(listed.map((route) => route.path))) {
    const routes = listed.filter((route) => route.path === path);
    app.all(path, (request: Request, response: Answering, next) =>
      dispatch({ ...parts, routes, handlers }, request, response, next),
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
