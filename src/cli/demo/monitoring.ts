// How the demo's alerts come about: through a real Prometheus and Alertmanager where they are installed, else by posting
// the same bodies ourselves.
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse, stringify } from 'yaml';
import type { Clock } from '../../base/clock.ts';
import { rfc3339 } from '../../base/clock.ts';
import { isObject } from '../../base/json.ts';
import type { Processes } from './processes.ts';
import { answers, freePort, until } from './processes.ts';

export type AlertLabels = {
  readonly alertname: string;
  readonly component: string;
  readonly target: string;
  readonly severity: string;
};

export type Monitoring = {
  readonly via: 'prometheus' | 'direct';
  /** What to tell people of it. */
  readonly about: readonly string[];
  /** Called once something is broken, and once it works again; Prometheus needs no telling. */
  fire(labels: AlertLabels): Promise<void>;
  resolve(labels: AlertLabels): Promise<void>;
};

export type MonitoringPlan = {
  readonly clock: Clock;
  readonly processes: Processes;
  readonly signal: AbortSignal;
  readonly folder: string;
  /** Shipped alert rules. */
  readonly alertsFolder: string;
  /** `127.0.0.1:<port>` of amends. */
  readonly amends: string;
  readonly ports: { readonly prometheus: number; readonly alertmanager: number };
};

const UP_WITHIN_MS = 20_000;
const SHORT = '1s';

export const choosePorts = async (): Promise<MonitoringPlan['ports']> => ({
  prometheus: await freePort(),
  alertmanager: await freePort(),
});

/** Undefined when one of the two programs is missing. */
export const startPrometheus = async (plan: MonitoringPlan): Promise<Monitoring | undefined> => {
  const at = writeMonitoringFiles(plan);
  const alertmanager = await startAlertmanager(plan, at);
  if (alertmanager === undefined) return undefined;
  const prometheusUrl = `http://127.0.0.1:${plan.ports.prometheus}`;
  const prometheus = await plan.processes.start('prometheus', 'prometheus', [
    `--config.file=${join(at, 'prometheus.yml')}`,
    `--storage.tsdb.path=${join(at, 'prometheus')}`,
    `--web.listen-address=127.0.0.1:${plan.ports.prometheus}`,
  ]);
  if (prometheus === undefined) return undefined;
  await Promise.race([
    until(plan.clock, `Prometheus at ${prometheusUrl}`, UP_WITHIN_MS, plan.signal, async () =>
      answers(`${prometheusUrl}/-/ready`),
    ),
    prometheus.ended.then((words) => Promise.reject(new Error(`prometheus ended:\n${words}`))),
  ]);
  return {
    via: 'prometheus',
    about: [`go through Prometheus at ${prometheusUrl}/alerts and Alertmanager at ${alertmanager}`],
    fire: async () => undefined,
    resolve: async () => undefined,
  };
};

const startAlertmanager = async (plan: MonitoringPlan, at: string): Promise<string | undefined> => {
  const url = `http://127.0.0.1:${plan.ports.alertmanager}`;
  const args = [
    `--config.file=${join(at, 'alertmanager.yml')}`,
    `--storage.path=${join(at, 'alertmanager')}`,
    `--web.listen-address=127.0.0.1:${plan.ports.alertmanager}`,
    '--cluster.listen-address=',
  ];
  // Debian's name, then everybody else's.
  const started =
    (await plan.processes.start('alertmanager', 'prometheus-alertmanager', args)) ??
    (await plan.processes.start('alertmanager', 'alertmanager', args));
  if (started === undefined) return undefined;
  await Promise.race([
    until(plan.clock, `Alertmanager at ${url}`, UP_WITHIN_MS, plan.signal, async () => answers(`${url}/-/ready`)),
    started.ended.then((words) => Promise.reject(new Error(`alertmanager ended:\n${words}`))),
  ]);
  return url;
};

/** Generated configuration: everything that waits waits a second. */
const writeMonitoringFiles = ({ folder, alertsFolder, amends, ports }: MonitoringPlan): string => {
  const at = join(folder, 'monitoring');
  mkdirSync(join(at, 'alerts'), { recursive: true });
  for (const name of readdirSync(alertsFolder).filter((file) => file.endsWith('.yaml'))) {
    const rules: unknown = parse(readFileSync(join(alertsFolder, name), 'utf8'));
    writeFileSync(join(at, 'alerts', name), stringify(hurried(rules)));
  }
  writeFileSync(
    join(at, 'prometheus.yml'),
    stringify({
      global: { scrape_interval: SHORT, scrape_timeout: SHORT, evaluation_interval: SHORT },
      rule_files: [join(at, 'alerts', '*.yaml')],
      alerting: { alertmanagers: [{ static_configs: [{ targets: [`127.0.0.1:${ports.alertmanager}`] }] }] },
      // honor_labels: component and target are what the prober says they are.
      scrape_configs: [{ job_name: 'amends', honor_labels: true, static_configs: [{ targets: [amends] }] }],
    }),
  );
  writeFileSync(
    join(at, 'alertmanager.yml'),
    stringify({
      // As in deploy/alertmanager.yml: what amends is not meant to mend goes to humans, of whom there are none here.
      route: {
        receiver: 'humans',
        routes: [{ matchers: ['remediation="amends"'], receiver: 'amends' }],
        group_by: ['alertname', 'component', 'target'],
        group_wait: SHORT,
        group_interval: SHORT,
        repeat_interval: '4h',
      },
      receivers: [
        { name: 'humans' },
        { name: 'amends', webhook_configs: [{ url: `http://${amends}/webhook/alertmanager`, send_resolved: true }] },
      ],
    }),
  );
  return at;
};

/** The same alert rules with every `for` and every group's interval of a second. */
const hurried = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(hurried);
  if (!isObject(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, member]) => [key, key === 'for' || key === 'interval' ? SHORT : hurried(member)]),
  );
};

/** Posts what Alertmanager would have posted. */
export const postDirectly = (clock: Clock, amends: string): Monitoring => {
  const began = new Map<string, number>();
  const post = async (status: 'firing' | 'resolved', labels: AlertLabels): Promise<void> => {
    const startsAt = began.get(labels.component) ?? clock.now();
    began.set(labels.component, startsAt);
    const response = await fetch(`http://${amends}/webhook/alertmanager`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(
        bodyOf(status, labels, startsAt, status === 'firing' ? '0001-01-01T00:00:00Z' : rfc3339(clock.now())),
      ),
    });
    if (response.status !== 202)
      throw new Error(`amends answered ${response.status} to the alert: ${await response.text()}`);
    await response.arrayBuffer();
  };
  return {
    via: 'direct',
    about: [
      'are posted by the demo itself, as Alertmanager would; to see the real ones take part:',
      'sudo apt-get install -y prometheus prometheus-alertmanager',
    ],
    fire: (labels) => post('firing', labels),
    resolve: (labels) => post('resolved', labels),
  };
};

const bodyOf = (status: string, labels: AlertLabels, startsAt: number, endsAt: string): unknown => {
  const groupLabels = { alertname: labels.alertname, component: labels.component, target: labels.target };
  const annotations = { summary: `${labels.alertname} of ${labels.component}, posted by the demo.` };
  return {
    version: '4',
    groupKey: `{}:{alertname="${labels.alertname}", component="${labels.component}", target="${labels.target}"}`,
    truncatedAlerts: 0,
    status,
    receiver: 'amends',
    groupLabels,
    commonLabels: labels,
    commonAnnotations: annotations,
    externalURL: 'http://127.0.0.1:9093',
    alerts: [
      {
        status,
        labels,
        annotations,
        startsAt: rfc3339(startsAt),
        endsAt,
        generatorURL: '',
        fingerprint: '0000000000000000',
      },
    ],
  };
};
