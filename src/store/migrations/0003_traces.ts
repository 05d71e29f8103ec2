// A delivery keeps the trace it came in with: what is decided and done about it goes on in that trace, after a restart too.

export const traces = {
  version: 3,
  sqlite: [`alter table deliveries add column traceparent text`],
} as const;
