// `GET /api/v1/events/stream`: changes as server-sent events. Whoever reads too slowly is dropped and comes again with
// the id of the last event it saw; nothing here can hold up amends or grow without bound.
import type { ServerResponse } from 'node:http';
import type { Clock, Timer } from '../base/clock.ts';
import { rfc3339 } from '../base/clock.ts';
import type { Change, ChangeEvent } from './change.ts';
import type { Batch, Changes } from './changes.ts';
import { outside } from './outside.ts';
import { Refused, SAFE_HEADERS } from './problem.ts';

export type StreamOptions = {
  readonly changes: Changes;
  readonly clock: Clock;
  /** 15 s when left out. */
  readonly heartbeatMs?: number;
  /** Everything about degraded modes at this moment. */
  degradedModes(): Promise<unknown>;
};
export type StreamQuery = {
  readonly replayLast: number;
  readonly lastEventId: string | null;
  readonly only: readonly ChangeEvent[];
  /** False: what is on record, then the end. */
  readonly follow: boolean;
  /** Asked at every heartbeat: a credential that was taken away ends its streams. */
  stillMay(): Promise<boolean>;
};
export type Streams = {
  /** Resolves once everything on record is written; the response stays open. */
  open(response: ServerResponse, query: StreamQuery): Promise<void>;
  /** Ends all of them; none opens after it. */
  close(): void;
};

const MOST_CLIENTS = 64;
const HEARTBEAT_MS = 15_000;
/** How long a client waits before it comes again. */
const RETRY_MS = 2_000;
/** What may wait unread, in the process; the kernel keeps some more. */
const MOST_UNREAD_BYTES = 1_048_576;
/** Changes that come while the record is read. */
const MOST_WAITING = 5_000;

export const createStreams = (options: StreamOptions): Streams => {
  const open = new Set<() => void>();
  let closed = false;
  return {
    async open(response, query) {
      if (closed || open.size >= MOST_CLIENTS) {
        throw new Refused({
          status: 503,
          title: 'Not available',
          detail: closed ? 'amends is ending.' : `${MOST_CLIENTS} streams are open already.`,
          headers: { 'Retry-After': '5' },
        });
      }
      const end = (): void => void response.end();
      open.add(end);
      response.once('close', () => open.delete(end));
      await serve(options, response, query);
    },
    close() {
      closed = true;
      for (const end of open) end();
      open.clear();
    },
  };
};

const serve = async (options: StreamOptions, response: ServerResponse, query: StreamQuery): Promise<void> => {
  const wanted = (event: ChangeEvent): boolean => query.only.length === 0 || query.only.includes(event);
  const write = (text: string): void => {
    if (response.writableEnded || response.destroyed) return;
    response.write(text);
    if (response.writableLength > MOST_UNREAD_BYTES) response.destroy();
  };
  const modes = async (): Promise<void> => {
    if (wanted('degraded')) write(frame('degraded_modes', null, await options.degradedModes()));
  };
  const tell = async ({ changes, missed }: Batch, but?: ReadonlySet<string>): Promise<void> => {
    const fresh = changes.filter(({ id, event }) => wanted(event) && but?.has(id) !== true);
    for (const change of fresh) write(changeFrame(change));
    if (missed > 0) write(frame('missed', null, { count: missed }));
    if (fresh.some(({ event }) => event === 'degraded')) await modes();
  };

  // Heard from now on, so that nothing falls between the record and what follows it.
  const waiting: Batch[] = [];
  let live: ((batch: Batch) => void) | null = null;
  const stop = query.follow
    ? options.changes.listen((batch) => {
        if (live !== null) live(batch);
        else if (waiting.length < MOST_WAITING) waiting.push(batch);
        else response.destroy();
      })
    : () => undefined;
  response.once('close', stop);
  try {
    const { changes, cut } = await options.changes.replay({ most: query.replayLast, after: query.lastEventId });
    response.writeHead(200, { ...SAFE_HEADERS, 'Content-Type': 'text/event-stream', 'X-Accel-Buffering': 'no' });
    write(`retry: ${RETRY_MS}\n\n`);
    if (cut) write(frame('missed', null, {}));
    await tell({ changes, missed: 0 });
    await modes();
    if (!query.follow) {
      response.end();
      return;
    }
    const told = new Set(changes.map(({ id }) => id));
    for (const batch of waiting.splice(0)) await tell(batch, told);
    const sending = (batch: Batch): void => void tell(batch, told).catch(() => response.destroy());
    for (const batch of waiting.splice(0)) sending(batch);
    live = sending;
    beat(options, response, query, write);
  } catch (error) {
    stop();
    throw error;
  }
};

/** A comment now and then: proxies keep the connection, and a dead client is noticed. */
const beat = (
  { clock, heartbeatMs = HEARTBEAT_MS }: StreamOptions,
  response: ServerResponse,
  query: StreamQuery,
  write: (text: string) => void,
): void => {
  let timer: Timer;
  const next = (): void => {
    timer = clock.after(heartbeatMs, () => void heartbeat());
  };
  const heartbeat = async (): Promise<void> => {
    if (response.writableEnded || response.destroyed) return;
    if (!(await query.stillMay().catch(() => false))) {
      response.end();
      return;
    }
    write(`: ${rfc3339(clock.now())}\n\n`);
    next();
  };
  next();
  response.once('close', () => timer.cancel());
};

const changeFrame = ({ id, event, data }: Change): string => frame(event, id, data);

/** JSON has no line ends of its own, so one `data` line is enough. */
const frame = (event: string, id: string | null, data: unknown): string =>
  `event: ${event}\n${id === null ? '' : `id: ${id}\n`}data: ${JSON.stringify(outside(data))}\n\n`;
