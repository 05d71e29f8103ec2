// JSON Schemas for editors of amends.yaml, web.yaml and inventories: the shape that loading checks, with what each key means
// and what holds without it. Written by scripts/schemas.mjs; nothing at run time needs them.
import { z } from 'zod';
import { formatDuration } from './base/duration.ts';
import { isObject } from './base/json.ts';
import { defaultPolicy } from './config-build.ts';
import { DEFAULT_IGNORED_LABELS } from './alert/episode.ts';
import { configSchema, fileSdSchema, webSchema } from './config-schema.ts';

type Schema = Readonly<Record<string, unknown>>;
type Meaning = readonly [description: string, standard?: unknown];

/** `schemas/config.schema.json`. */
export const configJsonSchema = (): Schema =>
  withMeanings(
    toJson(configSchema),
    {
      title: 'amends.yaml',
      description: 'What amends watches, what it may recover, and within which limits.',
    },
    CONFIG,
  );

/** `schemas/web.schema.json`. */
export const webJsonSchema = (): Schema =>
  withMeanings(
    toJson(webSchema),
    {
      title: 'web.yaml of amends',
      description: "Who may come in: Prometheus' web configuration, bearer tokens added.",
    },
    WEB,
  );

/** `schemas/targets.schema.json`. */
export const targetsJsonSchema = (): Schema =>
  withMeanings(
    toJson(fileSdSchema),
    { title: 'targets of amends', description: 'An inventory, in the format of file_sd of Prometheus.' },
    TARGETS,
  );

const toJson = (schema: z.ZodType): Schema => z.toJSONSchema(schema, { target: 'draft-7', io: 'input' });

const policy = defaultPolicy;
const per = (limits: ReadonlyArray<{ readonly max: number; readonly per: number }>): unknown =>
  limits.map((limit) => ({ max: limit.max, per: formatDuration(limit.per) }));
const percent = (share: number): string => `${share * 100}%`;

/** By the last keys of the path; `*` is any name. The longest that fits holds. */
const RECOVERY: Readonly<Record<string, Meaning>> = {
  mode: [
    'shadow: record what would be done; approve: ask a human first; auto: act. The weakest of global, component, rule and rung holds.',
    policy.mode,
  ],
  attempts: ['Attempts of a component, at most so many in every such rolling window.', per(policy.attempts)],
  max_attempts_per_hour: ['Short for the entry of attempts with per: 1h.', 3],
  budget: ['Attempts of all components together, at most so many in every such rolling window.', per(policy.budget)],
  cooldown: ['The rest of a component after an attempt.'],
  'cooldown/after_failure': ['After an attempt that did not recover it.', formatDuration(policy.cooldown.afterFailure)],
  'cooldown/factor': ['By which the rest grows with each failure in a row.', policy.cooldown.factor],
  'cooldown/max': ['It grows no further than to this.', formatDuration(policy.cooldown.max)],
  'cooldown/after_success': ['After an attempt that recovered it.', formatDuration(policy.cooldown.afterSuccess)],
  cooldown_seconds: ['Short for cooldown.after_failure.', policy.cooldown.afterFailure / 1_000],
  max_concurrent: ['Runs of a component at a time; a target has one in any case.', policy.maxConcurrent],
  max_concurrent_total: ['Runs at a time in all.', policy.maxConcurrentTotal],
  settle: ["How long a verified run's alert may take to go quiet, and has to stay so.", formatDuration(policy.settle)],
  stale: [
    'A run that could not start for so long after its admission or approval is withdrawn.',
    formatDuration(policy.stale),
  ],
  resolve_hold: ['An alert that comes back sooner is the same incident.', formatDuration(policy.resolveHold)],
  episode_ttl: ['An incident without a firing entry for so long is over.', formatDuration(policy.episodeTtl)],
  approval: ['How long a question to a human waits.'],
  'approval/remind': ['They are reminded after this.', formatDuration(policy.approval.remind)],
  'approval/escalate': ['Others are asked after this.', formatDuration(policy.approval.escalate)],
  'approval/expires': ['Unanswered for so long, it is a no.', formatDuration(policy.approval.expires)],
  breaker: ['After so many failures of one strategy on a component in a row only trials are let through.'],
  'breaker/failures': ['Failures in a row that open it.', policy.breaker.failures],
  'breaker/trials': [
    'One trial at each of these after the last failure.',
    policy.breaker.trials.map((ms) => formatDuration(ms)),
  ],
  storm: ['Too many targets at once are one cause: nothing is recovered, and a human is paged once.'],
  'storm/share': ['Of the targets of a component.', percent(policy.storm.share)],
  'storm/min': ['At least so many targets.', policy.storm.min],
  'storm/max': ['So many targets are a storm whatever their share.', policy.storm.max],
  'storm/window': ['Within this time.', formatDuration(policy.storm.window)],
  'storm/components': ['So many components are a storm too.', policy.storm.components],
  'storm/components_window': ['Within this time.', formatDuration(policy.storm.componentsWindow)],
  'storm/gather': [
    'How long a larger inventory waits before its first run, to see whether it is a storm.',
    formatDuration(policy.storm.gather),
  ],
  maintenance: ['Windows in which nothing begins, and a run under way starts no further step.'],
  'maintenance/schedule': ['The cron line at which it opens: minute, hour, day, month, weekday.'],
  'maintenance/timezone': ['Of the schedule, a name of the IANA database.', 'UTC'],
  'maintenance/duration': ['How long it lasts, in real time.'],
  'maintenance/reason': ['For whoever wonders why nothing happens.'],
  promotion: ['What a rule has to show before amends promote lets it act by itself.'],
  'promotion/successes': ['So many times it was right.', policy.promotion.successes],
  'promotion/share': ['Of all times that it was asked.', percent(policy.promotion.share)],
};

const CREDENTIALS: Readonly<Record<string, Meaning>> = {
  url: ['Its address, without credentials.'],
  basic_auth: ['User and password that are sent along; the password stands in a file, read at each use.'],
  username: ['The user.'],
  password_file: ['The file with the password.'],
  bearer_token_file: ['The file with the token, in place of basic_auth; read at each use.'],
};

const CONFIG: Readonly<Record<string, Meaning>> = {
  ...RECOVERY,
  ...CREDENTIALS,
  max: ['At most so many.'],
  per: ['In every window of this length.'],
  $schema: ['Where the JSON Schema of this file is, for editors.'],
  version: ['The only one there is.', 1],
  rule_files: ['Globs, from the folder of this file.', ['rules/**/*.json']],
  runbook_files: ['Globs, from the folder of this file.', ['runbooks/**/*.yaml']],
  alertmanagers: [
    'Whom to ask whether an alert is silenced, inhibited or still firing. Any that says firing is a yes, none reachable a no.',
  ],
  'alertmanagers/sources': ['The sources of the credentials in web.yaml whose alerts it sends.', ['alertmanager']],
  prometheus: ['For PromQL in rules, verifications and min_healthy.'],
  recovery: ['What every component inherits.'],
  components: ['What may be recovered, by name.'],
  'components/*': [
    'A component: what it is, which alerts are about it, which targets it has. Any key of recovery as well.',
  ],
  kind: ['Of which runbooks/<kind>/ are its strategies; its name when left out.'],
  team: ['Whose it is.'],
  match: ['Alertmanager matchers, all of which must hold; without them the label component selects it.'],
  'components/*/target': ['Which target an alert is about.'],
  'target/label': ['The label that names it.', 'instance'],
  'target/regex': ['The whole value of the label has to match; RE2.'],
  'target/replacement': ['The name of the target, with $1 and so on of the regex.', '$1'],
  inventory: ['The targets that there are. Labels select among them and never name new ones.'],
  'inventory/static': ['Targets by name, or with connect and labels of their own.', []],
  'static/target': ['Its name.'],
  'static/connect': ["What this target's connection has in place of, or beside, the component's."],
  'static/labels': ['Labels of the target, such as its failure domain.'],
  'inventory/file_sd': ["Files in the format of Prometheus' file_sd, globs.", []],
  connect: ['How a runbook reaches a target; ${{ target }} is its name. Secrets stand in files: password_file.'],
  'components/*/allow': ['What may be done to it.'],
  'allow/actions': ['Actions, or globs such as redis.*; nothing declared, nothing allowed.'],
  min_healthy: ['A floor under which nothing more is taken down.'],
  'min_healthy/query': ['PromQL with one number as its answer, which should count the others of the component.'],
  'min_healthy/min': ['Fewer, no data or no answer is a no.'],
  domain: ['The inventory label that names the failure domain: a second one in one window waits for a human.'],
  split: ['Each target has caps and a cooldown of its own.'],
  fleet: ['With split: what then holds for all targets together.'],
  'fleet/attempts': ['Attempts of all targets together, in every such rolling window.'],
  'fleet/max_concurrent': ['Runs of all targets together at a time.'],
  degraded_modes: ['Named states that the application can read: what works now and what does not.'],
  'degraded_modes/*': ['A degraded mode.'],
  available: ['What still works, in sentences.', []],
  unavailable: ['What does not, in sentences.', []],
  impact: ['What users notice.', ''],
  'degraded_modes/*/notify': ['Receivers that are told when it goes on and off.', []],
  allow: ['The outer bound for all components: nothing declared, nothing allowed.'],
  'allow/hosts': ['host, or host:port.', []],
  'allow/commands': ['Absolute paths of executables.', []],
  'allow/paths': ['Absolute paths of files, or of folders with all below them.', []],
  'allow/containers': ['Whole names.', []],
  probes: ['Read-only actions on a schedule; their results are metrics.', []],
  'probes/name': ['Its name, a metric label.'],
  'probes/uses': ['The action, <family>.<verb>.'],
  'probes/component': ['The component that is looked at.'],
  'probes/target': ['Which of its targets.'],
  'probes/every': ['The time between two looks.', '30s'],
  'probes/timeout': ['How long one look may take.', '10s'],
  'probes/with': ["The action's input; the target's connect when left out."],
  notify: ['Who is told.'],
  receivers: ['Channels, by name; settings beside name and type are those of the type.', []],
  'receivers/name': ['Its name.'],
  'receivers/type': ['log or webhook.'],
  routes: ['Which severity goes to whom.', []],
  'routes/severity': ['Of what goes to it; all when left out.', ['SEV1', 'SEV2', 'SEV3', 'SEV4']],
  'routes/receiver': ['The name of a receiver.'],
  status_updates: ['How often people are asked for a status update while an escalation is open, or off.'],
  SEV1: ['While a SEV1 is open.', '15m'],
  SEV2: ['While a SEV2 is open.', '1h'],
  SEV3: ['While a SEV3 is open.', 'off'],
  SEV4: ['While a SEV4 is open.', 'off'],
  audit: ['The record of who did what.'],
  'audit/retention_days': ['How many days its rows stay in the database; then they move into archives.', 30],
  'audit/head_receiver': ['The receiver that is told the head of the audit once a day.'],
  'audit/compression_enabled': ['Archives as gzip.', true],
  journal: ['Raw deliveries and decisions.'],
  'journal/retention_days': ['How long they are kept.', 30],
  ignore_labels: ['Labels that do not tell incidents apart.', [...DEFAULT_IGNORED_LABELS]],
  ignore: ['What `amends check` finds about this file, and is meant so.'],
  'ignore/code': ['The code of the finding; docs/check.md has them all.'],
  'ignore/reason': ['Why it is meant so, for whoever reads it next.'],
};

const WEB: Readonly<Record<string, Meaning>> = {
  $schema: ['Where the JSON Schema of this file is, for editors.'],
  tls_server_config: ['TLS; without it, plain HTTP.'],
  cert_file: ['The certificate, PEM.'],
  key_file: ['Its private key, PEM.'],
  client_ca_file: ['Whose client certificates are taken, PEM.'],
  client_auth_type: ['Whether clients have to show a certificate.', 'NoClientCert'],
  min_version: ['The oldest TLS that is spoken.', 'TLS12'],
  basic_auth_users: ['Users with the bcrypt hash of their password: htpasswd -nbB <user> <password>.', {}],
  roles: ['What each of these users may do: viewer, operator, approver or admin; admin when left out.', {}],
  bearer_tokens: ['Tokens, each in a file.', []],
  'bearer_tokens/name': ['Whose it is; stands in the audit.'],
  source: ['With it, alerts may be posted, and are told apart from those of other sources.', 'alertmanager'],
  role: ['What it may do: viewer, operator, approver or admin.', 'viewer'],
  file: ['One token a line, at least 16 characters each; all are live.'],
};

const TARGETS: Readonly<Record<string, Meaning>> = {
  targets: ['Names of targets.'],
  labels: ['Labels of all of these targets, such as their failure domain.', {}],
};

/** Every property gets its meaning; which are without one is for a test to say. */
const withMeanings = (schema: Schema, head: Schema, meanings: Readonly<Record<string, Meaning>>): Schema => {
  const walk = (node: unknown, path: readonly string[]): unknown => {
    if (Array.isArray(node)) return node.map((one) => walk(one, path));
    if (!isObject(node)) return node;
    return Object.fromEntries(
      Object.entries(node).map(([key, member]) => {
        if (key === 'properties' && isObject(member))
          return [
            key,
            Object.fromEntries(
              Object.entries(member).map(([name, one]) => [
                name,
                meant(walk(one, [...path, name]), [...path, name], meanings),
              ]),
            ),
          ];
        if (key === 'additionalProperties' && isObject(member))
          return [key, meant(walk(member, [...path, '*']), [...path, '*'], meanings)];
        return [key, walk(member, path)];
      }),
    );
  };
  return { ...head, ...(walk(schema, []) as Schema) };
};

const meant = (node: unknown, path: readonly string[], meanings: Readonly<Record<string, Meaning>>): unknown => {
  if (!isObject(node)) return node;
  for (let from = 0; from < path.length; from += 1) {
    const found = meanings[path.slice(from).join('/')];
    if (found === undefined || (from > 0 && path.at(-1) === '*' && !path.slice(from).join('/').includes('/'))) continue;
    const [description, standard] = found;
    return { description, ...(standard === undefined || path.includes('fleet') ? {} : { default: standard }), ...node };
  }
  return node;
};
