// Rules: which of them acted, which were held back, and what those in shadow mode would have done.
import {
  CONSOLE,
  HELD,
  barGauge,
  dashboard,
  labelVariable,
  plain,
  rising,
  stat,
  table,
  timeSeries,
  toReason,
  toRule,
  toRuns,
} from './panels.mjs';

const R = 'rule=~"$rule"';
const VERDICTS = ['acted', 'held', 'shadow', 'escalated'];

export default dashboard({
  uid: 'amends-rules',
  title: 'amends / Rules',
  description: 'What each rule did: acted, held back by a guard, would have acted in shadow, handed to a human.',
  from: 'now-7d',
  variables: [labelVariable({ name: 'rule', label: 'Rule', metric: 'amends_rule_decisions_total' })],
  rows: [
    [
      'Rules',
      [
        stat({
          title: 'Acted',
          description: 'Decisions that began a run or asked for its approval, in the time range.',
          queries: [{ expr: `sum(increase(amends_rule_decisions_total{${R},verdict="acted"}[$__range]))` }],
          decimals: 0,
          width: 6,
        }),
        stat({
          title: 'Held',
          description: 'A guard refused.',
          queries: [{ expr: `sum(increase(amends_rule_decisions_total{${R},verdict="held"}[$__range]))` }],
          decimals: 0,
          width: 6,
        }),
        stat({
          title: 'Would have acted',
          description: 'In shadow mode: recorded against a virtual ledger, nothing was done.',
          queries: [{ expr: `sum(increase(amends_rule_decisions_total{${R},verdict="shadow"}[$__range]))` }],
          decimals: 0,
          width: 6,
        }),
        stat({
          title: 'Demoted rules',
          description: 'Ineffective twice in a day: they ask a human until they have earned it again.',
          queries: [{ expr: `sum(max by (rule) (amends_rule_demoted{${R}}))` }],
          steps: rising(1, 2),
          width: 6,
          links: [{ title: 'Rules', url: `${CONSOLE}/rules` }],
        }),
        timeSeries({
          title: 'Decisions of rules, by verdict',
          description: 'Which way the decisions of the chosen rules went.',
          queries: [
            {
              expr: `sum by (verdict) (increase(amends_rule_decisions_total{${R}}[$__rate_interval]))`,
              legend: '{{verdict}}',
            },
          ],
          bars: true,
          links: [{ title: 'Decisions', url: `${CONSOLE}/decisions` }],
        }),
        barGauge({
          title: 'Would have acted, by rule',
          to: toRule,
          decimals: 0,
          description: 'What to look at before a rule leaves shadow mode (amends promote).',
          width: 12,
          queries: [
            {
              expr: `sum by (rule) (increase(amends_rule_decisions_total{${R},verdict="shadow"}[$__range])) > 0 or sum by (rule) (amends_rule_decisions_total{${R},verdict="shadow"}) * 0`,
              legend: '{{rule}}',
            },
          ],
        }),
        table({
          title: 'Every rule',
          description: 'Decisions in the time range, by what came of them.',
          width: 24,
          height: 10,
          steps: plain,
          decimals: 0,
          queries: VERDICTS.map((verdict) => ({
            expr: `sum by (rule) (increase(amends_rule_decisions_total{${R},verdict="${verdict}"}[$__range]))`,
          })),
          rename: Object.fromEntries(
            VERDICTS.map((verdict, index) => [`Value #${String.fromCharCode(65 + index)}`, verdict]),
          ),
        }),
        timeSeries({
          title: 'Suppressed, by reason',
          to: toReason,
          description: 'Decisions that a guard refused, of all rules. The reason is the first guard that said no.',
          queries: [
            {
              expr: `sum by (reason) (increase(amends_decisions_total{reason=~"${HELD}"}[$__rate_interval])) > 0`,
              legend: '{{reason}}',
            },
          ],
          bars: true,
          links: [{ title: 'Decisions', url: `${CONSOLE}/decisions` }],
        }),
        timeSeries({
          title: 'Ineffective runs',
          to: toRuns,
          description: 'By component and strategy: verified, but the alert did not stay quiet.',
          queries: [
            {
              expr: 'sum by (component, strategy) (increase(amends_runs_ineffective_total[$__rate_interval]))',
              legend: '{{component}} {{strategy}}',
            },
          ],
          bars: true,
          links: [{ title: 'Runs', url: `${CONSOLE}/runs?outcome=unresolved` }],
        }),
        timeSeries({
          title: 'No rule answered',
          to: toReason,
          width: 24,
          description: 'Alerts that no rule matched, that named nothing declared, or whose facts could not be had.',
          queries: [
            {
              expr: 'sum by (reason) (increase(amends_decisions_total{reason=~"no_match|invalid|undecidable"}[$__rate_interval]))',
              legend: '{{reason}}',
            },
          ],
          bars: true,
          links: [{ title: 'Without a rule', url: `${CONSOLE}/decisions?reason=no_match` }],
        }),
      ],
    ],
  ],
});
