// Who may pass: by the credential of the request, or by the session of a browser, of which more is asked before it may change
// anything. Whoever is not known learns nothing, not even which paths there are.
import type { IncomingMessage } from 'node:http';
import type { NextFunction, Request, Response } from 'express';
import type { Metrics } from '../metrics.ts';
import { hasCredentials, isCrossSite, isLocalHost, isOwnPage } from './auth.ts';
import type { Authenticate, Authenticated, Principal } from './auth.ts';
import { UNAUTHORIZED, sendProblem } from './problem.ts';
import type { Refusal } from './problem.ts';
import type { Session, Sessions } from './sessions.ts';
import type { WebConfig } from '../config-web.ts';

/** `session` is null for whoever brought a credential, and where none is needed. */
export type Identified =
  | { readonly ok: true; readonly principal: Principal; readonly session: Session | null }
  | Extract<Authenticated, { readonly ok: false }>;
export type Identify = (request: IncomingMessage) => Promise<Identified>;
export type Answering = Response<unknown, { principal?: Principal; session?: Session | null }>;

/** Who it is. A credential that is brought counts, whatever the cookie says. */
export const createIdentify =
  (authenticate: Authenticate, sessions: Sessions, web: () => WebConfig | null): Identify =>
  async (request) => {
    const session = request.headers.authorization === undefined && hasCredentials(web()) ? sessions.of(request) : null;
    if (session !== null) return { ok: true, principal: session.principal, session };
    const known = await authenticate(request);
    return known.ok ? { ...known, session: null } : known;
  };

const CSRF_HEADER = 'x-amends-csrf';
const READING: ReadonlySet<string> = new Set(['GET', 'HEAD']);

type GateOptions = {
  readonly identify: Identify;
  readonly metrics: Pick<Metrics, 'request'>;
  /** The origin that people reach amends by, where a proxy stands before it. */
  readonly externalOrigin: string | null;
};

export const createGate =
  ({ identify, metrics, externalOrigin }: GateOptions) =>
  async (request: Request, response: Answering, next: NextFunction): Promise<void> => {
    const refuse = (refusal: Refusal): void => {
      metrics.request('other', refusal.status);
      sendProblem(response, refusal);
    };
    const known = await identify(request);
    if (!known.ok) {
      refuse(
        known.status === 401
          ? unauthorized(request)
          : { status: 503, title: 'Not available', headers: { 'Retry-After': '1' } },
      );
      return;
    }
    const changes = !READING.has(request.method);
    if (known.principal.local && !isLocalHost(request)) {
      refuse(NOT_LOCAL);
      return;
    }
    if (changes && isCrossSite(request, externalOrigin)) {
      refuse(FOREIGN);
      return;
    }
    if (changes && known.session !== null) {
      if (!isOwnPage(request, externalOrigin)) {
        refuse(FOREIGN);
        return;
      }
      if (request.headers[CSRF_HEADER] !== known.session.csrf) {
        refuse({ status: 403, title: 'Forbidden', detail: 'The page is of an older session.', mend: 'load it again' });
        return;
      }
    }
    response.locals.principal = known.principal;
    response.locals.session = known.session;
    next();
  };

const NOT_LOCAL: Refusal = {
  status: 403,
  title: 'Forbidden',
  detail: 'Without credentials amends answers to 127.0.0.1 and localhost alone, whoever asks.',
  mend: 'name a --web.config.file with bearer_tokens or basic_auth_users',
};

export const FOREIGN: Refusal = {
  status: 403,
  title: 'Forbidden',
  detail: 'A page of another origin may not do this.',
};

/** A script of a page asks for itself: the browser would put up a window of its own in between. */
const unauthorized = (request: IncomingMessage): Refusal =>
  request.headers['sec-fetch-dest'] === 'empty'
    ? { ...UNAUTHORIZED, headers: { 'WWW-Authenticate': 'Bearer realm="amends"' } }
    : UNAUTHORIZED;
