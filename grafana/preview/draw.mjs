// A panel as HTML and inline SVG, by its type: close enough to Grafana that a title that does not fit, a missing unit or
// colours that say the wrong thing can be seen. All text is from files and from Prometheus, so all of it is escaped.
import { colourOf, colourOfSeries, textOf } from './figures.mjs';

export const escaped = (text) =>
  String(text)
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
    .replaceAll("'", '&#39;');

const lastOf = ({ points }) => points.at(-1)[1];
const round = (value) => Math.round(value * 10) / 10;

const stat = ({ fieldConfig: { defaults }, options }, series) =>
  `<div class="stats">${series
    .map((one) => {
      const value = lastOf(one);
      const byName = options.textMode === 'name';
      const shown = byName ? one.name : textOf(defaults, value);
      const label = byName || series.length === 1 ? '' : `<span class="of">${escaped(one.name)}</span>`;
      return `<div class="stat">${label}<b style="color:${colourOf(defaults, value)}">${escaped(shown)}</b></div>`;
    })
    .join('')}</div>`;

const bargauge = ({ fieldConfig: { defaults } }, series) => {
  const most = defaults.unit === 'percentunit' ? 1 : Math.max(...series.map(lastOf), Number.MIN_VALUE);
  const bars = series.map((one) => {
    const value = lastOf(one);
    const width = round(Math.max(0, Math.min(1, value / most)) * 100);
    const colour = colourOf(defaults, value);
    return `<tr><th>${escaped(one.name)}</th><td class="track"><i style="width:${width}%;background:${colour}"></i></td><td style="color:${colour}">${escaped(textOf(defaults, value))}</td></tr>`;
  });
  return `<table class="bars">${bars.join('')}</table>`;
};

/** Rows by their labels; what several queries say of the same labels stands in one row, as `merge` puts it. */
const rowsOf = (series, several) => {
  const rows = new Map();
  for (const one of series) {
    const { __name__: _, ...labels } = one.labels;
    const key = JSON.stringify(labels);
    const row = rows.get(key) ?? { labels, values: {} };
    row.values[several ? `Value #${one.refId}` : 'Value'] = lastOf(one);
    rows.set(key, row);
  }
  return [...rows.values()];
};

const table = ({ fieldConfig: { defaults }, transformations = [], targets }, series) => {
  const organize = transformations.find(({ id }) => id === 'organize')?.options ?? {};
  const rows = rowsOf(series, targets.length > 1);
  const seen = (part) => [...new Set(rows.flatMap((row) => Object.keys(row[part])))];
  const columns = [
    ...seen('labels').map((name) => ({ name, cell: (row) => `<td>${escaped(row.labels[name] ?? '')}</td>` })),
    ...seen('values').map((name) => ({
      name,
      cell: ({ values: { [name]: value } }) =>
        value === undefined
          ? '<td></td>'
          : `<td class="figure" style="color:${colourOf(defaults, value)}">${escaped(textOf(defaults, value))}</td>`,
      figure: true,
    })),
  ].filter(({ name }) => organize.excludeByName?.[name] !== true);
  const head = columns.map(
    ({ name, figure }) =>
      `<th${figure === true ? ' class="figure"' : ''}>${escaped(organize.renameByName?.[name] ?? name)}</th>`,
  );
  const body = rows.map((row) => `<tr>${columns.map(({ cell }) => cell(row)).join('')}</tr>`);
  return `<table class="rows"><tr>${head.join('')}</tr>${body.join('')}</table>`;
};

/** Round figures between which the axis lies. */
const ticksOf = (most) => {
  const rough = most / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= rough) ?? power;
  const count = Math.ceil(most / step - 1e-9);
  return Array.from({ length: count + 1 }, (_, index) => index * step);
};

const clock = (at) => new Date(at * 1_000).toISOString().slice(11, 19);
const LEFT = 76;
const BOTTOM = 18;

const legendOf = (panel, series) =>
  `<ul class="legend">${series
    .map((one, index) => `<li><i style="background:${colourOfSeries(panel, one, index)}"></i>${escaped(one.name)}</li>`)
    .join('')}</ul>`;

const frameOf = ({ from, to }, width, height) => {
  const x = (at) => round(LEFT + ((at - from) / (to - from)) * (width - LEFT - 6));
  const times = Array.from({ length: 5 }, (_, index) => from + ((index + 0.5) * (to - from)) / 5);
  const labels = times.map((at) => `<text x="${x(at)}" y="${height - 4}" class="time">${clock(at)}</text>`).join('');
  return { x, labels };
};

const timeseries = (panel, series, { span, step, marks, width, height }) => {
  const { defaults } = panel.fieldConfig;
  const stacked = defaults.custom?.stacking?.mode === 'normal';
  const bars = defaults.custom?.drawStyle === 'bars';
  const inner = height - BOTTOM - 6;
  const sums = new Map();
  const placed = series.map((one, index) => ({
    colour: colourOfSeries(panel, one, index),
    points: one.points.map(([at, value]) => {
      const below = stacked ? (sums.get(at) ?? 0) : 0;
      sums.set(at, below + value);
      return { at, below, top: below + value };
    }),
  }));
  const ticks = ticksOf(Math.max(...placed.flatMap(({ points }) => points.map(({ top }) => top))) || 1);
  const y = (value) => round(6 + inner * (1 - value / ticks.at(-1)));
  const { x, labels } = frameOf(span, width, height);
  const grid = ticks.map(
    (tick) =>
      `<line x1="${LEFT}" x2="${width - 6}" y1="${y(tick)}" y2="${y(tick)}" class="grid"/><text x="${LEFT - 6}" y="${y(tick) + 4}" class="axis">${escaped(textOf({ ...defaults, mappings: [] }, Number(tick.toPrecision(6))))}</text>`,
  );
  const thick = Math.max(2, ((width - LEFT) * step) / (span.to - span.from) - 1);
  const drawn = placed.map(({ colour, points }) => {
    if (bars)
      return points
        .filter(({ top, below }) => top > below)
        .map(
          ({ at, below, top }) =>
            `<rect x="${round(x(at) - thick / 2)}" y="${y(top)}" width="${round(thick)}" height="${round(y(below) - y(top))}" fill="${colour}" opacity="0.7"/>`,
        )
        .join('');
    if (points.length === 1)
      return `<circle cx="${x(points[0].at)}" cy="${y(points[0].top)}" r="2.5" fill="${colour}"/>`;
    // A gap is a gap: nothing is drawn over time in which nothing was known.
    const path = points.map(({ at, top }, index) => {
      const gap = index > 0 && at - points[index - 1].at > step * 1.5;
      return `${index === 0 || gap ? 'M' : 'L'}${x(at)} ${y(top)}`;
    });
    return `<path d="${path.join('')}" fill="none" stroke="${colour}" stroke-width="1.5"/>`;
  });
  const begun = marks.map((at) => `<line x1="${x(at)}" x2="${x(at)}" y1="6" y2="${height - BOTTOM}" class="mark"/>`);
  return `<svg viewBox="0 0 ${width} ${height}" width="${width}" height="${height}">${grid.join('')}${labels}${begun.join('')}${drawn.join('')}</svg>${legendOf(panel, series)}`;
};

const lanes = ({ fieldConfig: { defaults } }, series, { span, step, width, height }) => {
  const { x, labels } = frameOf(span, width, height);
  const each = (height - BOTTOM) / series.length;
  const rows = series.map((one, index) => {
    const top = round(index * each + each * 0.1);
    const tall = round(Math.min(each * 0.8, 40));
    const blocks = one.points.map(
      ([at, value]) =>
        `<rect x="${x(at)}" y="${top}" width="${round(Math.max(1, x(Math.min(span.to, at + step)) - x(at) + 0.5))}" height="${tall}" fill="${colourOf(defaults, value)}" opacity="0.8"/>`,
    );
    const said = `${one.name}: ${textOf(defaults, lastOf(one))}`;
    return `${blocks.join('')}<text x="${LEFT + 6}" y="${round(top + tall / 2 + 4)}" class="lane">${escaped(said)}</text>`;
  });
  return `<svg viewBox="0 0 ${width} ${height}" width="${width}" height="${height}">${rows.join('')}${labels}</svg>`;
};

const KINDS = { stat, bargauge, table, timeseries, 'state-timeline': lanes };

/** What stands inside of a panel's frame. `place` says when, how finely and how large. */
export const drawn = (panel, series, place) => {
  const draw = KINDS[panel.type];
  if (draw === undefined) throw new Error(`${panel.title}: there is no preview of panels of type ${panel.type}`);
  return series.length === 0 ? '<p class="none">No data</p>' : draw(panel, series, place);
};
