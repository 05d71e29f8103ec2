// Recovery overview: what is held and why comes first, since that is what somebody is called for at night.
import {
  CONSOLE,
  HELD,
  barGauge,
  dashboard,
  falling,
  plain,
  rising,
  stat,
  table,
  timeSeries,
  toReason,
  toRuns,
  words,
} from './panels.mjs';

const ended = (more) => `sum(increase(infra_recovery_attempts_total${more}[$__range]))`;

export default dashboard({
  uid: 'amends-overview',
  title: 'amends / Recovery overview',
  description: 'What amends holds back and why, what it recovered and how fast, and what waits for a human.',
  rows: [
    [
      'Held, and why',
      [
        stat({
          width: 3,
          title: 'Halt',
          description: 'Whether everything stands still: by file, API or command line.',
          queries: [{ expr: 'max(amends_halted)' }],
          steps: rising(0.5, 1),
          mappings: words('working', 'HALTED'),
          links: [{ title: 'Console', url: CONSOLE }],
        }),
        stat({
          width: 3,
          title: 'Storm',
          description: 'Components of which so many targets fail at once that nothing is done about any.',
          queries: [{ expr: 'sum(max by (component) (amends_storm_active))' }],
          steps: rising(0.5, 1),
          links: [{ title: 'Inbox', url: `${CONSOLE}/inbox` }],
        }),
        stat({
          width: 3,
          title: 'Disabled',
          description: 'Components that a human has disabled.',
          queries: [{ expr: 'sum(max by (component) (amends_component_disabled))' }],
          steps: rising(1, 3),
          links: [{ title: 'Components', url: `${CONSOLE}/components` }],
        }),
        stat({
          width: 3,
          title: 'Approvals waiting',
          description: 'Runs that a human is asked about. Each holds its target until it is answered or expires.',
          queries: [{ expr: 'max(amends_approvals_waiting)' }],
          steps: rising(1, 3),
          links: [{ title: 'Approvals', url: `${CONSOLE}/approvals` }],
        }),
        stat({
          width: 3,
          title: 'Inbox',
          description: 'Open entries: approvals, escalations, notes.',
          queries: [{ expr: 'max(amends_inbox_open)' }],
          steps: rising(1, 5),
          links: [{ title: 'Inbox', url: `${CONSOLE}/inbox` }],
        }),
        stat({
          width: 3,
          title: 'Breakers open',
          description: 'Strategies that failed so often in a row that they are only tried now and then.',
          queries: [{ expr: 'sum(max by (component, strategy) (amends_breaker_open))' }],
          steps: rising(1, 2),
          links: [{ title: 'Components', url: `${CONSOLE}/components` }],
        }),
        stat({
          width: 3,
          title: 'Components at rest',
          description: 'Components in a cooldown after an attempt.',
          queries: [{ expr: 'sum(max by (component) (infra_recovery_cooldown_active))' }],
          steps: rising(1, 5),
          links: [{ title: 'Components', url: `${CONSOLE}/components` }],
        }),
        stat({
          width: 3,
          title: 'Degraded modes',
          description: 'Named states in which the application does less.',
          queries: [{ expr: 'sum(max by (mode) (infra_degraded_mode_active))' }],
          steps: rising(1, 2),
          links: [{ title: 'Console', url: CONSOLE }],
        }),
        timeSeries({
          title: 'Held back, by reason',
          description: 'Decisions that a guard refused. The reason is the first guard that said no.',
          queries: [
            {
              expr: `sum by (reason) (increase(amends_decisions_total{reason=~"${HELD}"}[$__rate_interval])) > 0`,
              legend: '{{reason}}',
            },
          ],
          bars: true,
          links: [{ title: 'Decisions', url: `${CONSOLE}/decisions` }],
          to: toReason,
        }),
        table({
          title: 'Attempts left',
          description: 'What each component may still try in its windows. At 0 a human has it.',
          to: [{ title: 'The component in the console', url: `${CONSOLE}/components/\${__data.fields.component}` }],
          queries: [
            {
              expr: 'max by (component, window) (amends_attempts_limit) - max by (component, window) (amends_attempts_used)',
            },
          ],
          steps: falling(1, 2),
          rename: { Value: 'left' },
        }),
      ],
    ],
    [
      'Recoveries',
      [
        stat({
          width: 3,
          title: 'Recovered',
          description: 'Attempts that were verified, in the time range.',
          queries: [{ expr: ended('{result="success"}') }],
          decimals: 0,
          links: [{ title: 'Runs', url: `${CONSOLE}/runs?outcome=resolved` }],
        }),
        stat({
          width: 3,
          title: 'Failed',
          description: 'Attempts that ended without helping, in the time range.',
          queries: [{ expr: ended('{result="failure"}') }],
          decimals: 0,
          steps: rising(1, 5),
          links: [{ title: 'Runs', url: `${CONSOLE}/runs?outcome=unresolved` }],
        }),
        stat({
          width: 3,
          title: 'Recovery rate',
          description:
            'Verified attempts of those that ended with success or failure, in the time range. Read it beside the ineffective runs.',
          unit: 'percentunit',
          decimals: 1,
          queries: [{ expr: `${ended('{result="success"}')} / ${ended('{result=~"success|failure"}')}` }],
          steps: falling(0.8, 0.95),
        }),
        stat({
          width: 3,
          title: 'Ineffective',
          description: 'Verified runs whose alert did not stay quiet: counted as recovered first, failures after all.',
          queries: [{ expr: 'sum(increase(amends_runs_ineffective_total[$__range]))' }],
          decimals: 0,
          steps: rising(1, 3),
        }),
        stat({
          width: 3,
          title: 'Time, median',
          description: "From the alert's start to verified. What Prometheus waited before, its `for`, is not in it.",
          unit: 's',
          queries: [
            {
              expr: 'histogram_quantile(0.5, sum by (le) (increase(amends_recovery_from_alert_seconds_bucket[$__range])))',
            },
          ],
          steps: rising(60, 300),
        }),
        stat({
          width: 3,
          title: 'Time, 95%',
          description: "From the alert's start to verified; 95% were faster.",
          unit: 's',
          queries: [
            {
              expr: 'histogram_quantile(0.95, sum by (le) (increase(amends_recovery_from_alert_seconds_bucket[$__range])))',
            },
          ],
          steps: rising(300, 900),
        }),
        stat({
          width: 3,
          title: 'Escalations open',
          description: 'What a human has to see to: handed over by a rule, by a run that did not help, by a guard.',
          queries: [{ expr: 'sum(max by (component) (amends_escalations_open))' }],
          steps: rising(1, 5),
          links: [{ title: 'Inbox', url: `${CONSOLE}/inbox` }],
        }),
        stat({
          width: 3,
          title: 'Open episodes',
          description: 'Incidents that are not over.',
          queries: [{ expr: 'max(amends_episodes_open)' }],
          links: [{ title: 'Console', url: CONSOLE }],
        }),
        timeSeries({
          title: 'Attempts, by result',
          description: 'Attempts that ended. Withdrawn ones began nothing.',
          queries: [
            {
              expr: 'sum by (result) (increase(infra_recovery_attempts_total[$__rate_interval]))',
              legend: '{{result}}',
            },
          ],
          bars: true,
          links: [{ title: 'Runs', url: `${CONSOLE}/runs` }],
        }),
        timeSeries({
          title: 'Time to recovery',
          description: 'From alert to verified, and from the start of the run to verified.',
          unit: 's',
          queries: [
            {
              expr: 'histogram_quantile(0.95, sum by (le) (rate(amends_recovery_from_alert_seconds_bucket[$__rate_interval])))',
              legend: 'alert to verified, 95%',
            },
            {
              expr: 'histogram_quantile(0.95, sum by (le) (rate(amends_recovery_from_start_seconds_bucket[$__rate_interval])))',
              legend: 'start to verified, 95%',
            },
          ],
        }),
        barGauge({
          title: 'Recovery rate, by strategy',
          to: toRuns,
          description: 'Verified of ended attempts in the time range, strategies that were tried.',
          unit: 'percentunit',
          width: 12,
          queries: [
            {
              expr: 'sum by (component, strategy) (increase(infra_recovery_attempts_total{result="success"}[$__range])) / (sum by (component, strategy) (increase(infra_recovery_attempts_total{result=~"success|failure"}[$__range])) > 0)',
              legend: '{{component}} {{strategy}}',
            },
          ],
          steps: falling(0.8, 0.95),
        }),
        barGauge({
          title: 'Decisions, by reason',
          to: toReason,
          decimals: 0,
          description: 'Everything that was decided in the time range.',
          width: 12,
          queries: [{ expr: 'sum by (reason) (increase(amends_decisions_total[$__range])) > 0', legend: '{{reason}}' }],
          steps: plain,
        }),
      ],
    ],
  ],
});
