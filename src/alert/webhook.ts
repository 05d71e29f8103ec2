// Reads the body of an Alertmanager webhook. Written by hand because this is the hot path (zod needs 30 ms for 10,000
// alerts, these checks 1) and because whoever can set a label writes it: nothing here throws, merges or trusts a size.
import { isUtf8 } from 'node:buffer';
import { ok } from '../base/failure.ts';
import type { Result } from '../base/failure.ts';
import { isObject, sha256 } from '../base/json.ts';
import type { Json, JsonObject } from '../base/json.ts';
import type { Alert, AlertStatus, Delivery, Entry, Labels } from './alert.ts';

export const MOST_ALERTS = 50_000;
const DEEPEST = 8;
const MOST_LABELS = 64;
const LONGEST_NAME = 256;
const LONGEST_VALUE = 4_096;
const LONGEST_RAW = 4_096;
/** A real alert has about 20 members; 32 MiB of `{},{},...` would become 600 MB of objects before anything is counted. */
const MOST_MEMBERS = 1_500_000;
/** In one object: far beyond what an alert with too many labels has. */
const MOST_NAMES = 1_000;
const FUTURE_TOLERANCE_MS = 5 * 60_000;

/** "1" is Grafana, "3" an Alertmanager before 0.5, "4" every one since. */
const VERSIONS: ReadonlySet<string> = new Set(['1', '3', '4']);
const KNOWN_FIELDS: ReadonlySet<string> = new Set([
  'receiver',
  'status',
  'alerts',
  'groupLabels',
  'commonLabels',
  'commonAnnotations',
  'externalURL',
  'version',
  'groupKey',
  'truncatedAlerts',
]);
const KNOWN_ALERT_FIELDS: ReadonlySet<string> = new Set([
  'status',
  'labels',
  'annotations',
  'startsAt',
  'endsAt',
  'generatorURL',
  'fingerprint',
]);

const bad = (
  code: string,
  message: string,
  mend?: string,
): { ok: false; problems: readonly [{ code: string; message: string; mend?: string }] } => ({
  ok: false,
  problems: [mend === undefined ? { code, message } : { code, message, mend }],
});

/** `now` is milliseconds UTC, the time of receiving. Refused: what cannot be read at all; a bad entry is kept as such. */
export const parseDelivery = (body: Buffer, now: number): Result<Delivery> => {
  if (!isUtf8(body)) return bad('not-utf8', 'the body is not UTF-8');
  const bomb = findBomb(body);
  if (bomb !== null) return bad(bomb, BOMBS[bomb], bomb === 'too-many-alerts' ? FEWER : undefined);
  let parsed: unknown;
  try {
    parsed = JSON.parse(body.toString('utf8'));
  } catch (error) {
    return bad('not-json', `the body is not JSON: ${(error as Error).message.slice(0, 200)}`);
  }
  if (!isObject(parsed))
    return bad('not-a-delivery', 'the body is not a JSON object', "post Alertmanager's webhook format");
  const alerts = own(parsed, 'alerts');
  if (!Array.isArray(alerts))
    return bad('no-alerts', 'the body has no list `alerts`', "post Alertmanager's webhook format");
  if (alerts.length > MOST_ALERTS) return bad('too-many-alerts', BOMBS['too-many-alerts'], FEWER);
  const version = asText(own(parsed, 'version'));
  const versionProblem = VERSIONS.has(version)
    ? null
    : `webhook version ${JSON.stringify(version.slice(0, 32))} is not one of 1, 3, 4`;
  let unknownFields = countUnknown(parsed, KNOWN_FIELDS);
  const entries = alerts.map((raw: unknown): Entry => {
    if (isObject(raw)) unknownFields += countUnknown(raw, KNOWN_ALERT_FIELDS);
    const read = versionProblem ?? readAlert(raw, now);
    return typeof read === 'string' ? { valid: false, problem: read, raw: bounded(raw) } : { valid: true, alert: read };
  });
  return ok({
    version,
    receiver: asText(own(parsed, 'receiver')).slice(0, LONGEST_NAME),
    groupKey: asText(own(parsed, 'groupKey')).slice(0, LONGEST_VALUE),
    truncatedAlerts: asCount(own(parsed, 'truncatedAlerts')),
    unknownFields,
    entries,
  });
};

/** What is the object's own: a missing member is never found on a prototype. */
const own = (record: Record<string, unknown>, key: string): unknown =>
  Object.hasOwn(record, key) ? record[key] : undefined;

const asText = (value: unknown): string =>
  typeof value === 'string' ? value : typeof value === 'number' ? String(value) : '';
const asCount = (value: unknown): number =>
  typeof value === 'number' && Number.isSafeInteger(value) && value > 0 ? value : 0;

const countUnknown = (record: Record<string, unknown>, known: ReadonlySet<string>): number => {
  let count = 0;
  for (const key of Object.keys(record)) if (!known.has(key)) count += 1;
  return count;
};

type Bomb = 'too-deep' | 'too-many-members' | 'too-many-alerts';

/**
 * One scan of the bytes for depth and sizes, so that no parser has to survive the text first: two million names in one
 * object hold JSON.parse for eight seconds.
 */
const findBomb = (bytes: Buffer): Bomb | null => {
  const members = new Uint32Array(DEEPEST + 1);
  const lists = new Uint8Array(DEEPEST + 1);
  let total = 0;
  let depth = 0;
  for (let at = 0; at < bytes.length; at += 1) {
    const byte = bytes[at] ?? 0;
    if (byte === 0x22) {
      at += 1;
      while (at < bytes.length && bytes[at] !== 0x22) at += bytes[at] === 0x5c ? 2 : 1;
    } else if (byte === 0x2c) {
      total += 1;
      const count = (members[depth] ?? 0) + 1;
      members[depth] = count;
      if (count >= MOST_NAMES && (lists[depth] !== 1 || count >= MOST_ALERTS)) {
        return lists[depth] === 1 ? 'too-many-alerts' : 'too-many-members';
      }
    } else if (byte === 0x7b || byte === 0x5b) {
      total += 1;
      depth += 1;
      if (depth > DEEPEST) return 'too-deep';
      members[depth] = 0;
      lists[depth] = byte === 0x5b ? 1 : 0;
    } else if (byte === 0x7d || byte === 0x5d) depth = Math.max(0, depth - 1);
    if (total > MOST_MEMBERS) return 'too-many-members';
  }
  return null;
};

const FEWER = 'set max_alerts on the webhook receiver';
const BOMBS: Readonly<Record<Bomb, string>> = {
  'too-deep': `the body is nested deeper than ${DEEPEST}`,
  'too-many-members': `the body has more than ${MOST_MEMBERS} members, or ${MOST_NAMES} in one object`,
  'too-many-alerts': `the body has more than ${MOST_ALERTS} alerts`,
};

/** The alert, or what is wrong with it. */
const readAlert = (raw: unknown, now: number): Alert | string => {
  if (!isObject(raw)) return 'the entry is not an object';
  const status = own(raw, 'status');
  if (status !== 'firing' && status !== 'resolved') return 'status is neither firing nor resolved';
  const flags: Alert['flags'][number][] = [];
  const hashes: Hashes = { hashed: NOTHING };
  const labels = readPairs(own(raw, 'labels'), 'label', hashes);
  if (typeof labels === 'string') return labels;
  const annotations = own(raw, 'annotations') ?? null;
  const notes = annotations === null ? NOTHING : readPairs(annotations, 'annotation', hashes);
  if (typeof notes === 'string') return notes;
  const starts = readTime(own(raw, 'startsAt'));
  if (starts === 'unreadable') return 'startsAt is not an RFC 3339 time';
  const ends = readTime(own(raw, 'endsAt'));
  if (ends === 'unreadable') return 'endsAt is not an RFC 3339 time';
  let startsAt = now;
  if (starts === 'unset') flags.push('missing_start');
  else if (starts > now + FUTURE_TOLERANCE_MS) flags.push('future_start');
  else startsAt = starts;
  if (hashes.hashed !== NOTHING) flags.push('value_cut');
  const generatorURL = own(raw, 'generatorURL');
  return {
    status,
    labels,
    annotations: notes,
    startsAt,
    endsAt: endOf(status, ends, now),
    generatorURL: typeof generatorURL === 'string' ? generatorURL.slice(0, LONGEST_VALUE) : '',
    flags,
    hashed: hashes.hashed,
  };
};

const endOf = (status: AlertStatus, ends: number | 'unset', now: number): number | null => {
  if (status === 'firing') return null;
  return ends === 'unset' ? now : ends;
};

/**
 * Makes objects that inherit nothing, from a prototype that has nothing. V8 keeps those of one shape together, where
 * `Object.create(null)` makes a hash table of each: a third of the time for 10,000 alerts.
 */
const Pairs = function () {} as unknown as new () => Record<string, string>;
Pairs.prototype = Object.freeze(Object.create(null) as object);

const NOTHING: Labels = Object.freeze(Object.create(null) as Record<string, string>);
/** Shared until the first value is cut: three tables an alert were a third of the time. */
type Hashes = { hashed: Record<string, string> };

const readPairs = (raw: unknown, what: 'label' | 'annotation', hashes: Hashes): Labels | string => {
  if (!isObject(raw)) return `the ${what}s are not an object`;
  const names = Object.keys(raw);
  if (names.length > MOST_LABELS) return `${names.length} ${what}s, the most is ${MOST_LABELS}`;
  if (names.length === 0 && what === 'label') return 'it has no labels';
  const pairs = new Pairs();
  for (const name of names) {
    const value = raw[name];
    if (typeof value !== 'string') return `the ${what} ${JSON.stringify(name.slice(0, 64))} is not text`;
    // Three bytes at most for each UTF-16 unit: only long ones are measured.
    if (name.length > LONGEST_NAME / 3 && Buffer.byteLength(name) > LONGEST_NAME)
      return `a ${what} name is longer than ${LONGEST_NAME} bytes`;
    if (name === '' || LONE_SURROGATE.test(name)) return `a ${what} name is empty or not valid Unicode`;
    if (value.length > LONGEST_VALUE / 3 && Buffer.byteLength(value) > LONGEST_VALUE) {
      // Two pages, not one: a label that was cut must still tell its alert from another with the same beginning.
      const hash = sha256(value);
      if (hashes.hashed === NOTHING) hashes.hashed = Object.create(null) as Record<string, string>;
      hashes.hashed[`${what}.${name}`] = hash;
      pairs[name] = what === 'label' ? `${cut(value, LONGEST_VALUE - 74)}...sha256:${hash}` : cut(value, LONGEST_VALUE);
    } else pairs[name] = value;
  }
  return pairs;
};

/** At most `bytes` of UTF-8, not cut within a character. */
const cut = (text: string, bytes: number): string => {
  let end = Math.min(text.length, bytes);
  let kept = text.slice(0, end);
  for (let over = Buffer.byteLength(kept) - bytes; over > 0; over = Buffer.byteLength(kept) - bytes) {
    end -= Math.max(1, Math.floor(over / 3));
    kept = text.slice(0, end);
  }
  return /[\ud800-\udbff]$/.test(kept) ? kept.slice(0, -1) : kept;
};

const LONE_SURROGATE = /\p{Surrogate}/u;
const OFFSET = /^(?:\.(\d{1,18}))?(?:[Zz]|([+-])(\d\d):(\d\d))$/;

const daysIn = (year: number, month: number): number => {
  if (month === 2) return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0) ? 29 : 28;
  return [4, 6, 9, 11].includes(month) ? 30 : 31;
};

/** The number in `length` digits at `at`, or NaN. */
const digits = (text: string, at: number, length: number): number => {
  let value = 0;
  for (let index = at; index < at + length; index += 1) {
    const digit = text.charCodeAt(index) - 48;
    if (!(digit >= 0 && digit <= 9)) return Number.NaN;
    value = value * 10 + digit;
  }
  return value;
};

/** Milliseconds UTC of an RFC 3339 time; `unset` when absent or in the year 1 or before, which is Go's zero time. */
const readTime = (raw: unknown): number | 'unset' | 'unreadable' => {
  if (raw === undefined || raw === null || raw === '') return 'unset';
  if (
    typeof raw !== 'string' ||
    raw.length > 48 ||
    raw[4] !== '-' ||
    raw[7] !== '-' ||
    raw[13] !== ':' ||
    raw[16] !== ':'
  )
    return 'unreadable';
  if (raw[10] !== 'T' && raw[10] !== 't') return 'unreadable';
  const year = digits(raw, 0, 4);
  const month = digits(raw, 5, 2);
  const day = digits(raw, 8, 2);
  const hour = digits(raw, 11, 2);
  const minute = digits(raw, 14, 2);
  const second = digits(raw, 17, 2);
  if (!(month >= 1 && month <= 12 && day >= 1 && day <= daysIn(year, month))) return 'unreadable';
  if (!(hour <= 23 && minute <= 59 && second <= 60)) return 'unreadable';
  let millis = 0;
  let offset = 0;
  if (raw.length !== 20 || raw[19] !== 'Z') {
    const rest = OFFSET.exec(raw.slice(19));
    if (rest === null) return 'unreadable';
    millis = Number((rest[1] ?? '').slice(0, 3).padEnd(3, '0'));
    const offsetHours = Number(rest[3] ?? 0);
    const offsetMinutes = Number(rest[4] ?? 0);
    if (offsetHours > 23 || offsetMinutes > 59) return 'unreadable';
    offset = (rest[2] === '-' ? -1 : 1) * (offsetHours * 60 + offsetMinutes) * 60_000;
  }
  if (year <= 1) return 'unset';
  // Date.UTC takes a year below 100 for one of the last century.
  if (!(year >= 100)) return 'unreadable';
  return Date.UTC(year, month - 1, day, hour, minute, second, millis) - offset;
};

/** Enough of a bad entry to see what it was; the journal has the whole body. */
const bounded = (raw: unknown): JsonObject => {
  const text = JSON.stringify(raw);
  if (text.length > LONGEST_RAW) return { cut: text.slice(0, LONGEST_RAW), bytes: Buffer.byteLength(text) };
  return isObject(raw) ? (raw as JsonObject) : { value: raw as Json };
};
