// The state of an application's circuit breaker, as its Prometheus metrics tell it.
import { z } from 'zod';
import { ActionError } from '../../base/failure.ts';
import type { ActionContext } from '../../port/action.ts';
import type { Credential } from './service.ts';
import { address, callService, credentialInput } from './service.ts';

const MOST_LINES = 50;
const LONGEST_LINE = 300;
const SAMPLE = /^([a-zA-Z_:][a-zA-Z0-9_:]*)\{(.*)\}\s+(\S+)(?:\s+-?\d+)?$/;
const LABEL = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"/g;

export const breakerInput = {
  ...credentialInput,
  /** The application's Prometheus metrics. */
  metrics_url: address,
  /** Its label `name`. */
  breaker: z.string().regex(/^[A-Za-z0-9_.:-]{1,128}$/, { message: 'the name of a breaker' }),
  metric: z
    .string()
    .regex(/^[a-zA-Z_:][a-zA-Z0-9_:]{0,127}$/, { message: 'the name of a metric' })
    .default('circuit_breaker_state'),
};

export type BreakerState = {
  /** `closed`, `open`, `half_open`, or what else the application calls it. */
  readonly state: string;
  /** Every line of the breaker's metrics: what was counted up to now. */
  readonly lines: readonly string[];
};

const plainState = (state: string): string => state.toLowerCase().replaceAll('-', '_').slice(0, 64);

/** Of `<metric>{name="generator",state="open"} 1` the state whose sample is 1. Throws when that is not exactly one. */
export const readBreaker = async (
  given: { readonly metrics_url: string; readonly metric: string; readonly breaker: string } & Credential,
  context: ActionContext,
): Promise<BreakerState> => {
  const { metrics_url: url, metric, breaker } = given;
  const { text } = await callService({ method: 'GET', url, headers: { Accept: 'text/plain' } }, given, context);
  const lines: string[] = [];
  const states = new Set<string>();
  for (const line of text.split('\n')) {
    const [, name = '', labels = '', value = ''] = SAMPLE.exec(line.trimEnd()) ?? [];
    const known = new Map([...labels.matchAll(LABEL)].map(([, key = '', word = '']) => [key, word]));
    if (known.get('name') !== breaker) continue;
    if (lines.length < MOST_LINES) lines.push(line.slice(0, LONGEST_LINE));
    const state = known.get('state');
    if (name === metric && state !== undefined && Number(value) === 1) states.add(plainState(state));
  }
  const [state] = states;
  if (states.size === 1 && state !== undefined) return { state, lines };
  const found = states.size === 0 ? 'no state' : `the states ${[...states].join(' and ')} at once`;
  throw new ActionError(
    'permanent',
    `${url.split('?', 1)[0]} shows ${found} for the breaker ${breaker} in ${metric}; mend: look at its /metrics, and name the breaker and the metric as they stand there`,
  );
};
