// What a panel would get from its data source: its queries with Grafana's variables filled in as Grafana fills them, asked
// of a real Prometheus.

/**
 * When and how finely is asked. Times are Unix seconds.
 * @typedef {{ from: number, to: number, scrapeSeconds: number }} Span
 * @typedef {{ labels: Record<string, string>, name: string, points: Array<[number, number]> }} Series
 */

const WIDEST_POINTS = 1_000;

/** Grafana: a point a pixel, but none between two scrapes. */
export const stepOf = ({ from, to, scrapeSeconds }, points = WIDEST_POINTS) =>
  Math.max(scrapeSeconds, Math.ceil((to - from) / points));

/** The text that Grafana would send, with every variable at All. */
const filled = (text, span, points) => {
  const step = stepOf(span, points);
  const rate = Math.max(step + span.scrapeSeconds, 4 * span.scrapeSeconds);
  return text
    .replaceAll('$__rate_interval', `${rate}s`)
    .replaceAll('$__range', `${Math.ceil(span.to - span.from)}s`)
    .replaceAll('$__interval', `${step}s`)
    .replaceAll(/\$(?:component|rule)\b/g, '.+');
};

/** `{{label}}` by its value; without a legend, as Prometheus would write the series. */
const nameOf = (legend, labels) => {
  if (legend !== '') return legend.replaceAll(/\{\{\s*(\w+)\s*\}\}/g, (_, label) => labels[label] ?? '');
  const { __name__: metric = '', ...rest } = labels;
  const told = Object.entries(rest).map(([label, value]) => `${label}="${value}"`);
  return told.length === 0 ? metric : `${metric}{${told.join(', ')}}`;
};

const ask = async (prometheus, path, asked) => {
  const response = await fetch(`${prometheus}${path}`, {
    method: 'POST',
    body: new URLSearchParams(asked),
    signal: AbortSignal.timeout(30_000),
  });
  const answer = await response.json();
  if (answer.status !== 'success') throw new Error(`${asked.query}: ${answer.error ?? response.status}`);
  return answer.data.result;
};

const finite = (points) =>
  points.map(([at, value]) => [at, Number(value)]).filter(([, value]) => Number.isFinite(value));

/** The series of one query, those without a finite point left out. @returns {Promise<Series[]>} */
export const seriesOf = async (prometheus, target, span, points) => {
  const query = filled(target.expr, span, points);
  const found = target.instant
    ? await ask(prometheus, '/api/v1/query', { query, time: String(span.to) })
    : await ask(prometheus, '/api/v1/query_range', {
        query,
        start: String(span.from),
        end: String(span.to),
        step: String(stepOf(span, points)),
      });
  return found
    .map(({ metric, value, values }) => ({
      labels: metric,
      name: nameOf(target.legendFormat ?? '', metric),
      points: finite(target.instant ? [value] : values),
    }))
    .filter((series) => series.points.length > 0);
};

/** Every series of a panel, each with the query that it answers. */
export const dataOf = async (prometheus, panel, span) => {
  const points = panel.gridPos.w * 40;
  const series = [];
  for (const target of panel.targets) {
    const found = await seriesOf(prometheus, target, span, points);
    series.push(...found.map((one) => ({ ...one, refId: target.refId })));
  }
  return series;
};

/** Moments at which a run began: where marks follow upon each other, the first of them. */
export const marksOf = async (prometheus, board, span) => {
  const marks = [];
  for (const target of board.annotations.list.filter(({ expr }) => expr !== undefined)) {
    const step = stepOf(span, WIDEST_POINTS);
    for (const { points } of await seriesOf(prometheus, target, span, WIDEST_POINTS)) {
      const begun = points.filter(([at], index) => index === 0 || at - points[index - 1][0] > step * 1.5);
      marks.push(...begun.map(([at]) => at));
    }
  }
  return marks;
};
