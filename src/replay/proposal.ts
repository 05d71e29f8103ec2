// The first configuration for a team that has alerts but no amends: components with the targets that Prometheus knows, its alerts under
// the shipped strategies, all in shadow mode. Text files in, text files out; nothing is read or written here.
import type { Credential, Neighbour } from '../port/sources.ts';
import type { Rule, Rung } from '../rule/rule.ts';
import type { Runbook } from '../runbook/runbook.ts';
import type { Resemblance } from './resemblance.ts';

/** Label sets of the series that an alert's query reads. */
export type Series = ReadonlyArray<Readonly<Record<string, string>>>;
export type Found = Resemblance & { readonly series: Series };

export type ProposedComponent = {
  readonly name: string;
  readonly kind: string;
  readonly matchers: readonly string[];
  readonly targets: readonly string[];
  /** How the label `instance` becomes a target, where it is an exporter's address. */
  readonly mapping: { readonly regex: string; readonly replacement: string } | null;
};
export type Proposal = {
  readonly components: readonly ProposedComponent[];
  readonly rules: ReadonlyArray<{ readonly rule: Rule; readonly kind: string; readonly alertnames: readonly string[] }>;
  /** Names of shipped runbooks, `redis/reconnect`. */
  readonly runbooks: readonly string[];
};

/** An exporter's well-known port, and that of what it looks at: https://github.com/prometheus/prometheus/wiki/Default-port-allocations */
const EXPORTERS: Readonly<Record<string, { readonly exporter: string; readonly server: string }>> = {
  redis: { exporter: '9121', server: '6379' },
  postgres: { exporter: '9187', server: '5432' },
};
const URLS: Readonly<Record<string, string>> = {
  redis: 'redis://${{ target }}',
  chromadb: 'http://${{ target }}',
  openwebui: 'http://${{ target }}',
  application: 'http://${{ target }}',
  llm: 'http://${{ target }}',
};
const MOST_TARGETS = 200;

export const propose = (found: readonly Found[], runbooks: ReadonlyMap<string, Runbook>): Proposal => {
  const groups = grouped(
    found.flatMap((one) => jobsOf(one, found).map((job) => ({ ...one, job }))),
    ({ kind, job }) => JSON.stringify([kind, job]),
  );
  const names = new Set<string>();
  const components = [...groups.values()].flatMap((members): ProposedComponent[] => {
    const [first] = members;
    return first === undefined ? [] : [componentOf(first.kind, first.job, members, names)];
  });
  const byRule = grouped(found, ({ rule }) => rule);
  const rules = [...byRule].map(([rule, members]) => ({
    rule,
    kind: members[0]?.kind ?? '',
    alertnames: [...new Set(members.map(({ alert }) => alert.name))],
  }));
  const wanted = new Set(rules.flatMap(({ rule }) => rule.ladder.map(({ runbook }) => runbook)));
  return { components, rules, runbooks: [...wanted].filter((name) => runbooks.has(name)) };
};

const grouped = <T, K>(items: readonly T[], keyOf: (item: T) => K): ReadonlyMap<K, readonly T[]> => {
  const groups = new Map<K, T[]>();
  for (const item of items) groups.set(keyOf(item), [...(groups.get(keyOf(item)) ?? []), item]);
  return groups;
};

/** Of an alert whose series are not there now: the one job of its kind, else null. */
const jobsOf = (one: Found, all: readonly Found[]): ReadonlyArray<string | null> => {
  const own = new Set(one.series.map(({ job }) => job ?? null));
  if (own.size > 0) return [...own];
  const others = new Set(
    all.filter(({ kind }) => kind === one.kind).flatMap(({ series }) => series.flatMap(({ job }) => job ?? [])),
  );
  return others.size === 1 ? [...others] : [null];
};

const componentOf = (
  kind: string,
  job: string | null,
  members: readonly Found[],
  taken: Set<string>,
): ProposedComponent => {
  const wanted =
    (job ?? kind)
      .toLowerCase()
      .replaceAll(/[^a-z0-9_-]+/g, '-')
      .replaceAll(/^[^a-z]+|-+$/g, '') || kind;
  const name = taken.has(wanted) ? `${wanted}-${kind}` : wanted;
  taken.add(name);
  const alertnames = [...new Set(members.map(({ alert }) => alert.name))];
  const instances = [
    ...new Set(
      members.flatMap(({ series }) =>
        series.filter((labels) => (labels['job'] ?? null) === job).flatMap(({ instance }) => instance ?? []),
      ),
    ),
  ].toSorted();
  const ports = EXPORTERS[kind];
  const exported =
    ports !== undefined && instances.length > 0 && instances.every((one) => one.endsWith(`:${ports.exporter}`));
  return {
    name,
    kind,
    // With the alerts' names, so that two components of one job stay apart.
    matchers: [
      ...(job === null ? [] : [`job=${JSON.stringify(job)}`]),
      alertnames.length === 1
        ? `alertname=${JSON.stringify(alertnames[0])}`
        : `alertname=~${JSON.stringify(alertnames.join('|'))}`,
    ],
    targets: instances.slice(0, MOST_TARGETS).map((one) => (exported ? one.replace(/\d+$/, ports.server) : one)),
    mapping: exported ? { regex: `(.+):${ports.exporter}`, replacement: `$1:${ports.server}` } : null,
  };
};

/** `prometheus` with the files of its credential as they are to be named. */
export type Addresses = { readonly prometheus: Neighbour; readonly alertmanager: string | null };

/** `amends.yaml`. What nobody but the team can know stands in it as a comment that says so. */
export const configText = (
  proposal: Proposal,
  runbooks: ReadonlyMap<string, Runbook>,
  texts: ReadonlyMap<string, string>,
  { prometheus, alertmanager }: Addresses,
): string => {
  const used = proposal.runbooks.flatMap((name) => runbooks.get(name) ?? []);
  const modes = new Set(
    used.flatMap(({ onSuccess, onFailure, onExhausted }) =>
      [onSuccess, onFailure, onExhausted].flatMap(({ degrade, clear }) =>
        [degrade, clear].filter((one) => one !== null),
      ),
    ),
  );
  const lines = [
    '# yaml-language-server: $schema=schemas/config.schema.json',
    '# Made by amends init from what Prometheus knows. Nothing is done in shadow mode: amends records what it would have done.',
    '# Next: fill in what is marked, run amends check, start amends serve, look at its decisions, then raise the mode.',
    'version: 1',
    'rule_files: [rules/**/*.json]',
    'runbook_files: [runbooks/**/*.yaml]',
    ...(alertmanager === null ? [] : [`alertmanagers: [{ url: ${JSON.stringify(alertmanager)} }]`]),
    `prometheus: { url: ${JSON.stringify(prometheus.url)}${credentialText(prometheus.credential)} }`,
    'recovery: { mode: shadow }',
    'components:',
    ...proposal.components.flatMap((component) => componentLines(component, proposal, texts)),
  ];
  if (modes.size > 0) {
    lines.push(
      '# What an application can and cannot do while one of these is on: GET /api/v1/degraded-modes.',
      'degraded_modes:',
    );
    for (const mode of modes) lines.push(`  ${mode}: { available: [], unavailable: [], impact: to be said }`);
  }
  return `${lines.join('\n')}\n`;
};

const credentialText = (credential: Credential | null): string => {
  if (credential === null) return '';
  return credential.type === 'bearer'
    ? `, bearer_token_file: ${JSON.stringify(credential.tokenFile)}`
    : `, basic_auth: { username: ${JSON.stringify(credential.username)}, password_file: ${JSON.stringify(credential.passwordFile)} }`;
};

const componentLines = (
  { name, kind, matchers, targets, mapping }: ProposedComponent,
  proposal: Proposal,
  texts: ReadonlyMap<string, string>,
): readonly string[] => {
  const own = proposal.runbooks
    .filter((runbook) => runbook.startsWith(`${kind}/`))
    .flatMap((runbook) => withGroups(texts.get(runbook) ?? '', texts));
  const asked = new Set(own.flatMap((text) => [...text.matchAll(/\bconnect\.([a-z_]+)/g)].map(([, key = '']) => key)));
  const url = URLS[kind];
  const left = [...asked].filter((key) => key !== 'url' || url === undefined).toSorted();
  const families = new Set(
    own.flatMap((text) => [...text.matchAll(/\buses: ([a-z]+)\.[a-z-]+/g)].map(([, family = '']) => family)),
  );
  return [
    `  ${name}:`,
    `    kind: ${kind}`,
    `    match: [${matchers.map((matcher) => `'${matcher.replaceAll("'", "''")}'`).join(', ')}]`,
    ...(mapping === null
      ? []
      : [`    target: { label: instance, regex: '${mapping.regex}', replacement: '${mapping.replacement}' }`]),
    targets.length === 0
      ? '    inventory: { static: [] } # FILL IN: Prometheus has no series for its alerts now'
      : `    inventory: { static: [${targets.map((target) => JSON.stringify(target)).join(', ')}] }`,
    ...(url !== undefined && asked.has('url') ? [`    connect: { url: "${url}" }`] : []),
    ...(left.length === 0
      ? []
      : [`    # FILL IN under connect, here or for one target, what its runbooks ask for: ${left.join(', ')}`]),
    `    allow: { actions: [${[...families]
      .toSorted()
      .map((family) => `"${family}.*"`)
      .join(', ')}] }`,
  ];
};

/** A runbook's text and those of the groups of steps that it begins with. */
const withGroups = (text: string, texts: ReadonlyMap<string, string>): readonly string[] => [
  text,
  ...groupsIn(text).map((name) => texts.get(name) ?? ''),
];

/** Names of the groups of steps that a runbook begins with, `groups/triage`. */
export const groupsIn = (text: string): readonly string[] =>
  [...text.matchAll(/- group: ([a-z0-9_-]+)/g)].map(([, name = '']) => `groups/${name}`);

/** A rung that asks goes on asking once the rule's mode is raised. */
const rungOf = ({ runbook, mode, with: inputs }: Rung): unknown => {
  const asks = mode === 'approve' ? { mode } : {};
  const given = Object.keys(inputs).length > 0 ? { with: inputs } : {};
  return Object.keys({ ...asks, ...given }).length === 0 ? runbook : { runbook, ...asks, ...given };
};

/** A shipped rule for the team's own alerts, which does nothing yet. */
export const ruleText = ({ rule, alertnames }: Proposal['rules'][number]): string =>
  `${JSON.stringify(
    {
      $schema: '../../schemas/rule.schema.json',
      name: rule.name,
      description: rule.description,
      priority: rule.priority,
      conditions: { all: [{ fact: 'alertname', operator: 'in', value: alertnames }] },
      event: {
        type: 'remediate',
        params: { runbook: rule.ladder.map(rungOf), mode: 'shadow' },
      },
    },
    null,
    2,
  )}\n`;

/** What to add to Alertmanager: the route goes first among its routes, and lets alerts go on to people. */
export const routeText = ({ rules }: Proposal, webhook: string): string => {
  const names = [...new Set(rules.flatMap(({ alertnames }) => alertnames))].toSorted();
  // With the alert of `amends send-test`, which shows that this very route works.
  return `# Add to alertmanager.yml: the route before the others, the receiver beside them.
route:
  routes:
    - matchers: ['alertname=~"${[...names, 'AmendsTest'].join('|')}"']
      receiver: amends
      group_wait: 1s
      continue: true
receivers:
  - name: amends
    webhook_configs:
      - { url: '${webhook}', send_resolved: true, max_alerts: 0 }
`;
};
