// Errors as RFC 9457 problem documents, from the plain handler and from express alike.
import type { ServerResponse } from 'node:http';
import type { Problem } from '../base/failure.ts';

export type Refusal = {
  readonly status: number;
  readonly title: string;
  readonly detail?: string;
  readonly mend?: string;
  readonly problems?: readonly Problem[];
  /** More members of the document. */
  readonly more?: Readonly<Record<string, unknown>>;
  readonly headers?: Readonly<Record<string, string>>;
};

/** Thrown by a handler of the API; anything else that is thrown is a bug and answered 500. */
export class Refused extends Error {
  override readonly name = 'Refused';
  readonly refusal: Refusal;
  constructor(refusal: Refusal) {
    super(refusal.title);
    this.refusal = refusal;
  }
}

export const TITLES: Readonly<Record<number, string>> = {
  400: 'Bad request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not found',
  405: 'Method not allowed',
  409: 'Conflict',
  413: 'Too large',
  415: 'Unsupported media type',
  422: 'Cannot be done',
  429: 'Too many requests',
  500: 'Internal error',
  503: 'Not available',
};

export const document = ({ status, title, detail, mend, problems, more }: Refusal): string =>
  JSON.stringify({ type: 'about:blank', title, status, detail, mend, problems, ...more });

/** On every answer: nothing here is to be kept, guessed at or framed. */
export const SAFE_HEADERS: Readonly<Record<string, string>> = {
  'Cache-Control': 'no-store',
  'X-Content-Type-Options': 'nosniff',
};

export const sendProblem = (response: ServerResponse, refusal: Refusal): void => {
  const body = document(refusal);
  response.writeHead(refusal.status, {
    ...SAFE_HEADERS,
    'Content-Type': 'application/problem+json',
    'Content-Length': Buffer.byteLength(body),
    ...refusal.headers,
  });
  response.end(body);
};

/** The same for every missing, short, wrong or old credential, on whatever path: it tells nothing about either. */
export const UNAUTHORIZED: Refusal = {
  status: 401,
  title: 'Unauthorized',
  headers: { 'WWW-Authenticate': 'Bearer realm="amends", Basic realm="amends"' },
};
