// Asks Alertmanager and Prometheus over their HTTP APIs. Nothing is cached: an answer is about this moment.
import type { Labels } from '../alert/alert.ts';
import { bare, isObject } from '../base/json.ts';
import { ok, refused } from '../base/failure.ts';
import type { Result } from '../base/failure.ts';
import type { Present } from '../run/present.ts';
import type { Sample, Sources } from '../port/sources.ts';
import { getJson } from './http-json.ts';

export type Neighbours = {
  readonly alertmanagers: ReadonlyArray<{ readonly url: string; readonly sources: readonly string[] }>;
  readonly prometheus: { readonly url: string } | null;
};

/** `neighbours` is asked at every call: a reload may have changed them. */
export const createSources = (neighbours: () => Neighbours): Sources => ({
  async alert(labels, source) {
    const alertmanagers = neighbours().alertmanagers.filter(({ sources }) => sources.includes(source));
    if (alertmanagers.length === 0)
      return { state: 'not_asked', detail: 'no Alertmanager is configured for its source' };
    const answers = await Promise.all(alertmanagers.map(({ url }) => askAlertmanager(url, labels)));
    return strongest(answers);
  },
  async query(promql) {
    const { prometheus } = neighbours();
    if (prometheus === null)
      return refused([
        { code: 'no-prometheus', message: 'no Prometheus is configured', mend: 'add prometheus: { url: ... }' },
      ]);
    const answer = await getJson(
      prometheus.url,
      '/api/v1/query',
      new URLSearchParams({ query: promql, timeout: '2s' }),
    );
    if (!answer.ok)
      return refused([{ code: 'prometheus-failed', message: `Prometheus at ${prometheus.url}: ${answer.error}` }]);
    return readSamples(answer.body);
  },
});

/** A yes from anyone counts; a silence is only believed where nobody says that it fires. */
const STRENGTH: readonly Present['alert']['state'][] = [
  'firing',
  'silenced',
  'inhibited',
  'absent',
  'unreachable',
  'not_asked',
];
const strongest = (answers: readonly Present['alert'][]): Present['alert'] =>
  answers.toSorted((left, right) => STRENGTH.indexOf(left.state) - STRENGTH.indexOf(right.state))[0] ?? {
    state: 'not_asked',
    detail: '',
  };

const quote = (value: string): string => JSON.stringify(value);

const askAlertmanager = async (url: string, labels: Labels): Promise<Present['alert']> => {
  const params = new URLSearchParams({ active: 'true', silenced: 'true', inhibited: 'true', unprocessed: 'true' });
  for (const [name, value] of Object.entries(labels)) {
    // A value that was cut ends in its hash and names nothing outside; the other labels find the alert.
    if (/^[a-zA-Z_][a-zA-Z0-9_]*$/.test(name) && value.length < 4_096)
      params.append('filter', `${name}=${quote(value)}`);
  }
  const answer = await getJson(url, '/api/v2/alerts', params);
  if (!answer.ok) return { state: 'unreachable', detail: `${url}: ${answer.error}` };
  if (!Array.isArray(answer.body)) return { state: 'unreachable', detail: `${url}: the answer is not a list` };
  const found = answer.body.filter(isObject).map(readStatus);
  if (found.some((status) => status.state === 'active' || status.state === 'unprocessed'))
    return { state: 'firing', detail: url };
  const silenced = found.find((status) => status.silencedBy.length > 0);
  if (silenced !== undefined)
    return { state: 'silenced', detail: `${url}: by silence ${silenced.silencedBy.join(', ')}` };
  const inhibited = found.find((status) => status.inhibitedBy.length > 0);
  if (inhibited !== undefined) return { state: 'inhibited', detail: `${url}: by ${inhibited.inhibitedBy.join(', ')}` };
  return { state: 'absent', detail: `${url} does not have it as firing` };
};

const texts = (value: unknown): readonly string[] =>
  Array.isArray(value) ? value.filter((entry) => typeof entry === 'string') : [];

const readStatus = (
  alert: Record<string, unknown>,
): { readonly state: string; readonly silencedBy: readonly string[]; readonly inhibitedBy: readonly string[] } => {
  const status = isObject(alert['status']) ? alert['status'] : {};
  return {
    state: typeof status['state'] === 'string' ? status['state'] : '',
    silencedBy: texts(status['silencedBy']),
    inhibitedBy: texts(status['inhibitedBy']),
  };
};

const readSamples = (body: unknown): Result<readonly Sample[]> => {
  const data = isObject(body) && isObject(body['data']) ? body['data'] : null;
  const result = data?.['result'];
  if (data?.['resultType'] === 'scalar' && Array.isArray(result)) return ok([{ labels: {}, value: Number(result[1]) }]);
  if (data?.['resultType'] !== 'vector' || !Array.isArray(result))
    return refused([{ code: 'prometheus-failed', message: 'Prometheus answered with neither a vector nor a scalar' }]);
  return ok(
    result.filter(isObject).map((series) => {
      const metric = isObject(series['metric']) ? series['metric'] : {};
      const value = Array.isArray(series['value']) ? Number(series['value'][1]) : Number.NaN;
      return { labels: bare(Object.entries(metric).map(([name, text]) => [name, String(text)] as const)), value };
    }),
  );
};
