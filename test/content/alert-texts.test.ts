// What every shipped alert has to have, whoever adds one: a case in which it fires and one in which it is quiet, what a
// person reads, pages that exist, and the labels by which amends finds what to recover.
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { parse } from 'yaml';
import { alertsPage } from '../../src/http/alerts-page.ts';
import { leadsToConsole } from '../support/console.ts';
import { dashboards } from '../support/dashboards.ts';
import { root } from '../support/servers.ts';

type Alert = {
  readonly alert: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
};
type Case = {
  readonly alertname: string;
  readonly exp_alerts?: ReadonlyArray<{ exp_labels?: Record<string, string> }>;
};

const folder = join(root, 'alerts');
const read = <T>(file: string): T => parse(readFileSync(join(folder, file), 'utf8')) as T;
const files = readdirSync(folder).filter((name) => name.endsWith('.yaml'));
const alerts = files.flatMap((file) =>
  read<{ groups: ReadonlyArray<{ rules: readonly Alert[] }> }>(file).groups.flatMap(({ rules }) =>
    rules.filter((rule) => 'alert' in rule).map((alert) => ({ file, alert })),
  ),
);
const cases = files.flatMap((file) =>
  read<{ tests: ReadonlyArray<{ alert_rule_test?: readonly Case[] }> }>(
    join('tests', file.replace('.yaml', '.test.yaml')),
  ).tests.flatMap(({ alert_rule_test = [] }) => alert_rule_test.map((tested) => ({ file, tested }))),
);
const of = (file: string, name: string): readonly Case[] =>
  cases.flatMap((one) => (one.file === file && one.tested.alertname === name ? [one.tested] : []));
const AMENDS = 'http://127.0.0.1:9193';
const GRAFANA = 'http://127.0.0.1:3000';

/** What is always so cannot be quiet. */
const ALWAYS = new Set(['Watchdog']);

describe('shipped alerts', () => {
  it('O10 the alerts of the operations runbook are there, and every alert has a test in which it fires and one in which it is quiet', () => {
    const lacking = alerts.flatMap(({ file, alert: { alert } }) => {
      const own = of(file, alert);
      const fires = own.some(({ exp_alerts = [] }) => exp_alerts.length > 0);
      const quiet = ALWAYS.has(alert) || own.some(({ exp_alerts = [] }) => exp_alerts.length === 0);
      return [
        ...(fires ? [] : [`${file}: ${alert} never fires`]),
        ...(quiet ? [] : [`${file}: ${alert} is never quiet`]),
      ];
    });
    expect(lacking).toEqual([]);
    const names = alerts.map(({ alert }) => alert.alert);
    expect(names).toEqual(
      expect.arrayContaining([
        'ServiceDown',
        'HighErrorRate',
        'CircuitBreakerOpen',
        'HighRetrievalLatency',
        'HighMemoryUsage',
        'PromotionGateFailure',
      ]),
    );
  });

  it('no two alerts share a name', () => {
    const names = alerts.map(({ alert }) => alert.alert);
    expect(names.filter((name, index) => names.indexOf(name) !== index)).toEqual([]);
  });

  it('every alert says how bad it is, what is the matter, and what is done about it', () => {
    const lacking = alerts.flatMap(({ file, alert: { alert, labels = {}, annotations = {} } }) => [
      ...(['critical', 'warning', 'info'].includes(labels['severity'] ?? '') ? [] : [`${file}: ${alert} severity`]),
      ...(['amends', undefined].includes(labels['remediation']) ? [] : [`${file}: ${alert} remediation`]),
      ...['summary', 'description', 'runbook_url', 'dashboard_url'].flatMap((key) =>
        (annotations[key] ?? '') === '' ? [`${file}: ${alert} ${key}`] : [],
      ),
    ]);
    expect(lacking).toEqual([]);
  });

  it('every runbook_url and console_url leads to a page that amends serves, and every dashboard_url to a shipped dashboard', async () => {
    const page = await alertsPage();
    const boards = new Set([...dashboards().values()].map(({ uid }) => uid));
    const dead = alerts.flatMap(({ file, alert: { alert, annotations = {} } }) => {
      const runbook = (annotations['runbook_url'] ?? '').replace(AMENDS, '');
      const [, anchor = ''] = /^\/alerts#([\w-]+)$/.exec(runbook) ?? [];
      const leads =
        anchor === ''
          ? /^\/runbooks\/[\w-]+\/[\w-]+$/.test(runbook) && existsSync(join(root, `${runbook}.yaml`))
          : page.includes(` id="${anchor}">`);
      const [, uid = ''] =
        /^\/d\/([\w-]+)(?:\?|$)/.exec((annotations['dashboard_url'] ?? '').replace(GRAFANA, '')) ?? [];
      const console = annotations['console_url']?.replace(AMENDS, '');
      return [
        ...(console === undefined || leadsToConsole(console) ? [] : [`${file}: ${alert} console_url ${console}`]),
        ...(leads ? [] : [`${file}: ${alert} runbook_url ${runbook}`]),
        ...(boards.has(uid) ? [] : [`${file}: ${alert} dashboard_url ${uid}`]),
      ];
    });
    expect(dead).toEqual([]);
  });

  // kube-state-metrics knows no component: docs/examples/amends.kubernetes.yaml selects by these.
  const selects = [
    ['component', 'target'],
    ['namespace', 'deployment'],
  ];
  it('an alert that amends acts on tells it the component and the target, or what selects them', () => {
    const blind = alerts
      .filter(({ alert: { labels = {} } }) => labels['remediation'] === 'amends')
      .flatMap(({ file, alert: { alert } }) =>
        of(file, alert)
          .flatMap(({ exp_alerts = [] }) => exp_alerts)
          .filter(
            ({ exp_labels = {} }) =>
              !('node' in exp_labels) && !selects.some((names) => names.every((name) => name in exp_labels)),
          )
          .map(() => `${file}: ${alert}`),
      );
    expect(blind).toEqual([]);
  });

  it('what is said about amends itself is never remediated by it', () => {
    for (const { alert } of alerts.filter(({ alert: { alert: name } }) => /^Amends|^Watchdog$/.test(name)))
      expect([alert.alert, alert.labels?.['remediation']]).toEqual([alert.alert, undefined]);
  });
});
