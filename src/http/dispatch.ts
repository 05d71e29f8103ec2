// From a request to its answer: the route by its method, the role, the query and body checked, the handler, and whatever went
// wrong as a problem document.
import type { ServerResponse } from 'node:http';
import type { NextFunction, Request, RequestHandler, Response } from 'express';
import type { z } from 'zod';
import { readTraceparent } from '../base/trace.ts';
import { didYouMean } from '../base/failure.ts';
import type { Problem } from '../base/failure.ts';
import { pointer } from '../base/json.ts';
import type { Log } from '../base/log.ts';
import type { WebConfig } from '../config-web.ts';
import type { Metrics } from '../metrics.ts';
import { StoreUnavailable } from '../port/store.ts';
import { hasCredentials, isLocalHost, mayAct } from './auth.ts';
import type { Authenticate } from './auth.ts';
import type { Call, Handlers } from './call.ts';
import { signIn } from './console.ts';
import type { ConsoleFiles } from './console.ts';
import { CONSOLE_ROUTES } from './console-routes.ts';
import type { loginBody } from './console-routes.ts';
import type { Answering, Identify } from './gate.ts';
import { alive, readiness } from './health.ts';
import type { HealthContext } from './health.ts';
import { outside } from './outside.ts';
import { Refused, TITLES, sendProblem } from './problem.ts';
import type { Refusal } from './problem.ts';
import type { streamQuery, Route } from './routes.ts';
import type { Sessions } from './sessions.ts';
import type { Streams } from './stream.ts';

/** What every answer is made with. */
export type Parts = {
  readonly options: HealthContext & {
    readonly metrics: Metrics;
    readonly log: Log;
    readonly web: () => WebConfig | null;
  };
  readonly authenticate: Authenticate;
  readonly sessions: Sessions;
  readonly streams: Streams;
  readonly identify: Identify;
  readonly externalOrigin: string | null;
  readonly console: ConsoleFiles;
  readonly body: RequestHandler;
};

type Dispatch = Parts & { readonly routes: readonly Route[]; readonly handlers: Handlers };

export const dispatch = async (
  given: Dispatch,
  request: Request,
  response: Answering,
  next: NextFunction,
): Promise<void> => {
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
    if (route.id === 'logout') response.setHeader('Set-Cookie', await given.sessions.end(request));
    const handler = handlers[route.id];
    if (handler === undefined) throw new Error(`the route ${route.id} has no handler`);
    const call: Call = {
      params: request.params as Readonly<Record<string, string>>,
      query: checked(route.query, { ...request.query }, 'query'),
      body: route.body === undefined ? undefined : checked(route.body, await readJson(request, response, body), 'body'),
      principal,
      session: response.locals.session ?? null,
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
  { streams, identify }: Dispatch,
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
      const known = await identify(request);
      return known.ok && mayAct(known.principal.role, 'viewer');
    },
  });
};

/** An empty body is an empty object; anything but JSON is refused, which also keeps a page's forms out. */
const readJson = async (request: Request, response: Response, body: RequestHandler): Promise<unknown> => {
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
    if (issue.code !== 'unrecognized_keys') {
      const name = issue.path.map(String).join('.');
      return [
        {
          code: 'bad-value',
          message: name === '' ? issue.message : `${name}: ${issue.message}`,
          pointer: pointer(issue.path),
        },
      ];
    }
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

export const answerError = (log: Log, error: unknown, response: Response): void => {
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

// ---- for anyone ----

export const OF_CONSOLE: ReadonlySet<string> = new Set(CONSOLE_ROUTES.map(({ id }) => id));
/** What of the console is for anyone: its files, which have nothing of ours in them, and the way in. */
export const OPEN = CONSOLE_ROUTES.filter(({ role }) => role === 'anyone');

export const openHandler = (parts: Parts, path: string) => {
  const routes = OPEN.filter((route) => route.path === path);
  return async (request: Request, response: Response, next: NextFunction): Promise<void> => {
    response.on('finish', () => parts.options.metrics.request(path, response.statusCode));
    try {
      const method = request.method === 'HEAD' ? 'GET' : request.method;
      const route = routes.find((candidate) => candidate.method === method);
      if (route === undefined) throw new Refused(methodNotAllowed(routes.map((candidate) => candidate.method)));
      if (route.id === 'login') {
        const given = checked(route.body, await readJson(request, response, parts.body), 'body') as z.output<
          typeof loginBody
        >;
        response.setHeader('Set-Cookie', await signIn({ ...parts, web: parts.options.web }, request, given));
        sendJson(response, { body: {} });
      } else if (route.id === 'root') {
        response.writeHead(303, { Location: '/console' });
        response.end();
      } else await parts.console.send(route.id, request, response);
    } catch (error) {
      next(error);
    }
  };
};

export const healthHandler =
  ({ options, authenticate }: Parts, route: Route) =>
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
