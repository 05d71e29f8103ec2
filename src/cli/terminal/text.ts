// How results look: tables without frames, times and durations short, and nothing in them that a terminal would obey.
import Table from 'cli-table3';
import { formatDuration } from '../../base/duration.ts';
import { isObject } from '../../base/json.ts';

// Control characters and the marks that turn the direction of text: labels are written by strangers.
// oxlint-disable-next-line no-control-regex
const UNSAFE = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

/** Text that is safe to print; tabs and line ends stay. */
export const printable = (text: string): string =>
  text.replace(UNSAFE, (mark) => `\\u${mark.charCodeAt(0).toString(16).padStart(4, '0')}`);

const NO_FRAME = {
  top: '', 'top-mid': '', 'top-left': '', 'top-right': '',
  bottom: '', 'bottom-mid': '', 'bottom-left': '', 'bottom-right': '',
  left: '', 'left-mid': '', mid: '', 'mid-mid': '', right: '', 'right-mid': '', middle: '  ',
}; // prettier-ignore

/** One line a row, columns by their widest cell; an empty list says so. */
export const table = (head: readonly string[], rows: ReadonlyArray<readonly unknown[]>, none = 'none'): string => {
  if (rows.length === 0) return none;
  const made = new Table({
    head: head.map((name) => name.toUpperCase()),
    chars: NO_FRAME,
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0 },
  });
  for (const row of rows) made.push(row.map((value) => cell(value).replaceAll(/\s+/g, ' ')));
  return made
    .toString()
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n');
};

/** What a value looks like in a table or after a colon. */
export const cell = (value: unknown): string => {
  if (value === null || value === undefined || value === '') return '-';
  if (typeof value === 'string') return printable(TIME.test(value) ? time(value) : value);
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  if (Array.isArray(value)) return value.length === 0 ? '-' : value.map(cell).join(', ');
  if (isObject(value)) {
    return Object.entries(value)
      .map(([key, member]) => `${printable(key)}=${isObject(member) ? JSON.stringify(member) : cell(member)}`)
      .join(' ');
  }
  return '-';
};

const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z$/;

/** RFC 3339 to the second, as people read it. */
export const time = (text: string): string => text.replace('T', ' ').replace(/(?:\.\d+)?Z$/, 'Z');

/** From one RFC 3339 time to another; `-` when one of them is not known. */
export const between = (from: unknown, to: unknown): string => {
  const [start, end] = [from, to].map((value) => (typeof value === 'string' ? Date.parse(value) : Number.NaN));
  if (start === undefined || end === undefined || Number.isNaN(start) || Number.isNaN(end)) return '-';
  return end >= start ? formatDuration(end - start) : '-';
};

/** A text as it is, but safe to print; empty when it is none. */
export const plain = (value: unknown): string => (typeof value === 'string' ? printable(value) : '');

/** `name: value` lines, the names padded to one width. */
export const lines = (pairs: ReadonlyArray<readonly [string, unknown]>): string => {
  const width = Math.max(0, ...pairs.map(([name]) => name.length));
  return pairs.map(([name, value]) => `${`${name}:`.padEnd(width + 1)} ${cell(value)}`).join('\n');
};
