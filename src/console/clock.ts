// The one place of the page that knows the time: that of amends, as it says with each answer, since a phone's clock may be off.
import { h } from './dom.ts';

let ahead = 0;

/** Milliseconds UTC by the clock of amends. */
export const now = (): number => Date.now() + ahead;

/** An answer has told what time it is there. */
export const learn = (serverTime: number): void => {
  if (Number.isFinite(serverTime)) ahead = serverTime - Date.now();
};

export const after = (ms: number, run: () => void): (() => void) => {
  const handle = setTimeout(run, ms);
  return () => clearTimeout(handle);
};

export const every = (ms: number, run: () => void): void => void setInterval(run, ms);

const pad = (value: number): string => String(value).padStart(2, '0');
const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** `45 s`, `3 min 5 s`, `2 h 10 min`, `3 d 4 h`. */
export const span = (ms: number): string => {
  const whole = Math.max(0, Math.round(ms / SECOND) * SECOND);
  const two = (large: number, small: number, names: readonly [string, string]): string => {
    const [first, second] = [Math.floor(whole / large), Math.floor((whole % large) / small)];
    return second === 0 ? `${first} ${names[0]}` : `${first} ${names[0]} ${second} ${names[1]}`;
  };
  if (whole < MINUTE) return `${whole / SECOND} s`;
  if (whole < HOUR) return two(MINUTE, SECOND, ['min', 's']);
  return whole < DAY ? two(HOUR, MINUTE, ['h', 'min']) : two(DAY, HOUR, ['d', 'h']);
};

const hms = (hours: number, minutes: number, seconds: number): string =>
  `${pad(hours)}:${pad(minutes)}:${pad(seconds)}`;
/** `02:58:10 UTC (03:58:10 here)`, with the day when it is not of these twelve hours. */
export const absolute = (ms: number): string => {
  const date = new Date(ms);
  const day = Math.abs(ms - now()) < DAY / 2 ? '' : `${date.toISOString().slice(0, 10)} `;
  const utc = hms(date.getUTCHours(), date.getUTCMinutes(), date.getUTCSeconds());
  const here = hms(date.getHours(), date.getMinutes(), date.getSeconds());
  return `${day}${utc} UTC${date.getTimezoneOffset() === 0 ? '' : ` (${here} here)`}`;
};

const relative = (ms: number): string => {
  const apart = ms - now();
  return apart > 0 ? `in ${span(apart)}` : `${span(-apart)} ago`;
};

const WORDS: Readonly<Record<string, (ms: number) => string>> = {
  both: (ms) => `${relative(ms)}, ${absolute(ms)}`,
  short: relative,
  at: absolute,
  left: (ms) => (ms > now() ? `${span(ms - now())} left` : 'time is up'),
  since: (ms) => span(now() - ms),
};
export type Manner = 'both' | 'short' | 'at' | 'left' | 'since';

export const parse = (text: string | number | null | undefined): number | null => {
  if (typeof text === 'number') return text;
  const ms = text === null || text === undefined ? Number.NaN : Date.parse(text);
  return Number.isNaN(ms) ? null : ms;
};

/** A time that goes on: the words are put right every second. */
export const time = (text: string | number | null | undefined, manner: Manner = 'both'): HTMLElement | null => {
  const ms = parse(text);
  if (ms === null) return null;
  return h(
    'time',
    { datetime: new Date(ms).toISOString(), 'data-manner': manner, title: absolute(ms) },
    WORDS[manner]?.(ms),
  );
};

export const tick = (): void => {
  for (const element of document.querySelectorAll<HTMLTimeElement>('time[data-manner]')) {
    const words = WORDS[element.dataset['manner'] ?? '']?.(Date.parse(element.dateTime)) ?? '';
    if (element.textContent !== words) element.textContent = words;
  }
};
