// The context of a distributed trace, as W3C spells it in the header `traceparent`: taken in as it is or not at all, and
// handed on with a span of our own.
import { sha256 } from './json.ts';

/** `00-<trace id>-<span id>-<flags>`, as https://www.w3.org/TR/trace-context/ has it for version 00; neither id may be zero. */
const WELL_FORMED = /^00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})$/;

/** Null for what is none: a header that came twice, or another version. */
export const readTraceparent = (header: string | readonly string[] | undefined): string | null =>
  typeof header === 'string' && WELL_FORMED.test(header) ? header : null;

export const traceIdOf = (traceparent: string): string => WELL_FORMED.exec(traceparent)?.[1] ?? '';

/** In the same trace, with the span that belongs to `what`: the same for the same, so that a record can be told it without keeping it. */
export const childOf = (traceparent: string, what: string): string => {
  const [, trace = '', flags = '00'] = WELL_FORMED.exec(traceparent) ?? [];
  const span = sha256(`${trace} ${what}`).slice(0, 16);
  return `00-${trace}-${span === '0'.repeat(16) ? '1'.padStart(16, '0') : span}-${flags}`;
};
