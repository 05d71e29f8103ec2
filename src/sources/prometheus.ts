// Asks Prometheus for figures. An answer may be kept for whoever can live with one that is a little old.
import { ok, refused } from '../base/failure.ts';
import type { Result } from '../base/failure.ts';
import { bare, isObject } from '../base/json.ts';
import type { Clock } from '../base/clock.ts';
import { PROMETHEUS_FAILED } from '../port/sources.ts';
import type { Neighbour, Sample, Sources } from '../port/sources.ts';
import type { GetJson } from './http-json.ts';

type Answer = Result<readonly Sample[]>;
type Kept = { readonly at: number; readonly answer: Promise<Answer> };

const MOST_KEPT = 1_000;
/** Sooner than ours: an answer that the query takes too long is about the query, silence is about Prometheus. */
const SERVER_TIMEOUT = '1800ms';

export const createQuery = (prometheus: () => Neighbour | null, getJson: GetJson, clock: Clock): Sources['query'] => {
  const kept = new Map<string, Kept>();

  const ask = async (neighbour: Neighbour, promql: string): Promise<Answer> => {
    const params = new URLSearchParams({ query: promql, timeout: SERVER_TIMEOUT });
    const answer = await getJson(neighbour, '/api/v1/query', params);
    if (answer.ok) return readSamples(answer.body);
    // Of these two it says that the query is wrong; everything else is no answer to it.
    const code = answer.status === 400 || answer.status === 422 ? 'prometheus-refused' : PROMETHEUS_FAILED;
    return refused([{ code, message: `Prometheus at ${neighbour.url}: ${answer.error}` }]);
  };

  return async (promql, options) => {
    const neighbour = prometheus();
    if (neighbour === null)
      return refused([
        { code: 'no-prometheus', message: 'no Prometheus is configured', mend: 'add prometheus: { url: ... }' },
      ]);
    if (options === undefined) return ask(neighbour, promql);
    const now = clock.monotonic();
    const key = `${neighbour.url}\n${promql}`;
    const known = kept.get(key);
    if (known !== undefined && now - known.at < options.maxAgeMs) return known.answer;
    const answer = ask(neighbour, promql);
    kept.delete(key);
    kept.set(key, { at: now, answer });
    const oldest = kept.size > MOST_KEPT ? kept.keys().next().value : undefined;
    if (oldest !== undefined) kept.delete(oldest);
    // A failure may be over at once.
    void answer.then((given) => {
      if (!given.ok && kept.get(key)?.answer === answer) kept.delete(key);
    });
    return answer;
  };
};

/** Prometheus writes what JSON has no number for as `+Inf`, `-Inf` and `NaN`. */
const numberOf = (value: unknown): number => {
  if (value === '+Inf') return Number.POSITIVE_INFINITY;
  if (value === '-Inf') return Number.NEGATIVE_INFINITY;
  return typeof value === 'string' && value !== '' ? Number(value) : Number.NaN;
};

const readSamples = (body: unknown): Answer => {
  const data = isObject(body) && isObject(body['data']) ? body['data'] : null;
  const result = data?.['result'];
  if (data?.['resultType'] === 'scalar' && Array.isArray(result))
    return ok([{ labels: {}, value: numberOf(result[1]) }]);
  if (data?.['resultType'] !== 'vector' || !Array.isArray(result))
    return refused([{ code: PROMETHEUS_FAILED, message: 'Prometheus answered with neither a vector nor a scalar' }]);
  return ok(
    result.filter(isObject).map((series) => {
      const metric = isObject(series['metric']) ? series['metric'] : {};
      const value = Array.isArray(series['value']) ? numberOf(series['value'][1]) : Number.NaN;
      return { labels: bare(Object.entries(metric).map(([name, text]) => [name, String(text)] as const)), value };
    }),
  );
};
