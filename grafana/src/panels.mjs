// What every dashboard of amends is made of: panels that read one way everywhere. Gauges describe the shared store, so
// replicas are folded by `max`; counters are each replica's own, so they are added up.
import { PanelBuilder as BarGauge } from '@grafana/grafana-foundation-sdk/bargauge';
import {
  BigValueColorMode,
  BigValueGraphMode,
  BigValueTextMode,
  GraphDrawStyle,
  LegendDisplayMode,
  LegendPlacement,
  ReduceDataOptionsBuilder,
  StackingConfigBuilder,
  StackingMode,
  TooltipDisplayMode,
  VizLegendOptionsBuilder,
  VizTooltipOptionsBuilder,
} from '@grafana/grafana-foundation-sdk/common';
import {
  AnnotationQueryBuilder,
  DashboardBuilder,
  DashboardCursorSync,
  DashboardLinkBuilder,
  DashboardLinkType,
  DatasourceVariableBuilder,
  QueryVariableBuilder,
  RowBuilder,
  TextBoxVariableBuilder,
  ThresholdsConfigBuilder,
  ThresholdsMode,
  VariableRefresh,
  VariableSort,
} from '@grafana/grafana-foundation-sdk/dashboard';
import { DataqueryBuilder, PromQueryFormat } from '@grafana/grafana-foundation-sdk/prometheus';
import { PanelBuilder as Stat } from '@grafana/grafana-foundation-sdk/stat';
import { PanelBuilder as StateTimeline } from '@grafana/grafana-foundation-sdk/statetimeline';
import { PanelBuilder as Table } from '@grafana/grafana-foundation-sdk/table';
import { PanelBuilder as TimeSeries } from '@grafana/grafana-foundation-sdk/timeseries';

const SOURCE = { type: 'prometheus', uid: '${datasource}' };

/** Colours by what a person has to do: nothing, look, act. */
const GOOD = 'green';
const LOOK = 'orange';
const ACT = 'red';
const PLAIN = 'blue';
/** To somebody else. */
const HANDED = 'purple';

/** From `worse` on it is orange, from `bad` on red. */
export const rising = (worse, bad) => [
  [null, GOOD],
  [worse, LOOK],
  [bad, ACT],
];
/** Red below `fair`, orange below `good`. */
export const falling = (fair, good) => [
  [null, ACT],
  [fair, LOOK],
  [good, GOOD],
];
export const plain = [[null, PLAIN]];

const thresholds = (steps) =>
  new ThresholdsConfigBuilder().mode(ThresholdsMode.Absolute).steps(steps.map(([value, color]) => ({ value, color })));

/** The value now: what was true an hour ago is no answer to a number that stands alone. */
const current = (index, { expr, legend = '' }) =>
  new DataqueryBuilder()
    .refId(String.fromCharCode(65 + index))
    .datasource(SOURCE)
    .expr(expr)
    .legendFormat(legend)
    .instant();
const ranged = (index, { expr, legend = '' }) =>
  new DataqueryBuilder()
    .refId(String.fromCharCode(65 + index))
    .datasource(SOURCE)
    .expr(expr)
    .legendFormat(legend)
    .range();
const instant = (index, { expr, legend = '' }) =>
  new DataqueryBuilder()
    .refId(String.fromCharCode(65 + index))
    .datasource(SOURCE)
    .expr(expr)
    .legendFormat(legend)
    .format(PromQueryFormat.Table)
    .instant();

/** What a word in a legend means for a person, wherever it stands: a success is never red. */
const WORDS = {
  'resolved|success|succeeded|passed|sent|accepted|acted': GOOD,
  'unresolved|failure|failed|refused|invalid|dead': ACT,
  'stuck|unknown|overloaded|held|firing': LOOK,
  'withdrawn|shadow': PLAIN,
  'unauthorized|escalated': HANDED,
};
const coloured = (panel) => {
  for (const [words, colour] of Object.entries(WORDS))
    panel.overrideByRegexp(`/(^|\\s)(${words})$/`, [{ id: 'color', value: { mode: 'fixed', fixedColor: colour } }]);
  return panel;
};

const openLink = ({ title, url }) =>
  new DashboardLinkBuilder(title).type(DashboardLinkType.Link).url(url).targetBlank(true);

const common = (
  panel,
  { title, description, unit = 'short', decimals, steps = plain, width, height, links = [], to = [] },
) => {
  if (decimals !== undefined) panel.decimals(decimals);
  if (to.length > 0) panel.dataLinks(to.map(openLink));
  return panel
    .title(title)
    .description(description)
    .datasource(SOURCE)
    .unit(unit)
    .thresholds(thresholds(steps))
    .links(links.map(openLink))
    .span(width)
    .height(height);
};

/** One number, or one a series, in the colour of its threshold; `byName` shows what it is called instead. */
export const stat = ({ width = 4, height = 4, queries, mappings = [], byName = false, ...rest }) => {
  const panel = common(new Stat(), { width, height, ...rest })
    .targets(queries.map((query, index) => current(index, query)))
    .textMode(byName ? BigValueTextMode.Name : BigValueTextMode.Auto)
    .colorMode(BigValueColorMode.Value)
    .graphMode(BigValueGraphMode.None)
    .reduceOptions(new ReduceDataOptionsBuilder().calcs(['lastNotNull']))
    .mappings(mappings);
  return panel;
};

/** Lines over time; `bars` stacks what adds up to a whole. */
export const timeSeries = ({ width = 12, height = 8, queries, bars = false, min = 0, ...rest }) => {
  const panel = coloured(common(new TimeSeries(), { width, height, ...rest }))
    .targets(queries.map((query, index) => ranged(index, query)))
    .min(min)
    .legend(
      new VizLegendOptionsBuilder()
        .displayMode(LegendDisplayMode.List)
        .placement(LegendPlacement.Bottom)
        .showLegend(true),
    )
    .tooltip(new VizTooltipOptionsBuilder().mode(TooltipDisplayMode.Multi));
  return bars
    ? panel
        .drawStyle(GraphDrawStyle.Bars)
        .fillOpacity(70)
        .stacking(new StackingConfigBuilder().mode(StackingMode.Normal).group('A'))
    : panel.fillOpacity(8);
};

/** A row a series, the value now. */
export const table = ({ width = 12, height = 8, queries, hide = [], rename = {}, ...rest }) =>
  common(new Table(), { width, height, ...rest })
    .targets(queries.map((query, index) => instant(index, query)))
    .transformations([
      ...(queries.length > 1 ? [{ id: 'merge', options: {} }] : []),
      {
        id: 'organize',
        options: {
          excludeByName: Object.fromEntries(['Time', ...hide].map((name) => [name, true])),
          renameByName: rename,
        },
      },
    ]);

export const barGauge = ({ width = 8, height = 8, queries, ...rest }) =>
  common(new BarGauge(), { width, height, ...rest })
    .targets(queries.map((query, index) => current(index, query)))
    .reduceOptions(new ReduceDataOptionsBuilder().calcs(['lastNotNull']));

/** States over time, a lane a series. */
export const lanes = ({ width = 12, height = 8, queries, mappings, ...rest }) =>
  common(new StateTimeline(), { width, height, ...rest })
    .targets(queries.map((query, index) => ranged(index, query)))
    .mappings(mappings);

const row = (title) => new RowBuilder(title);

/** Words for 0 and 1. */
export const words = (zero, one, colors = [GOOD, ACT]) => [
  {
    type: 'value',
    options: {
      0: { text: zero, color: colors[0], index: 0 },
      1: { text: one, color: colors[1], index: 1 },
    },
  },
];

/** A variable over the values that a label has. */
export const labelVariable = ({ name, label, metric, of = name }) =>
  new QueryVariableBuilder(name)
    .label(label)
    .datasource(SOURCE)
    .query({ query: `label_values(${metric}, ${of})`, refId: `amends-${name}` })
    .refresh(VariableRefresh.OnTimeRangeChanged)
    // A builder's, not an array's.
    // oxlint-disable-next-line unicorn/no-array-sort
    .sort(VariableSort.AlphabeticalAsc)
    .multi(true)
    .includeAll(true)
    .allValue('.+');

/** Reasons of decisions that a guard gave: the first of them that said no. */
export const HELD =
  'halted|disabled|maintenance|clock|stale|settling|silenced|unconfirmed|storm|unhealthy|breaker_open|busy|concurrency|cooldown|attempts_used_up|budget|undecidable';

/** Where people look at amends and act: panels lead to its pages. */
export const CONSOLE = '${amends}/console';

const field = (label) => `\${__field.labels.${label}}`;
/** From what was clicked to what amends knows of it, by the labels of its series. */
export const toComponent = [
  { title: 'The component in the console', url: `${CONSOLE}/components/${field('component')}` },
];
export const toRuns = [
  {
    title: 'Its runs in the console',
    url: `${CONSOLE}/runs?component=${field('component')}&strategy=${field('strategy')}`,
  },
];
export const toReason = [
  { title: 'These decisions in the console', url: `${CONSOLE}/decisions?reason=${field('reason')}` },
];
export const toRule = [{ title: 'Its decisions in the console', url: `${CONSOLE}/decisions?rule=${field('rule')}` }];

const BOARDS = [
  ['amends-overview', 'Recovery overview'],
  ['amends-component', 'Component'],
  ['amends-rules', 'Rules'],
  ['amends-itself', 'amends itself'],
];

/** A dashboard from its rows, with what all of them share: data source, links to the others, a mark where runs began. */
export const dashboard = ({ uid, title, description, variables = [], from = 'now-24h', rows }) => {
  const board = new DashboardBuilder(title)
    .uid(uid)
    .description(description)
    .tags(['amends'])
    .timezone('browser')
    .tooltip(DashboardCursorSync.Crosshair)
    .refresh('30s')
    .time({ from, to: 'now' })
    .withVariable(
      new DatasourceVariableBuilder('datasource')
        .label('Data source')
        .type('prometheus')
        .current({ selected: true, text: 'Prometheus', value: 'prometheus' }),
    )
    .withVariable(
      new TextBoxVariableBuilder('amends')
        .label('amends')
        .description('Where people reach amends; the links of panels go there.')
        .defaultValue('http://127.0.0.1:9193'),
    )
    .annotation(
      new AnnotationQueryBuilder()
        .name('Runs')
        .datasource(SOURCE)
        .enable(true)
        .iconColor(PLAIN)
        .expr('sum by (component, strategy) (increase(amends_runs_started_total[1m])) > 0'),
    );
  for (const variable of variables) board.withVariable(variable);
  for (const [other, name] of BOARDS) {
    if (other !== uid)
      board.link(
        new DashboardLinkBuilder(name).type(DashboardLinkType.Link).url(`/d/${other}`).keepTime(true).includeVars(true),
      );
  }
  for (const [heading, panels] of rows) {
    board.withRow(row(heading));
    for (const panel of panels) board.withPanel(panel);
  }
  const built = board.build();
  // What the builder does not know of: how a mark is called, and how finely it is asked for.
  const list = built.annotations.list.map((annotation) => ({
    ...annotation,
    step: '60s',
    titleFormat: 'A run began',
    textFormat: '{{component}} {{strategy}}',
    tagKeys: 'component,strategy',
  }));
  return { ...built, annotations: { list }, panels: built.panels.map((panel, index) => ({ ...panel, id: index + 1 })) };
};
