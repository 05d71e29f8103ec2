// How rows look outside: times as RFC 3339, everything else as it is stored.
import { rfc3339 } from '../base/clock.ts';
import { parseDuration } from '../base/duration.ts';

const TIMES: ReadonlySet<string> = new Set([
  'at',
  'alertStartedAt',
  'closedAt',
  'cooldownUntil',
  'createdAt',
  'deadline',
  'endedAt',
  'endsAt',
  'expiresAt',
  'expires_at',
  'firstStepAt',
  'lastFiringAt',
  'nextAt',
  'nextEvaluationAt',
  'notBefore',
  'now',
  'openedAt',
  'receivedAt',
  'resolvedAt',
  'retryAt',
  'settleUntil',
  'since',
  'startedAt',
  'starts_at',
  'startsAt',
  'trialAt',
  'until',
  'verifiedAt',
]);
/** Of what strangers and people wrote, a number under such a name is not a time of ours. */
const FREE: ReadonlySet<string> = new Set([
  'labels',
  'annotations',
  'inputs',
  'input',
  'outputs',
  'context',
  'connect',
  'facts',
  'with',
  'raw',
]);
/** A stored value is Json; the earliest time there can be is that of the first commit. */
const EARLIEST_MS = 1_000_000_000_000;

export const outside = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(outside);
  if (value instanceof Map) return outside(Object.fromEntries(value));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, member]: [string, unknown]) => {
      if (FREE.has(key)) return [key, member];
      const isTime = TIMES.has(key) && typeof member === 'number' && member >= EARLIEST_MS && member <= 8.64e15;
      return [key, isTime ? rfc3339(member) : outside(member)];
    }),
  );
};

/** Milliseconds UTC of an RFC 3339 time, or of a duration before `now`; undefined for anything else. */
export const readSince = (text: string, now: number): number | undefined => {
  const ago = parseDuration(text);
  if (ago !== undefined) return now - ago;
  const time = /^\d{4}-\d\d-\d\d(?:[Tt ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:[Zz]|[+-]\d\d:\d\d))?$/.test(text)
    ? Date.parse(text)
    : Number.NaN;
  return Number.isNaN(time) ? undefined : time;
};
