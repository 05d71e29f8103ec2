// One component or a few: how much room its caps leave, what its strategies came to, what its probes see.
import {
  CONSOLE,
  barGauge,
  dashboard,
  falling,
  labelVariable,
  lanes,
  plain,
  rising,
  stat,
  timeSeries,
  toComponent,
  toRuns,
  words,
} from './panels.mjs';

const C = 'component=~"$component"';

export default dashboard({
  uid: 'amends-component',
  title: 'amends / Component',
  description: 'Attempts against the cap, cooldowns, strategies and their success, degraded modes, probes.',
  variables: [labelVariable({ name: 'component', label: 'Component', metric: 'amends_attempts_limit' })],
  rows: [
    [
      'Room to act',
      [
        stat({
          title: 'Attempts left',
          to: toComponent,
          description: 'In the window that is nearest to its cap.',
          queries: [
            {
              expr: `min by (component) (max by (component, window) (amends_attempts_limit{${C}}) - max by (component, window) (amends_attempts_used{${C}}))`,
              legend: '{{component}}',
            },
          ],
          steps: falling(1, 2),
          width: 5,
        }),
        stat({
          title: 'Cooldown ends in',
          to: toComponent,
          description: 'How long the component still rests; 0 when it does not.',
          unit: 's',
          queries: [
            {
              expr: `clamp_min(max by (component) (amends_cooldown_end_timestamp_seconds{${C}}) - time(), 0)`,
              legend: '{{component}}',
            },
          ],
          steps: rising(1, 3600),
          width: 5,
        }),
        stat({
          title: 'Enabled',
          description: 'Or disabled: by a human, for a while or until it is enabled again.',
          queries: [{ expr: `max by (component) (amends_component_disabled{${C}})`, legend: '{{component}}' }],
          mappings: words('enabled', 'DISABLED'),
          steps: rising(0.5, 1),
          width: 5,
          links: [{ title: 'Components', url: `${CONSOLE}/components` }],
          to: toComponent,
        }),
        stat({
          title: 'Breakers open',
          to: toComponent,
          description: 'Strategies that failed so often in a row that they are only tried now and then.',
          queries: [
            {
              expr: `sum by (component) (max by (component, strategy) (amends_breaker_open{${C}}))`,
              legend: '{{component}}',
            },
          ],
          steps: rising(1, 2),
          width: 5,
        }),
        stat({
          title: 'Escalations open',
          description: 'What a human has to see to: handed over by a rule, by a run that did not help, by a guard.',
          to: toComponent,
          queries: [
            { expr: `max by (component) (amends_escalations_open{${C},component!="*"})`, legend: '{{component}}' },
          ],
          steps: rising(1, 5),
          width: 4,
          links: [{ title: 'Inbox', url: `${CONSOLE}/inbox` }],
        }),
        timeSeries({
          title: 'Attempts against the cap',
          description: 'Attempts in each rolling window, and the most that are allowed.',
          queries: [
            {
              expr: `max by (component, window) (amends_attempts_used{${C}})`,
              legend: '{{component}} used in {{window}}',
            },
            {
              expr: `max by (component, window) (amends_attempts_limit{${C}})`,
              legend: '{{component}} cap of {{window}}',
            },
          ],
        }),
        lanes({
          title: 'At rest',
          description: 'When the component was in a cooldown.',
          queries: [{ expr: `max by (component) (infra_recovery_cooldown_active{${C}})`, legend: '{{component}}' }],
          mappings: words('free', 'rests', ['green', 'orange']),
        }),
      ],
    ],
    [
      'Strategies',
      [
        barGauge({
          title: 'Success, by strategy',
          to: toRuns,
          description: 'Verified of ended attempts in the time range.',
          unit: 'percentunit',
          width: 12,
          queries: [
            {
              expr: `sum by (component, strategy) (increase(infra_recovery_attempts_total{${C},result="success"}[$__range])) / (sum by (component, strategy) (increase(infra_recovery_attempts_total{${C},result=~"success|failure"}[$__range])) > 0)`,
              legend: '{{component}} {{strategy}}',
            },
          ],
          steps: falling(0.8, 0.95),
        }),
        timeSeries({
          title: 'Runs, by outcome',
          description: 'Runs that ended. A stuck one keeps its target until a human closes its inbox entry.',
          queries: [
            {
              expr: `sum by (outcome) (increase(amends_runs_total{${C}}[$__rate_interval]))`,
              legend: '{{outcome}}',
            },
          ],
          bars: true,
          links: [{ title: 'Runs', url: `${CONSOLE}/runs` }],
        }),
        timeSeries({
          title: 'Duration of runs, 95%',
          to: toRuns,
          description: 'From the start of a run to its end.',
          unit: 's',
          queries: [
            {
              expr: `histogram_quantile(0.95, sum by (component, strategy, le) (rate(infra_recovery_duration_seconds_bucket{${C}}[$__rate_interval])))`,
              legend: '{{component}} {{strategy}}',
            },
          ],
        }),
        timeSeries({
          title: 'Ineffective runs',
          to: toRuns,
          description: 'Verified, but the alert did not stay quiet.',
          queries: [
            {
              expr: `sum by (component, strategy) (increase(amends_runs_ineffective_total{${C}}[$__rate_interval]))`,
              legend: '{{component}} {{strategy}}',
            },
          ],
          bars: true,
          steps: rising(1, 3),
        }),
      ],
    ],
    [
      'What is seen of it',
      [
        lanes({
          title: 'Probes',
          to: toComponent,
          description: 'Whether the last run of each probe found everything well.',
          queries: [
            {
              expr: `min by (probe, component, target) (amends_probe_success{${C}})`,
              legend: '{{component}} {{target}} {{probe}}',
            },
          ],
          mappings: words('broken', 'well', ['red', 'green']),
        }),
        timeSeries({
          title: 'Duration of probes',
          to: toComponent,
          description: 'How long the last run of each probe took.',
          unit: 's',
          queries: [
            {
              expr: `max by (probe, component, target) (amends_probe_duration_seconds{${C}})`,
              legend: '{{component}} {{target}} {{probe}}',
            },
          ],
        }),
        lanes({
          title: 'Degraded modes',
          description: 'Named states in which the application does less, of all components.',
          queries: [{ expr: 'max by (mode) (infra_degraded_mode_active)', legend: '{{mode}}' }],
          mappings: words('off', 'on', ['green', 'orange']),
          steps: plain,
          width: 24,
          links: [{ title: 'Console', url: CONSOLE }],
        }),
      ],
    ],
  ],
});
