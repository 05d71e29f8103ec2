// An episode's next look: when it comes, and how what was decided before is asked again.
import type { Alert } from '../alert/alert.ts';
import type { Reason } from '../run/reasons.ts';
import { WHEN_WOKEN } from '../run/writes.ts';
import type { EpisodeRow } from '../port/record.ts';
import type { Decided, DecisionRequest, Store } from '../port/store.ts';
import type { Letter } from './backlog.ts';
import { traced } from './evaluate.ts';
import type { Evaluated, Subject } from './evaluate.ts';

const FIRST_RETRY_MS = 30_000;
const LONGEST_RETRY_MS = 300_000;
/** Held for want of knowledge, not by a clock: asked again in 30s, doubling to 5m. */
const BACKING_OFF: ReadonlySet<Reason> = new Set<Reason>([
  'undecidable',
  'silenced',
  'unconfirmed',
  'unhealthy',
  'storm',
]);

/** Looks after which an alert that Alertmanager does not list counts as resolved: one of a pair may be a moment behind. */
const GONE_AFTER = 4;

/** Alertmanager was reached, again and again, and does not have it. */
export const isGone = ({ wishes }: DecisionRequest, reason: Reason, backoff: number): boolean =>
  backoff >= GONE_AFTER && reason === 'unconfirmed' && wishes.at(-1)?.present?.alert.state === 'absent';

/** Null: nobody's clock brings it back. */
export const retryOf = (
  decided: Extract<Decided, { type: 'decided' }>,
  backoff: number,
  now: number,
): { readonly at: number; readonly backoff: number } | null => {
  if (BACKING_OFF.has(decided.reason))
    return { at: now + Math.min(FIRST_RETRY_MS * 2 ** Math.min(backoff, 10), LONGEST_RETRY_MS), backoff: backoff + 1 };
  if (decided.retryAt === null && (decided.reason === 'halted' || decided.reason === 'disabled'))
    return { at: WHEN_WOKEN, backoff: 0 };
  return decided.retryAt === null ? null : { at: Math.max(decided.retryAt, now + 1), backoff: 0 };
};

const firing = (labels: Alert['labels'], annotations: Alert['annotations'], startsAt: number): Alert => ({
  status: 'firing',
  labels,
  annotations,
  startsAt,
  endsAt: null,
  generatorURL: '',
  flags: [],
  hashed: {},
});

export const subjectOf = (episode: EpisodeRow): Subject => ({
  alert: firing(episode.labels, episode.annotations, episode.startsAt),
  source: episode.source,
  groupSize: 1,
  truncated: 0,
  origin: 'retry',
  caller: null,
  alertId: null,
  deliveryId: null,
  episodeId: episode.id,
});

/** Looked again at by our own clock, it is still what its newest delivery told of. Only what may act costs the look. */
export const inItsTrace = async (store: Pick<Store, 'traceOf'>, one: Evaluated): Promise<Evaluated> => {
  const { episodeId, wishes } = one.request;
  return episodeId === null || wishes.length === 0 ? one : traced(one, await store.traceOf(episodeId));
};

/** The subject of a request, from its own record. */
export const subjectAgain = (request: DecisionRequest, kept: Letter | null): Subject | null => {
  const record = request.record as unknown as {
    labels?: Alert['labels'];
    annotations?: Alert['annotations'];
    starts_at?: number;
    source?: string;
    group_size?: number;
    traceparent?: string;
  };
  if (record.labels === undefined) return null;
  return {
    alert: firing(record.labels, record.annotations ?? {}, record.starts_at ?? request.at),
    source: record.source ?? kept?.source ?? '',
    groupSize: record.group_size ?? 1,
    truncated: kept?.truncated ?? 0,
    traceparent: record.traceparent ?? null,
    origin: request.origin,
    caller: request.caller,
    alertId: request.alertId,
    deliveryId: request.deliveryId,
    episodeId: request.episodeId,
  };
};
