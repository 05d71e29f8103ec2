// `amends init`: from the alerts that a team has to a first configuration in shadow mode, with nothing that was there written over.
import { mkdir, readFile, readdir, stat, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { formatProblem } from '../base/failure.ts';
import type { Problem } from '../base/failure.ts';
import { isObject } from '../base/json.ts';
import { groupsIn } from '../replay/proposal.ts';
import type { Proposal, Series } from '../replay/proposal.ts';
import type { Resemblance, TeamAlert } from '../replay/resemblance.ts';
import type { Catalog } from '../catalog.ts';
import type { Neighbour } from '../port/sources.ts';
import type { AskPrometheus } from '../replay/alert-series.ts';
import type { Command, Invocation } from './terminal/command.ts';
import { unanswered } from './terminal/client.ts';
import { Misuse, textOption } from './terminal/command.ts';
import { addDirectoryFlag, directoryOf } from './terminal/directory.ts';
import { FINE, FOUND } from './terminal/edge.ts';
import { addPrometheusFlags, askOf, patienceOf, prometheusOf } from './terminal/prometheus.ts';
import { printable, table } from './terminal/text.ts';

export const command: Command = {
  summary:
    'Begin: reads the alerts you have from Prometheus, finds those that a shipped strategy answers, and writes a first configuration in shadow mode.',
  examples: [
    'amends init --prometheus.url=http://127.0.0.1:9090 --alertmanager.url=http://127.0.0.1:9093',
    'amends init --prometheus.url=http://prometheus:9090 --directory=/etc/amends',
    'amends init --prometheus.url=http://127.0.0.1:9090 --dry-run --output=json',
  ],
  define: (init, act) =>
    void addDirectoryFlag(addPrometheusFlags(init, 'where Prometheus answers'), 'where to write (default: .)')
      .option('--alertmanager.url <url>', 'where Alertmanager answers; it is asked before anything is ever done')
      .option(
        '--webhook.url <url>',
        'where Alertmanager will reach amends',
        'http://127.0.0.1:9193/webhook/alertmanager',
      )
      .option('--dry-run', 'only say what was found and what would be written')
      .action(act(run)),
};

/** The folder of rules/, runbooks/ and schemas/ that came with this program. */
const SHIPPED = fileURLToPath(new URL('../../', import.meta.url));
const PATIENCE_MS = 15_000;
const MOST_SERIES = 1_000;

const run = async ({ edge, options, output }: Invocation): Promise<number> => {
  const prometheus = prometheusOf(options, null, () => undefined);
  if (prometheus === null) throw new Misuse('give --prometheus.url, for example http://127.0.0.1:9090');
  const alertmanager = addressOf(options['alertmanager.url'], '--alertmanager.url');
  const folder = directoryOf(options) ?? '.';
  const webhook = textOption(options, 'webhook.url') ?? '';

  const [{ findResemblances }, { configText, propose, routeText, ruleText }] = await Promise.all([
    import('../replay/resemblance.ts'),
    import('../replay/proposal.ts'),
  ]);
  const shipped = await loadShipped();
  const asked = createAsk(prometheus, patienceOf(options, PATIENCE_MS));
  const alerts = await readAlerts(asked);
  const routed = alertmanager === null ? false : await isRouted(alertmanager, webhook);
  const found: Array<Resemblance & { readonly series: Series }> = [];
  for (const one of findResemblances(alerts, shipped.rules.rules)) {
    edge.err(`${one.alert.name}: asking for its series`);
    found.push({ ...one, series: await seriesOf(asked, one.alert) });
  }
  if (found.length === 0) {
    edge.err(
      `Prometheus has ${alerts.length} alerting rules, and none resembles a shipped strategy (amends runbook list shows them).\n` +
        'Next: load some of the shipped alerts/*.yaml into Prometheus, or write a rule and a runbook of your own: docs/rules.md, docs/runbooks.md.',
    );
    if (output === 'json') edge.out(JSON.stringify({ alerts: alerts.length, found: [], written: [] }));
    return FOUND;
  }
  const proposal = propose(found, shipped.runbooks);
  const texts = await readRunbooks(proposal);
  const files = new Map([
    [
      'amends.yaml',
      configText(proposal, shipped.runbooks, texts, { prometheus: withWholePaths(prometheus), alertmanager }),
    ],
    ['alertmanager-route.yml', routeText(proposal, webhook)],
    ...proposal.rules.map((one) => [`rules/${one.kind}/${one.rule.name}.json`, ruleText(one)] as const),
    ...[...texts].map(([name, text]) => [`runbooks/${name}.yaml`, text] as const),
    ...(await readSchemas()),
  ]);
  const there = await existing(folder, [...files.keys()]);
  if (there.length > 0 && options['dryRun'] !== true)
    throw new Misuse(
      `${join(folder, there[0] ?? '')} is there already, and nothing is written over.\nName another folder: --directory=amends`,
    );
  if (options['dryRun'] !== true) await writeAll(folder, files);
  const problems = options['dryRun'] === true ? [] : await check(join(folder, 'amends.yaml'));

  if (output === 'json')
    edge.out(
      JSON.stringify({
        alerts: alerts.length,
        routed,
        found: found.map(shownOf),
        written: [...files.keys()],
        problems,
      }),
    );
  else {
    edge.out(
      table(
        ['alert', 'rule', 'strategies', 'because'],
        found.map((one) => [
          one.alert.name,
          one.rule.name,
          one.rule.ladder.map(({ runbook }) => runbook).join(', '),
          becauseOf(one),
        ]),
      ),
    );
    const verb = options['dryRun'] === true ? 'Would write' : 'Wrote';
    edge.out(
      `\n${found.length} of ${alerts.length} alerts resemble shipped strategies. ${verb} ${files.size} files to ${folder}.`,
    );
    edge.out(nextSteps(folder, alertmanager, routed, found[0]?.alert.name ?? ''));
  }
  for (const problem of problems) edge.err(printable(formatProblem(problem)));
  return problems.length === 0 ? FINE : FOUND;
};

const shownOf = (one: Resemblance): unknown => ({
  alert: one.alert.name,
  rule: one.rule.name,
  kind: one.kind,
  strategies: one.rule.ladder.map(({ runbook }) => runbook),
  same: one.same,
  because: one.because,
});

const becauseOf = ({ same, because }: Resemblance): string => (same ? 'the same name' : because.join(', '));

/** The configuration may stand in another folder than the one that the flags were given in. */
const withWholePaths = ({ url, credential }: Neighbour): Neighbour => {
  if (credential === null) return { url, credential };
  return credential.type === 'bearer'
    ? { url, credential: { ...credential, tokenFile: resolve(credential.tokenFile) } }
    : { url, credential: { ...credential, passwordFile: resolve(credential.passwordFile) } };
};

const nextSteps = (folder: string, alertmanager: string | null, routed: boolean, alertname: string): string => {
  const steps = [
    `look through ${join(folder, 'amends.yaml')}: are these the right targets? Fill in what is marked FILL IN`,
    `amends check --config.file=${join(folder, 'amends.yaml')}`,
    routed
      ? `Alertmanager posts to amends already: see that it does so for these alerts (amtool config routes test alertname=${alertname}), or add the route of ${join(folder, 'alertmanager-route.yml')}`
      : `add ${join(folder, 'alertmanager-route.yml')} to Alertmanager${alertmanager === null ? '' : ` (${alertmanager})`} and reload it`,
    `amends serve --config.file=${join(folder, 'amends.yaml')}, then see that it hears: amends send-test`,
    `amends backtest --prometheus.url=... --config.file=${join(folder, 'amends.yaml')}: what it would have done last month`,
    'after a week in shadow mode: amends promote <rule>',
  ];
  return `Next:\n${steps.map((step, index) => `  ${index + 1}. ${step}`).join('\n')}`;
};

const addressOf = (value: unknown, flag: string): string | null => {
  if (typeof value !== 'string' || value === '') return null;
  if (!URL.canParse(value) || !/^https?:/.test(value))
    throw new Misuse(
      `${flag}: ${JSON.stringify(value)} is not an http or https address; for example http://127.0.0.1:9090`,
    );
  return value.replace(/\/+$/, '');
};

/** Rules and runbooks as they were shipped, with the defaults for all else. */
const loadShipped = async (): Promise<Catalog> => {
  const [{ loadParts }, { loadCatalog }, { loadConfig }] = await Promise.all([
    import('../app.ts'),
    import('../catalog.ts'),
    import('../config.ts'),
  ]);
  const config = await loadConfig(join(SHIPPED, 'amends.yaml'));
  const catalog = config.ok ? await loadCatalog({ config: config.value, ...(await loadParts()) }) : config;
  if (!catalog.ok)
    throw new Misuse(`the shipped rules do not load:\n${catalog.problems.map(formatProblem).join('\n')}`);
  return catalog.value;
};

const ask = async (url: string, what: string): Promise<unknown> => {
  let response: Response;
  try {
    response = await fetch(url, {
      signal: AbortSignal.timeout(PATIENCE_MS),
      redirect: 'error',
      headers: { accept: 'application/json' },
    });
  } catch (error) {
    const { cause, message } = error as Error;
    const reason = cause instanceof Error ? cause.message : message;
    throw unanswered(
      `${what} does not answer at ${new URL(url).origin} (${reason}).\nIs the address right, and can it be reached from here?`,
    );
  }
  if (!response.ok) throw unanswered(`${what} answers ${response.status} at ${url}.\nIs this its address?`);
  try {
    return await response.json();
  } catch {
    throw unanswered(`${what} does not answer with JSON at ${url}.\nIs this its address?`);
  }
};

const at = (value: unknown, ...keys: readonly string[]): unknown =>
  keys.reduce<unknown>((inner, key) => (isObject(inner) ? inner[key] : undefined), value);

const listAt = (value: unknown, ...keys: readonly string[]): readonly unknown[] => {
  const found = at(value, ...keys);
  return Array.isArray(found) ? found : [];
};

const stringsOf = (value: unknown): Readonly<Record<string, string>> =>
  isObject(value) ? Object.fromEntries(Object.entries(value).map(([key, one]) => [key, String(one)])) : {};

/** The same of a Prometheus, which may want to know who asks. */
const createAsk = (prometheus: Neighbour, patienceMs: number): AskPrometheus => {
  const asks = askOf(prometheus, patienceMs);
  return async (path, parameters) => {
    try {
      return await asks(path, parameters);
    } catch (error) {
      throw unanswered(
        `Prometheus does not answer at ${prometheus.url} (${(error as Error).message}).\nIs the address right, and can it be reached from here?`,
      );
    }
  };
};

const readAlerts = async (prometheus: AskPrometheus): Promise<readonly TeamAlert[]> => {
  const answer = await prometheus('/api/v1/rules', { type: 'alert' });
  return listAt(answer, 'data', 'groups')
    .flatMap((group) => listAt(group, 'rules'))
    .filter(isObject)
    .filter(({ type, name }) => type === 'alerting' && typeof name === 'string')
    .map(({ name, query, labels }) => ({ name: String(name), query: String(query), labels: stringsOf(labels) }));
};

/** What a query selects: a metric's name with its matchers, or one with an underscore that is no function. Names alone of every job tell nothing. */
const SELECTOR = /([a-zA-Z_:][a-zA-Z0-9_:]*)\s*(\{[^}]*\})?(?!\s*\()/g;

/** The series that the query reads, as they are now; empty where there are none. */
const seriesOf = async (prometheus: AskPrometheus, { query }: TeamAlert): Promise<Series> => {
  const selectors = new Set<string>();
  for (const [, name = '', matchers = ''] of query.matchAll(SELECTOR))
    if (matchers !== '' || /._./.test(name)) selectors.add(`${name}${matchers}`);
  if (selectors.size === 0) return [];
  /** By what they are: two selectors may name the same one. */
  const found = new Map<string, Readonly<Record<string, string>>>();
  for (const selector of selectors) {
    const answer = await prometheus('/api/v1/series', {
      limit: String(MOST_SERIES),
      'match[]': selector,
    });
    for (const series of listAt(answer, 'data').map(stringsOf)) found.set(JSON.stringify(series), series);
  }
  return [...found.values()].slice(0, MOST_SERIES);
};

const isRouted = async (alertmanager: string, webhook: string): Promise<boolean> => {
  const original = at(await ask(`${alertmanager}/api/v2/status`, 'Alertmanager'), 'config', 'original');
  return typeof original === 'string' && original.includes(new URL(webhook).pathname);
};

/** The runbooks that are used, with the groups of steps that they begin with. */
const readRunbooks = async ({ runbooks }: Proposal): Promise<ReadonlyMap<string, string>> => {
  const texts = new Map<string, string>();
  const read = async (name: string): Promise<string> => readFile(join(SHIPPED, 'runbooks', `${name}.yaml`), 'utf8');
  for (const name of runbooks) texts.set(name, await read(name));
  const groups = [...texts.values()].flatMap(groupsIn);
  for (const name of new Set(groups)) texts.set(name, await read(name));
  return texts;
};

const readSchemas = async (): Promise<ReadonlyArray<readonly [string, string]>> => {
  const names = (await readdir(join(SHIPPED, 'schemas'))).filter((name) => name.endsWith('.json'));
  return Promise.all(
    names.map(async (name) => [`schemas/${name}`, await readFile(join(SHIPPED, 'schemas', name), 'utf8')] as const),
  );
};

const existing = async (folder: string, names: readonly string[]): Promise<readonly string[]> => {
  const there = await Promise.all(
    names.map((name) =>
      stat(join(folder, name)).then(
        () => true,
        () => false,
      ),
    ),
  );
  return names.filter((_, index) => there[index] === true);
};

const writeAll = async (folder: string, files: ReadonlyMap<string, string>): Promise<void> => {
  for (const [name, text] of files) {
    await mkdir(dirname(join(folder, name)), { recursive: true });
    await writeFile(join(folder, name), text, { flag: 'wx' });
  }
};

/** What was written is read as `serve` would read it. */
const check = async (file: string): Promise<readonly Problem[]> => {
  const [{ loadParts }, { loadCatalog }, { loadConfig }] = await Promise.all([
    import('../app.ts'),
    import('../catalog.ts'),
    import('../config.ts'),
  ]);
  const config = await loadConfig(file);
  if (!config.ok) return config.problems;
  const catalog = await loadCatalog({ config: config.value, ...(await loadParts()) });
  return catalog.ok ? [] : catalog.problems;
};
