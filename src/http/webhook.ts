// The webhook, on plain node:http: express costs a small post more than all of the rest together (149 µs of processor
// against 63). Nothing of a body is kept before its sender is known, and nothing is evaluated here.
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Clock } from '../base/clock.ts';
import type { Log } from '../base/log.ts';
import { readTraceparent } from '../base/trace.ts';
import type { Submission } from '../engine/intake.ts';
import { StoreUnavailable } from '../port/store.ts';
import type { Telemetry } from '../port/telemetry.ts';
import { isCrossSite, isLocalHost } from './auth.ts';
import type { Authenticate } from './auth.ts';
import { SAFE_HEADERS, UNAUTHORIZED, document, sendProblem } from './problem.ts';
import type { Refusal } from './problem.ts';

export const WEBHOOK_PATH = '/webhook/alertmanager';

export type WebhookOptions = {
  readonly authenticate: Authenticate;
  readonly intake: { submit(source: string, body: Buffer, traceparent: string | null): Promise<Submission> };
  readonly telemetry: Pick<Telemetry, 'delivery' | 'acknowledged'>;
  readonly clock: Pick<Clock, 'now' | 'after' | 'monotonic'>;
  readonly log: Log;
  readonly limits?: { readonly body?: number; readonly waiting?: number };
};

const MIB = 1_024 * 1_024;
const LARGEST_BODY = 32 * MIB;
/** Received and not yet answered, of all senders: 10,000 alerts are 6 MiB. */
const MOST_WAITING = 64 * MIB;
/** How long a sender of too much is listened to, so that it gets to read why. */
const LINGER_MS = 2_000;
const JSON_TYPE = /^application\/json\s*(?:;|$)/i;

export type WebhookHandler = (request: IncomingMessage, response: ServerResponse) => void;

export const createWebhookHandler = (options: WebhookOptions): WebhookHandler => {
  const { authenticate, intake, telemetry, clock, log } = options;
  const largest = options.limits?.body ?? LARGEST_BODY;
  const mostWaiting = options.limits?.waiting ?? MOST_WAITING;
  let waiting = 0;

  const refuse = (request: IncomingMessage, response: ServerResponse, refusal: Refusal): void => {
    telemetry.delivery(
      refusal.status === 401 ? 'unauthorized' : refusal.status === 503 ? 'overloaded' : 'refused',
      clock.now(),
    );
    if (request.complete || hasNoBody(request)) sendProblem(response, refusal);
    else sayAndLinger(request, response, refusal, clock);
  };

  const receive = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const arrived = clock.monotonic();
    const known = await authenticate(request);
    if (!known.ok) {
      refuse(request, response, known.status === 401 ? UNAUTHORIZED : BUSY);
      return;
    }
    const { principal } = known;
    const refusal = refusalOf(request, principal, largest);
    if (refusal !== null) {
      refuse(request, response, refusal);
      return;
    }
    let held = 0;
    try {
      const body = await readBody(request, largest, (bytes) => {
        held += bytes;
        waiting += bytes;
        return waiting <= mostWaiting;
      });
      if (body === 'gone') return;
      if (!Buffer.isBuffer(body)) {
        refuse(request, response, body);
        return;
      }
      const submission = await intake.submit(principal.source, body, readTraceparent(request.headers['traceparent']));
      answer(response, submission);
      if (submission.status === 'accepted') telemetry.acknowledged(clock.monotonic() - arrived);
    } catch (error) {
      if (!(error instanceof StoreUnavailable)) log.error({ error }, 'a delivery could not be taken in');
      // Alertmanager comes again after a 5xx and after nothing else.
      sendProblem(response, { ...BUSY, detail: 'The delivery was not stored; send it again.' });
    } finally {
      waiting -= held;
    }
  };
  return (request, response) => {
    receive(request, response).catch((error: unknown) => {
      log.error({ error }, 'a webhook request could not be answered');
      response.destroy();
    });
  };
};

const BUSY: Refusal = {
  status: 503,
  title: 'Not available',
  detail: 'Too much is under way; send it again.',
  headers: { 'Retry-After': '5' },
};

const hasNoBody = (request: IncomingMessage): boolean =>
  request.headers['transfer-encoding'] === undefined && Number(request.headers['content-length'] ?? 0) === 0;

const refusalOf = (
  request: IncomingMessage,
  principal: { readonly webhook: boolean; readonly local: boolean },
  largest: number,
): Refusal | null => {
  if (request.method !== 'POST') return { status: 405, title: 'Method not allowed', headers: { Allow: 'POST' } };
  if (!principal.webhook || isCrossSite(request) || (principal.local && !isLocalHost(request))) {
    return { status: 403, title: 'Forbidden', detail: 'This credential or page may not post alerts.' };
  }
  if (!JSON_TYPE.test(request.headers['content-type'] ?? '')) {
    return { status: 415, title: 'Unsupported media type', detail: 'Only application/json is read.' };
  }
  const encoding = request.headers['content-encoding'];
  if (encoding !== undefined && encoding !== 'identity') {
    return { status: 415, title: 'Unsupported media type', detail: 'Compressed bodies are not read.' };
  }
  return Number(request.headers['content-length'] ?? 0) > largest ? tooLarge(largest) : null;
};

const tooLarge = (largest: number): Refusal => ({
  status: 413,
  title: 'Too large',
  detail: `At most ${largest} bytes are read.`,
  mend: "set max_alerts on Alertmanager's webhook receiver",
});

/** The whole body, why not, or `gone` when its sender is. */
const readBody = (
  request: IncomingMessage,
  largest: number,
  take: (bytes: number) => boolean,
): Promise<Buffer | Refusal | 'gone'> =>
  new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let size = 0;
    const finish = (result: Buffer | Refusal | 'gone'): void => {
      request.off('data', onData).off('end', onEnd).off('close', onClose).off('error', onClose);
      request.on('error', ignore);
      resolve(result);
    };
    const onData = (chunk: Buffer): void => {
      size += chunk.length;
      const room = take(chunk.length);
      if (size > largest) finish(tooLarge(largest));
      else if (!room) finish(BUSY);
      else chunks.push(chunk);
    };
    const onEnd = (): void =>
      finish(chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks, size));
    const onClose = (): void => finish('gone');
    request.on('data', onData).on('end', onEnd).on('close', onClose).on('error', onClose);
  });

const ignore = (): void => {};

const answer = (response: ServerResponse, submission: Submission): void => {
  if (submission.status === 'accepted') {
    const body = JSON.stringify({ delivery: submission.deliveryId, alerts: submission.alerts });
    response.writeHead(202, {
      ...SAFE_HEADERS,
      'Content-Type': 'application/json',
      'Content-Length': Buffer.byteLength(body),
    });
    response.end(body);
  } else if (submission.status === 'overloaded') {
    sendProblem(response, { ...BUSY, headers: { 'Retry-After': String(submission.retryAfterSeconds) } });
  } else {
    const [first] = submission.problems;
    sendProblem(response, {
      status: 400,
      title: 'Bad request',
      detail: first?.message ?? 'The body cannot be read.',
      problems: submission.problems,
      ...(first?.mend === undefined ? {} : { mend: first.mend }),
    });
  }
};

/**
 * Says no while the sender still talks. Closing at once would reset the connection before the answer is read, so what
 * comes is thrown away for a moment; then the connection ends whether it is done or not.
 */
const sayAndLinger = (
  request: IncomingMessage,
  response: ServerResponse,
  refusal: Refusal,
  clock: Pick<Clock, 'after'>,
): void => {
  const body = document(refusal);
  response.writeHead(refusal.status, {
    ...SAFE_HEADERS,
    'Content-Type': 'application/problem+json',
    'Content-Length': Buffer.byteLength(body),
    ...refusal.headers,
    Connection: 'close',
  });
  response.write(body);
  const end = (): void => {
    timer.cancel();
    response.end();
  };
  const timer = clock.after(LINGER_MS, end);
  request.on('end', end).on('close', end).on('error', end);
  request.resume();
};
