// What a handler of the API is given and gives back.
import type { Clock } from '../base/clock.ts';
import type { Result } from '../base/failure.ts';
import type { Metrics } from '../metrics.ts';
import type { Desk } from '../port/desk.ts';
import type { Principal } from './auth.ts';
import type { FiguresContext } from './figures.ts';
import type { RunLog } from './run-log.ts';
import type { Session } from './sessions.ts';

/** `query` and `body` have passed the route's schemas. */
export type Call = {
  readonly params: Readonly<Record<string, string>>;
  readonly query: Readonly<Record<string, unknown>>;
  readonly body: unknown;
  readonly principal: Principal;
  /** Of a browser that is signed in. */
  readonly session?: Session | null;
  /** The trace that it came in (W3C). */
  readonly traceparent?: string | null;
};
export type Reply = { readonly status?: number; readonly body: unknown };
/** A whole HTML page, for a person. */
export type PageReply = { readonly page: string };
/** By the id of the route. */
export type Handlers = Readonly<Record<string, (call: Call) => Promise<Reply | PageReply> | Reply | PageReply>>;

export type ApiContext = FiguresContext & {
  readonly clock: Pick<Clock, 'now' | 'monotonic' | 'sleep'>;
  readonly metrics: Pick<Metrics, 'lastProbe'>;
  readonly desk: Desk;
  readonly version: string;
  readonly runLog: RunLog;
  /** Configuration, rules and runbooks anew; refused, the last good set stays. */
  readonly reload: () => Promise<Result<unknown>>;
};
