// Tells the outside, every minute, where the audit's chain ends: a chain alone cannot show that its end was cut off. The
// log, the metric and every notification have it; a receiver that is named for it is told once a day.
import type { Clock } from '../base/clock.ts';
import type { Ids } from '../base/ids.ts';
import type { Log } from '../base/log.ts';
import type { Store } from '../port/store.ts';
import type { Loop } from './loop.ts';
import { createLoop } from './loop.ts';

const EVERY_MS = 60_000;
const DAY_MS = 86_400_000;
const TOPIC = 'audit_head';

type Head = { readonly seq: number; readonly hash: string };

export type AuditHeadTeller = Loop & {
  tick(): Promise<void>;
  /** `<row>:<hash>` as of the last look. */
  last(): string | null;
};

export const createAuditHead = (given: {
  readonly clock: Clock;
  readonly log: Log;
  readonly ids: Ids;
  readonly store: Pick<Store, 'list' | 'write'>;
  readonly head: () => Promise<Head>;
  /** To whoever scrapes. */
  readonly show: (head: Head) => void;
  /** Of the configuration, the receiver that is told once a day. */
  readonly receiver: () => string | null;
}): AuditHeadTeller => {
  const { clock, log, ids, store, head, show, receiver } = given;
  let seen: Head | null = null;
  let mailAt = 0;

  const tick = async (): Promise<void> => {
    const now = await head();
    show(now);
    // Of an audit without a row nothing can be cut off.
    if (now.seq === 0) return;
    if (now.seq !== seen?.seq) log.info({ head: spelled(now) }, 'audit head');
    seen = now;
    await mail(now);
  };

  /** The outbox remembers it over a restart. */
  const mail = async (now: Head): Promise<void> => {
    const name = receiver();
    if (name === null || clock.now() < mailAt) return;
    const filters = { topic: TOPIC };
    const { items } = await store.list('outbox', { limit: 1, cursor: null, filters, since: clock.now() - DAY_MS + 1 });
    const last = items[0]?.at;
    mailAt = (last ?? clock.now()) + DAY_MS;
    if (last !== undefined) return;
    const title = `The audit has ${now.seq} rows and ends with ${now.hash}`;
    const body = `Keep this. It shows later whether the end was cut off: amends audit verify --head=${spelled(now)}`;
    const about = { severity: null, component: null, target: null, runId: null };
    await store.write(
      [{ type: 'notify', id: ids.next(), topic: TOPIC, receiver: name, ...about, title, body }],
      clock.now(),
    );
  };

  const loop = createLoop({ name: 'audit-head', clock, everyMs: EVERY_MS, log, tick });
  return { ...loop, tick, last: () => (seen === null ? null : spelled(seen)) };
};

const spelled = ({ seq, hash }: Head): string => `${seq}:${hash}`;
