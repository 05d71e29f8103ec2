// Alerts out of Prometheus' own memory: the series ALERTS says when each one fired, so that somebody who has no journal
// yet sees what amends would have done.
import type { Problem, Result } from '../base/failure.ts';
import { ok, refused } from '../base/failure.ts';
import { isObject } from '../base/json.ts';
import type { Sample } from '../port/sources.ts';
import type { RecordedDelivery } from './journal.ts';

/** Reads a path of Prometheus' API as JSON; throws with what went wrong. */
export type AskPrometheus = (path: string, parameters: Readonly<Record<string, string>>) => Promise<unknown>;

const STEP_MS = 60_000;
/** Prometheus gives at most 11,000 points a series and answer; a day of minutes is 1,440. */
const CHUNK_MS = 86_400_000;
/** A sample that is missing once is a scrape that was late; two are an end. */
const GAP_MS = 2.5 * STEP_MS;
/** Days in a row or not; each may take as long as the caller has patience. */
const MOST_FAILURES = 3;
const NOT_LABELS: ReadonlySet<string> = new Set(['__name__', 'alertstate']);

type Firing = { readonly labels: Readonly<Record<string, string>>; readonly from: number; to: number };

/** A day that Prometheus does not give is a problem; the others are still used. */
export type AlertSeries = { readonly deliveries: readonly RecordedDelivery[]; readonly problems: readonly Problem[] };

/** Posts as Alertmanager would have sent them: one when an alert began, one when it was over. Times in milliseconds UTC. */
export const readAlertSeries = async (
  ask: AskPrometheus,
  from: number,
  to: number,
  progress?: (done: number, of: number) => void,
): Promise<AlertSeries> => {
  const problems: Problem[] = [];
  const open = new Map<string, Firing>();
  const firings: Firing[] = [];
  const chunks = Math.ceil((to - from) / CHUNK_MS);
  for (let chunk = 0; chunk < chunks; chunk += 1) {
    const start = from + chunk * CHUNK_MS;
    let answer: unknown;
    try {
      answer = await ask('/api/v1/query_range', {
        query: 'ALERTS{alertstate="firing"}',
        start: String(start / 1_000),
        end: String(Math.min(start + CHUNK_MS - STEP_MS, to) / 1_000),
        step: String(STEP_MS / 1_000),
      });
    } catch (error) {
      problems.push(failed(error, start));
      // An address that nobody answers at is not asked once a day of a month.
      if (problems.length >= MOST_FAILURES) break;
      continue;
    }
    for (const { metric, values } of matrixOf(answer)) {
      const labels = Object.fromEntries(Object.entries(metric).filter(([name]) => !NOT_LABELS.has(name)));
      const key = JSON.stringify(Object.entries(labels).toSorted(([left], [right]) => (left < right ? -1 : 1)));
      for (const at of values) {
        const before = open.get(key);
        if (before !== undefined && at - before.to <= GAP_MS) before.to = at;
        else {
          const firing = { labels, from: at, to: at };
          open.set(key, firing);
          firings.push(firing);
        }
      }
    }
    progress?.(chunk + 1, chunks);
  }
  return { deliveries: deliveriesOf(firings, to), problems };
};

const failed = (error: unknown, start: number): Problem => ({
  code: 'prometheus-failed',
  message: `Prometheus did not give the alerts of ${new Date(start).toISOString().slice(0, 10)}: ${error instanceof Error ? error.message : String(error)}`,
  mend: 'look at its address and credential, at what it keeps (--storage.tsdb.retention.time), take a shorter --since, or give it longer: --prometheus.timeout',
});

const matrixOf = (
  answer: unknown,
): ReadonlyArray<{ readonly metric: Readonly<Record<string, string>>; readonly values: readonly number[] }> => {
  const data = isObject(answer) && isObject(answer['data']) ? answer['data'] : {};
  const result = Array.isArray(data['result']) ? data['result'] : [];
  return result.filter(isObject).map((series) => ({
    metric: (isObject(series['metric']) ? series['metric'] : {}) as Readonly<Record<string, string>>,
    values: (Array.isArray(series['values']) ? (series['values'] as ReadonlyArray<readonly [number, string]>) : []).map(
      ([seconds]) => Math.round(seconds * 1_000),
    ),
  }));
};

const deliveriesOf = (firings: readonly Firing[], until: number): readonly RecordedDelivery[] => {
  const posts = firings.flatMap((firing) => {
    const over = firing.to + STEP_MS;
    // What still fires at the end has no end.
    return over >= until
      ? [post(firing, firing.from, null)]
      : [post(firing, firing.from, null), post(firing, over, over)];
  });
  return posts
    .toSorted((left, right) => left.at - right.at)
    .map((delivery, index) => ({ ...delivery, line: index + 1 }));
};

const post = ({ labels, from }: Firing, at: number, endsAt: number | null): RecordedDelivery => {
  const status = endsAt === null ? 'firing' : 'resolved';
  const alert = {
    status,
    labels,
    annotations: {},
    startsAt: new Date(from).toISOString(),
    endsAt: endsAt === null ? '0001-01-01T00:00:00Z' : new Date(endsAt).toISOString(),
    generatorURL: '',
  };
  const body = { version: '4', groupKey: '{}', receiver: 'amends', status, truncatedAlerts: 0, alerts: [alert] };
  const text = JSON.stringify(body);
  return { line: 0, at, source: 'alertmanager', body: () => Buffer.from(text) };
};

/** An instant query as it would have been answered at `at`. */
export const queryAt = async (ask: AskPrometheus, promql: string, at: number): Promise<Result<readonly Sample[]>> => {
  try {
    const answer = await ask('/api/v1/query', { query: promql, time: String(at / 1_000) });
    const data = isObject(answer) && isObject(answer['data']) ? answer['data'] : {};
    const result = Array.isArray(data['result']) ? data['result'] : [];
    return ok(
      result.filter(isObject).map((series) => ({
        labels: (isObject(series['metric']) ? series['metric'] : {}) as Readonly<Record<string, string>>,
        value: Number(Array.isArray(series['value']) ? series['value'][1] : Number.NaN),
      })),
    );
  } catch (error) {
    return refused([{ code: 'prometheus-failed', message: error instanceof Error ? error.message : String(error) }]);
  }
};
