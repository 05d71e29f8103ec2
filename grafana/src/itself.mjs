// amends itself: does it hear, does it keep up, does it tell.
import { CONSOLE, dashboard, rising, stat, table, timeSeries, words } from './panels.mjs';

export default dashboard({
  uid: 'amends-itself',
  title: 'amends / amends itself',
  description: 'Deliveries, latency, queue, outbox, store and process.',
  rows: [
    [
      'Does it hear',
      [
        stat({
          title: 'Replicas up',
          description: 'Instances that answer the scrape.',
          queries: [{ expr: 'sum(up{job="amends"})' }],
          steps: [
            [null, 'red'],
            [1, 'green'],
          ],
        }),
        stat({
          title: 'Last delivery',
          description: 'How long ago Alertmanager last posted. A Watchdog alert that is routed here keeps this small.',
          unit: 's',
          queries: [{ expr: 'time() - max(amends_last_delivery_timestamp_seconds)' }],
          steps: rising(900, 3600),
        }),
        stat({
          title: 'Configuration',
          description: 'Whether the last reload was taken. If not, the last good one is in force.',
          queries: [{ expr: 'min(amends_config_last_reload_successful)' }],
          mappings: words('refused', 'taken', ['red', 'green']),
          links: [{ title: 'Rules that are loaded', url: `${CONSOLE}/rules` }],
          steps: [
            [null, 'red'],
            [1, 'green'],
          ],
        }),
        stat({
          title: 'Store',
          description: 'Whether it answered the last scrape.',
          queries: [{ expr: 'min(amends_store_up)' }],
          mappings: words('down', 'up', ['red', 'green']),
          steps: [
            [null, 'red'],
            [1, 'green'],
          ],
        }),
        stat({
          title: 'Version',
          description: 'Which amends runs.',
          queries: [{ expr: 'max by (version) (amends_build_info)', legend: '{{version}}' }],
          byName: true,
        }),
        stat({
          title: 'Outbox',
          description: 'Notifications that wait to be sent.',
          queries: [{ expr: 'max(amends_outbox_depth)' }],
          steps: rising(1, 20),
          links: [{ title: 'Inbox', url: `${CONSOLE}/inbox` }],
        }),
        timeSeries({
          title: 'Deliveries',
          description: 'Webhook posts by what became of them.',
          unit: 'reqps',
          queries: [
            { expr: 'sum by (result) (rate(amends_deliveries_total[$__rate_interval]))', legend: '{{result}}' },
          ],
          links: [{ title: 'Decisions', url: `${CONSOLE}/decisions` }],
        }),
        timeSeries({
          title: 'Alerts',
          description: 'Alert entries received.',
          unit: 'cps',
          queries: [{ expr: 'sum by (status) (rate(amends_alerts_total[$__rate_interval]))', legend: '{{status}}' }],
        }),
      ],
    ],
    [
      'Does it keep up',
      [
        timeSeries({
          title: 'Acknowledgement',
          description: 'From the arrival of a post to its 202, which comes after the commit.',
          unit: 's',
          queries: [
            {
              expr: 'histogram_quantile(0.99, sum by (le) (rate(amends_delivery_duration_seconds_bucket[$__rate_interval])))',
              legend: '99%',
            },
            {
              expr: 'histogram_quantile(0.5, sum by (le) (rate(amends_delivery_duration_seconds_bucket[$__rate_interval])))',
              legend: 'median',
            },
          ],
        }),
        timeSeries({
          title: 'Received to decided',
          description: 'How long alerts wait for their decision.',
          unit: 's',
          queries: [
            {
              expr: 'histogram_quantile(0.99, sum by (le) (rate(amends_decision_delay_seconds_bucket[$__rate_interval])))',
              legend: '99%',
            },
            {
              expr: 'histogram_quantile(0.5, sum by (le) (rate(amends_decision_delay_seconds_bucket[$__rate_interval])))',
              legend: 'median',
            },
          ],
        }),
        timeSeries({
          title: 'Admission',
          description: 'One transaction in which decisions pass the guards or fail them.',
          unit: 's',
          queries: [
            {
              expr: 'histogram_quantile(0.99, sum by (le) (rate(amends_admission_duration_seconds_bucket[$__rate_interval])))',
              legend: '99%',
            },
            {
              expr: 'histogram_quantile(0.5, sum by (le) (rate(amends_admission_duration_seconds_bucket[$__rate_interval])))',
              legend: 'median',
            },
          ],
        }),
        timeSeries({
          title: 'Verification',
          description: 'How long verifications of runs take.',
          unit: 's',
          queries: [
            {
              expr: 'histogram_quantile(0.95, sum by (le) (rate(amends_verification_duration_seconds_bucket[$__rate_interval])))',
              legend: '95%',
            },
            {
              expr: 'histogram_quantile(0.5, sum by (le) (rate(amends_verification_duration_seconds_bucket[$__rate_interval])))',
              legend: 'median',
            },
          ],
        }),
        timeSeries({
          title: 'Undecided alerts',
          description: 'Received and not yet decided.',
          queries: [{ expr: 'max(amends_alerts_undecided)', legend: 'undecided' }],
          steps: rising(100, 1000),
        }),
        timeSeries({
          title: 'Oldest undecided alert',
          description: 'How long it has waited.',
          unit: 's',
          queries: [
            {
              expr: '(time() - max(amends_oldest_undecided_timestamp_seconds)) * (max(amends_oldest_undecided_timestamp_seconds) > bool 0)',
              legend: 'waits',
            },
          ],
        }),
        timeSeries({
          title: 'Oldest notification',
          description: 'How long the oldest one has waited to be sent; 0 when none waits.',
          unit: 's',
          queries: [
            {
              expr: '(time() - max(amends_outbox_oldest_timestamp_seconds)) * (max(amends_outbox_oldest_timestamp_seconds) > bool 0)',
              legend: 'waits',
            },
          ],
          steps: rising(60, 600),
        }),
        timeSeries({
          title: 'Notifications',
          description: 'Tries to tell a human, by receiver and result. Dead: given up after a day.',
          queries: [
            {
              expr: 'sum by (receiver, result) (increase(amends_notifications_total[$__rate_interval]))',
              legend: '{{receiver}} {{result}}',
            },
          ],
          bars: true,
        }),
        timeSeries({
          title: 'Steps',
          description: 'Steps that ended, by result. Unknown: it may or may not have happened.',
          unit: 'cps',
          queries: [{ expr: 'sum by (result) (rate(amends_steps_total[$__rate_interval]))', legend: '{{result}}' }],
          links: [{ title: 'Runs', url: `${CONSOLE}/runs` }],
        }),
        timeSeries({
          title: 'Duration of steps, 95%',
          description: 'By action.',
          unit: 's',
          queries: [
            {
              expr: 'histogram_quantile(0.95, sum by (action, le) (rate(amends_step_duration_seconds_bucket[$__rate_interval])))',
              legend: '{{action}}',
            },
          ],
        }),
        timeSeries({
          title: 'Requests',
          width: 24,
          description: 'By route and class of status.',
          unit: 'reqps',
          queries: [
            {
              expr: 'sum by (route, status) (rate(amends_http_requests_total[$__rate_interval]))',
              legend: '{{route}} {{status}}',
            },
          ],
        }),
      ],
    ],
    [
      'The store and the process',
      [
        timeSeries({
          title: 'Commits',
          description: 'How long commits of the store take: a slow disk shows here first.',
          unit: 's',
          queries: [
            {
              expr: 'histogram_quantile(0.99, sum by (le) (rate(amends_store_commit_duration_seconds_bucket[$__rate_interval])))',
              legend: '99%',
            },
            {
              expr: 'histogram_quantile(0.5, sum by (le) (rate(amends_store_commit_duration_seconds_bucket[$__rate_interval])))',
              legend: 'median',
            },
          ],
        }),
        timeSeries({
          title: 'Size of the store',
          description: 'Database and its WAL.',
          unit: 'bytes',
          queries: [{ expr: 'max(amends_store_size_bytes)', legend: 'store' }],
        }),
        timeSeries({
          title: 'Processor',
          width: 8,
          description: 'Cores in use.',
          queries: [
            { expr: 'rate(process_cpu_seconds_total{job="amends"}[$__rate_interval])', legend: '{{instance}}' },
          ],
        }),
        timeSeries({
          title: 'Memory',
          width: 8,
          description: 'Resident memory, and the used part of the heap.',
          unit: 'bytes',
          queries: [
            { expr: 'process_resident_memory_bytes{job="amends"}', legend: '{{instance}} resident' },
            { expr: 'nodejs_heap_used_bytes{job="amends"}', legend: '{{instance}} heap' },
          ],
        }),
        timeSeries({
          title: 'Event loop',
          width: 8,
          description: 'How busy the thread that answers was between two scrapes.',
          unit: 'percentunit',
          queries: [{ expr: 'nodejs_eventloop_utilization_ratio{job="amends"}', legend: '{{instance}}' }],
          steps: rising(0.7, 0.95),
        }),
        table({
          title: 'What is loaded',
          description:
            'Digests of configuration and catalog and the git commit of their folder, by replica. They differ while a reload is under way.',
          queries: [{ expr: 'max by (instance, config, catalog, revision) (amends_config_info)' }],
          hide: ['Value'],
          width: 24,
          height: 5,
        }),
      ],
    ],
  ],
});
