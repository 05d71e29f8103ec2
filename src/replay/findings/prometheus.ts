// Whether what rules and runbooks need is there: asked of a Prometheus that runs. One that does not answer is a finding of
// its own, beside what could be asked before.
import { parseDocument } from 'yaml';
import type { Problem } from '../../base/failure.ts';
import { didYouMean } from '../../base/failure.ts';
import { isObject } from '../../base/json.ts';
import type { AskPrometheus } from '../alert-series.ts';
import { finding } from './finding.ts';
import type { Needs } from './needs.ts';

/** `file` is where a finding about the whole of it stands. */
export const askWhatIsThere = async (
  needs: Needs,
  ask: AskPrometheus,
  { url, file }: { readonly url: string; readonly file: string },
): Promise<readonly Problem[]> => {
  const found: Problem[] = [];
  const said = new Set<string>();
  try {
    const alerts = await alertsOf(ask);
    found.push(...missingAlerts(needs, alerts));
    said.add('alerts');
    found.push(...(await missingMetrics(needs, ask)));
    said.add('metrics');
    found.push(...(await missingLabels(needs, alerts, ask)));
    return found;
  } catch (error) {
    // What it has answered stands; what it has not is not said to be missing.
    const unsaid = ['alerts', 'metrics', 'labels'].filter((what) => !said.has(what)).join(', ');
    const message = `Prometheus at ${url} could not be asked whether these are there: ${unsaid}; ${reasonOf(error)}`;
    const mend = `see that it answers: curl ${url}/api/v1/rules; or leave --prometheus.url out`;
    return [...found, finding('prometheus-unreachable', { file, pointer: '' }, message, mend)];
  }
};

/** Errors of Node's own are asked by shape: they may come from another realm. */
const reasonOf = (error: unknown): string => {
  return isObject(error) ? String(error['message']) : String(error);
};

type Alerts = {
  readonly names: ReadonlySet<string>;
  /** Labels that rules and Prometheus itself put on alerts; null among the values: made from the series. */
  readonly labels: ReadonlyMap<string, ReadonlySet<string | null>>;
};

const dataOf = (answer: unknown): unknown => (isObject(answer) ? answer['data'] : undefined);
const listIn = (value: unknown): readonly unknown[] => (Array.isArray(value) ? (value as readonly unknown[]) : []);
const textsIn = (value: unknown): readonly string[] => listIn(value).filter((one) => typeof one === 'string');

const alertsOf = async (ask: AskPrometheus): Promise<Alerts> => {
  const data = dataOf(await ask('/api/v1/rules', { type: 'alert' }));
  const rules = listIn(isObject(data) ? data['groups'] : []).flatMap((group) =>
    listIn(isObject(group) ? group['rules'] : []).filter(isObject),
  );
  const labels = new Map<string, Set<string | null>>();
  const add = (name: string, value: string | null): void =>
    void labels.set(name, (labels.get(name) ?? new Set<string | null>()).add(value));
  for (const rule of rules)
    for (const [name, value] of Object.entries(isObject(rule['labels']) ? rule['labels'] : {}))
      add(name, String(value).includes('{{') ? null : String(value));
  for (const [name, value] of labelsOnTheWay(dataOf(await ask('/api/v1/status/config', {})))) add(name, value);
  return { names: new Set(rules.map((rule) => String(rule['name']))), labels };
};

/** `external_labels`, and what is relabelled on the way to Alertmanager. */
const labelsOnTheWay = (data: unknown): ReadonlyArray<readonly [string, string | null]> => {
  const text = isObject(data) && typeof data['yaml'] === 'string' ? data['yaml'] : '';
  const config: unknown = parseDocument(text).toJS();
  const [global, alerting] = isObject(config) ? [config['global'], config['alerting']] : [];
  const external = isObject(global) && isObject(global['external_labels']) ? global['external_labels'] : {};
  const relabelled = listIn(isObject(alerting) ? alerting['alert_relabel_configs'] : []).filter(isObject);
  return [
    ...Object.entries(external).map(([name, value]) => [name, String(value)] as const),
    ...relabelled.flatMap(({ target_label: name }) => (typeof name === 'string' ? [[name, null] as const] : [])),
  ];
};

/** Names asked for in one question: addresses are of limited length. */
const AT_ONCE = 50;

const missingMetrics = async ({ metrics }: Needs, ask: AskPrometheus): Promise<readonly Problem[]> => {
  const wanted = [...new Set(metrics.map(({ name }) => name))];
  const there = new Set<string>();
  for (let from = 0; from < wanted.length; from += AT_ONCE) {
    const some = wanted.slice(from, from + AT_ONCE);
    const match = `{__name__=~"${some.join('|')}"}`;
    for (const name of textsIn(dataOf(await ask('/api/v1/label/__name__/values', { 'match[]': match }))))
      there.add(name);
  }
  const missing = metrics.filter(({ name }) => !there.has(name));
  if (missing.length === 0) return [];
  const all = textsIn(dataOf(await ask('/api/v1/label/__name__/values', {})));
  return missing.map(({ name, ...at }) =>
    finding(
      'unknown-metric',
      at,
      `Prometheus has no series ${name}`,
      meant(name, all) ?? 'see that it is scraped, or correct the query',
    ),
  );
};

const missingAlerts = ({ alerts }: Needs, { names }: Alerts): readonly Problem[] =>
  alerts
    .filter(({ name }) => !names.has(name))
    .map(({ name, ...at }) =>
      finding(
        'unknown-alert',
        at,
        `Prometheus has no alert ${name}`,
        meant(name, [...names]) ?? 'load its file: rule_files in prometheus.yml',
      ),
    );

const missingLabels = async (needs: Needs, alerts: Alerts, ask: AskPrometheus): Promise<readonly Problem[]> => {
  if (needs.labels.length === 0) return [];
  const ofSeries = new Set(textsIn(dataOf(await ask('/api/v1/labels', {}))));
  const values = new Map<string, ReadonlySet<string | null>>();
  const valuesOf = async (name: string): Promise<ReadonlySet<string | null>> => {
    const asked = values.get(name);
    if (asked !== undefined) return asked;
    const seen =
      ofSeries.has(name) && /^[A-Za-z_][A-Za-z0-9_]*$/.test(name)
        ? textsIn(dataOf(await ask(`/api/v1/label/${name}/values`, {})))
        : [];
    const whole = new Set<string | null>([...seen, ...(alerts.labels.get(name) ?? [])]);
    values.set(name, whole);
    return whole;
  };
  const problems: Problem[] = [];
  for (const { name, value, ...at } of needs.labels) {
    if (!ofSeries.has(name) && !alerts.labels.has(name)) {
      const mend =
        meant(name, [...ofSeries, ...alerts.labels.keys()]) ?? 'correct the name, or put the label on the alert';
      problems.push(finding('unknown-label', at, `No series and no alert of Prometheus has the label ${name}`, mend));
      continue;
    }
    const seen = await valuesOf(name);
    if (value === null || seen.has(value) || seen.has(null)) continue;
    const known = [...seen].filter((one) => one !== null);
    const mend = meant(value, known) ?? `it is ${known.slice(0, 8).join(', ')}${known.length > 8 ? ', ...' : ''}`;
    problems.push(finding('unknown-label', at, `The label ${name} is never ${JSON.stringify(value)}`, mend));
  }
  return problems;
};

const meant = (name: string, known: readonly string[]): string | undefined => {
  const near = didYouMean(name, known);
  return near === undefined ? undefined : `did you mean ${near}?`;
};
