// Log lines: one JSON object or one line of logfmt each, redacted, bounded, and safe to show in a terminal.
import { destination as standardOut, pino, stdTimeFunctions } from 'pino';
import type { DestinationStream } from 'pino';
import type { Redactor } from './secret.ts';

export type LogFields = Readonly<Record<string, unknown>>;
export type Log = {
  debug(fields: LogFields, message: string): void;
  info(fields: LogFields, message: string): void;
  warn(fields: LogFields, message: string): void;
  error(fields: LogFields, message: string): void;
  child(fields: LogFields): Log;
};
export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent';
export type LogFormat = 'json' | 'logfmt';

const LONGEST_FIELD = 2_048;
const LONGEST_LINE = 16_384;
// Control characters, and the marks that turn the direction of text.
// oxlint-disable-next-line no-control-regex
const UNSAFE = /[\u0000-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

const escape = (text: string): string =>
  text.replace(UNSAFE, (mark) => `\\u${mark.charCodeAt(0).toString(16).padStart(4, '0')}`);

const tidy = (value: unknown, redactor: Redactor): unknown => {
  if (value instanceof Error) return tidy({ type: value.name, message: value.message, stack: value.stack }, redactor);
  if (typeof value === 'string') {
    const text = escape(redactor.text(value));
    return text.length > LONGEST_FIELD ? `${text.slice(0, LONGEST_FIELD)}...` : text;
  }
  if (Array.isArray(value)) return value.slice(0, 50).map((member) => tidy(member, redactor));
  if (typeof value === 'object' && value !== null) {
    const safe = redactor.value(value) as Record<string, unknown>;
    return Object.fromEntries(
      Object.entries(safe).map(([key, member]) => [escape(key).slice(0, 128), tidy(member, redactor)]),
    );
  }
  return value;
};

export const createLog = (
  level: LogLevel,
  redactor: Redactor,
  destination?: DestinationStream,
  format: LogFormat = 'json',
): Log => {
  const options = {
    level,
    base: null,
    timestamp: stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
  };
  const out = format === 'logfmt' ? logfmtTo(destination ?? standardOut({ fd: 1, sync: true })) : destination;
  const sink = out === undefined ? pino(options) : pino(options, out);
  const make = (bound: LogFields): Log => {
    const write = (name: 'debug' | 'info' | 'warn' | 'error', fields: LogFields, message: string): void => {
      if (!sink.isLevelEnabled(name)) return;
      const line = tidy({ ...bound, ...fields }, redactor) as Record<string, unknown>;
      const fits = JSON.stringify(line).length <= LONGEST_LINE;
      sink[name](fits ? line : { ...(tidy(bound, redactor) as object), cut: true }, tidy(message, redactor) as string);
    };
    return {
      debug: (fields, message) => write('debug', fields, message),
      info: (fields, message) => write('info', fields, message),
      warn: (fields, message) => write('warn', fields, message),
      error: (fields, message) => write('error', fields, message),
      child: (fields) => make({ ...bound, ...fields }),
    };
  };
  return make({});
};

/** The same names and values in the other spelling, as Prometheus writes its own. */
const logfmtTo = (destination: DestinationStream): DestinationStream => ({
  write(line) {
    const pairs = Object.entries(JSON.parse(line) as Record<string, unknown>);
    destination.write(`${pairs.map(([key, value]) => `${plainKey(key)}=${plainValue(value)}`).join(' ')}\n`);
  },
});

const plainKey = (key: string): string => key.replaceAll(/[\s="]/g, '_') || '_';

const plainValue = (value: unknown): string => {
  const text = typeof value === 'string' ? value : (JSON.stringify(value) ?? '');
  return text === '' || /[\s="\\]/.test(text) ? JSON.stringify(text) : text;
};
