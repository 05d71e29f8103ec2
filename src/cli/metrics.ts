// `amends metrics`: how recoveries went, for people; with --output=json for programs; with --output=text as Prometheus
// scrapes it.
import { formatDuration } from '../base/duration.ts';
import { isObject } from '../base/json.ts';
import { percent } from '../replay/evidence.ts';
import type { Answer } from './terminal/client.ts';
import type { Command, Invocation } from './terminal/command.ts';
import { FINE } from './terminal/edge.ts';
import { componentOption, wholeOption } from './terminal/acting.ts';
import { lines, table } from './terminal/text.ts';

const MOST = 10_000;
const WEEK_H = 168;
const MOST_DAYS = 90;

export const command: Command = {
  summary: 'How recoveries went: how many, how often they helped, how fast, and what holds them back now.',
  examples: [
    'amends metrics',
    'amends metrics --hours=24 --component=cache',
    'amends metrics --output=json',
    'amends metrics --output=text | grep infra_recovery',
  ],
  define: (metrics, act) =>
    void metrics
      .option('--hours <n>', 'how far back', String(WEEK_H))
      .option('--component <component>', 'only of this component')
      .action(act(show)),
};

const show = async (invocation: Invocation): Promise<number> => {
  const { client, edge, output } = invocation;
  const hours = wholeOption(invocation, 'hours', 24 * MOST_DAYS);
  if (output === 'text') {
    edge.out((await client.text('/metrics')).trimEnd());
    return FINE;
  }
  const component = await componentOption(invocation);
  const [summary, daily, components, modes] = await Promise.all([
    client.get('/api/v1/metrics/runs-summary', { since: `${hours}h`, component }),
    client.get('/api/v1/metrics/usage-daily', { days: Math.min(MOST_DAYS, Math.ceil(hours / 24)) }),
    client.list('/api/v1/components', {}, MOST),
    client.list('/api/v1/degraded-modes', {}, MOST),
  ]);
  const shown = components.filter(({ name }) => component === undefined || name === component);
  const degraded = modes.filter(({ active }) => active === true);
  edge.out(
    output === 'json'
      ? JSON.stringify({ hours, runs: summary, days: daily['items'], components: shown, degradedModes: degraded })
      : screen(hours, summary, objects(daily['items']), shown, degraded),
  );
  return FINE;
};

const objects = (value: unknown): readonly Answer[] => (Array.isArray(value) ? value.filter(isObject) : []);
const share = (value: unknown): string => (typeof value === 'number' ? percent(value) : '-');
const took = (times: unknown, which: string): string => {
  const ms = isObject(times) ? times[which] : undefined;
  return typeof ms === 'number' ? formatDuration(ms) : '-';
};

const screen = (
  hours: number,
  summary: Answer,
  days: readonly Answer[],
  components: readonly Answer[],
  degraded: readonly Answer[],
): string =>
  [
    lines([
      [`runs in ${hours} h`, summary['total']],
      ['helped', `${String(summary['resolved'])} (${share(summary['successShare'])} of those tried to their end)`],
      [
        'alert to verified',
        `median ${took(summary['fromAlertMs'], 'median')}, 95th percentile ${took(summary['fromAlertMs'], 'p95')}`,
      ],
      [
        'start to verified',
        `median ${took(summary['fromStartMs'], 'median')}, 95th percentile ${took(summary['fromStartMs'], 'p95')}`,
      ],
      ['in cooldown', components.filter(({ cooldownUntil }) => cooldownUntil !== null).map(({ name }) => name)],
      ['degraded', degraded.map(({ name }) => name)],
    ]),
    '',
    table(
      ['component', 'strategy', 'runs', 'helped', 'failed', 'withdrawn', 'share', 'median', 'p95'],
      objects(summary['byStrategy']).map((one) => [
        one['component'],
        one['strategy'],
        one['total'],
        one['resolved'],
        Number(one['unresolved']) + Number(one['stuck']),
        one['withdrawn'],
        share(one['successShare']),
        took(one['fromStartMs'], 'median'),
        took(one['fromStartMs'], 'p95'),
      ]),
      'no runs',
    ),
    '',
    table(
      ['day (UTC)', 'alerts', 'incidents', 'decisions', 'runs', 'helped', 'for people', 'messages'],
      days.map((day) => {
        const runs = isObject(day['runs']) ? day['runs'] : {};
        return [
          day['day'],
          day['alerts'],
          day['episodes'],
          day['decisions'],
          runs['total'],
          runs['resolved'],
          day['inbox'],
          day['notifications'],
        ];
      }),
    ),
  ].join('\n');
