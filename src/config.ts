// The configuration: schema, defaults, file and environment. The only reader of process.env.
import { readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import type { Component } from './alert/component.ts';
import { DEFAULT_IGNORED_LABELS } from './alert/episode.ts';
import { ok, refused } from './base/failure.ts';
import type { Problem, Result } from './base/failure.ts';
import type { Pardon } from './base/findings.ts';
import { digest } from './base/json.ts';
import type { Json } from './base/json.ts';
import { buildComponent, defaultPolicy, inherit, sharedTargets, unknownName } from './config-build.ts';
import type { Files, Text } from './config-build.ts';
import { withGuards } from './config-guards.ts';
import { diskReaders, readText } from './config-files.ts';
import type { Readers } from './config-files.ts';
import { configSchema } from './config-schema.ts';
import type { ConfigShape } from './config-schema.ts';
import { readShape, readYaml } from './config-source.ts';
import type { Source } from './config-source.ts';
import type { Allow } from './port/action.ts';
import type { Credential, Neighbour } from './port/sources.ts';
import { MODES } from './rule/limits.ts';
import type { Mode, Policy } from './rule/limits.ts';
import type { Severity } from './runbook/runbook.ts';

export { defaultPolicy, diskReaders };

export type DegradedMode = {
  readonly available: readonly string[];
  readonly unavailable: readonly string[];
  readonly impact: string;
  /** Receivers that are told when it goes on and off. */
  readonly notify?: readonly string[];
};

/** A read-only action on a schedule. `with` is from the target's connect unless given; `every` is milliseconds. */
export type Probe = {
  readonly name: string;
  readonly uses: string;
  readonly component: string;
  readonly target: string;
  readonly every: number;
  readonly timeout: number;
  readonly with: Readonly<Record<string, Json>>;
};

export type Receiver = {
  readonly name: string;
  readonly type: string;
  readonly settings: Readonly<Record<string, Json>>;
};
export type Route = { readonly severity: readonly Severity[]; readonly receiver: string };

export type ConfiguredComponent = Component & { readonly policy: Policy };

/** amends.yaml after reading, with every default put in and every duration in milliseconds. */
export type Config = {
  readonly digest: string;
  /** Null when amends started without a file: shadow mode, nothing declared. */
  readonly file: string | null;
  /** The folder that relative paths start from. */
  readonly folder: string;
  readonly ruleFiles: readonly string[];
  readonly runbookFiles: readonly string[];
  /** `sources` are those of the credentials whose alerts it can be asked about. */
  readonly alertmanagers: ReadonlyArray<Neighbour & { readonly sources: readonly string[] }>;
  readonly prometheus: Neighbour | null;
  /** `recovery`, which every component inherits from. */
  readonly recovery: Policy;
  readonly components: ReadonlyMap<string, ConfiguredComponent>;
  readonly degradedModes: ReadonlyMap<string, DegradedMode>;
  readonly allow: Allow;
  readonly probes: readonly Probe[];
  readonly receivers: readonly Receiver[];
  readonly routes: readonly Route[];
  /** Milliseconds between two status updates while an escalation of this severity is open; null: none is asked for. */
  readonly statusUpdates: Readonly<Record<Severity, number | null>>;
  readonly ignoreLabels: ReadonlySet<string>;
  readonly auditRetentionDays: number;
  readonly auditCompression: boolean;
  /** Who is told once a day where the audit ends; null: nobody beside the log, the metric and whoever is told of anything. */
  readonly auditHeadReceiver: string | null;
  readonly journalRetentionDays: number;
  /** Findings of `amends check` about this file that are meant so. */
  readonly pardons?: readonly Pardon[];
  /** All texts that made it, the file itself first, then inventories. */
  readonly texts: readonly Text[];
};

/** What the flags and the environment say. */
export type Settings = {
  readonly configFile: string;
  /** True when the file was named rather than taken by default: then it must exist. */
  readonly configFileGiven: boolean;
  readonly listen: { readonly host: string; readonly port: number };
  readonly externalUrl: string | null;
  readonly storagePath: string;
  readonly storageUrl: string | null;
  readonly webConfigFile: string | null;
  readonly recoveryMode: string | null;
  readonly haltFile: string;
  readonly acceptEmptyHistory: boolean;
  readonly logLevel: 'debug' | 'info' | 'warn' | 'error' | 'silent';
  readonly logFormat?: 'json' | 'logfmt';
};

export type Environment = Readonly<Record<string, string | undefined>>;
export const environment = (): Environment => process.env;

type Flags = Readonly<Record<string, unknown>>;
const LOG_LEVELS: readonly Settings['logLevel'][] = ['debug', 'info', 'warn', 'error', 'silent'];
const LOG_FORMATS = ['json', 'logfmt'] as const;

/**
 * Flag, then environment, then default. `flags` has the names of `amends serve` without the dashes (`web.listen-address`,
 * also as commander spells it, `web.listenAddress`). The environment's names are the same in capitals
 * (`AMENDS_WEB_LISTEN_ADDRESS`); with `_FILE` behind it names a file that holds the value.
 */
export const readSettings = (flags: Flags, env: Environment): Result<Settings> => {
  const problems: Problem[] = [];
  const read = (flag: string): string | null => {
    const given = flags[flag] ?? flags[flag.replaceAll(/-(\w)/g, (_, letter: string) => letter.toUpperCase())];
    if (typeof given === 'string' || typeof given === 'number' || typeof given === 'boolean') return String(given);
    const variable = `AMENDS_${flag.toUpperCase().replaceAll(/[.-]/g, '_')}`;
    const direct = env[variable];
    if (direct !== undefined && direct !== '') return direct;
    const file = env[`${variable}_FILE`];
    if (file === undefined || file === '') return null;
    try {
      return readFileSync(file, 'utf8').trim();
    } catch (error) {
      problems.push({
        code: 'no-such-file',
        message: `${variable}_FILE names ${file}, which cannot be read: ${(error as NodeJS.ErrnoException).code ?? ''}`,
        mend: 'name a file that can be read',
      });
      return null;
    }
  };
  const wrong = (flag: string, message: string, mend: string): void =>
    void problems.push({ code: 'bad-setting', message: `--${flag}: ${message}`, mend });
  const configFile = read('config.file');
  const address = read('web.listen-address') ?? '127.0.0.1:9193';
  const listen = readAddress(address);
  if (listen === null)
    wrong(
      'web.listen-address',
      `${JSON.stringify(address)} is not an address`,
      'write host:port, such as 127.0.0.1:9193 or :9193',
    );
  const externalUrl = read('web.external-url');
  if (externalUrl !== null && externalUrl !== '' && !/^https?:\/\//.test(externalUrl))
    wrong('web.external-url', 'an http or https address is expected', 'write it like https://amends.example.com');
  const storagePath = read('storage.path') ?? './data';
  const storageUrl = read('storage.url');
  const recoveryMode = read('recovery.mode');
  if (recoveryMode !== null && recoveryMode !== '' && !MODES.includes(recoveryMode as Mode))
    wrong('recovery.mode', `${JSON.stringify(recoveryMode)} is not a mode`, `use one of ${MODES.join(', ')}`);
  const logLevel = LOG_LEVELS.find((level) => level === (read('log.level') ?? 'info'));
  if (logLevel === undefined) wrong('log.level', 'it is not a level', `use one of ${LOG_LEVELS.join(', ')}`);
  const logFormat = LOG_FORMATS.find((format) => format === (read('log.format') ?? 'json'));
  if (logFormat === undefined) wrong('log.format', 'it is not a format', `use one of ${LOG_FORMATS.join(', ')}`);
  const accept = read('storage.accept-empty-history') ?? 'false';
  if (accept !== 'true' && accept !== 'false')
    wrong('storage.accept-empty-history', 'true or false is expected', 'write true or false');
  if (problems.length > 0 || listen === null || logLevel === undefined || logFormat === undefined)
    return refused(problems);
  return ok({
    configFile: configFile ?? 'amends.yaml',
    configFileGiven: configFile !== null,
    listen,
    externalUrl: externalUrl === null || externalUrl === '' ? null : externalUrl.replace(/\/+$/, ''),
    storagePath,
    storageUrl: storageUrl === '' ? null : storageUrl,
    webConfigFile: read('web.config.file'),
    recoveryMode: recoveryMode === '' ? null : recoveryMode,
    haltFile: read('halt.file') ?? join(storagePath, 'halt'),
    acceptEmptyHistory: accept === 'true',
    logLevel,
    logFormat,
  });
};

/** `host:port`, `[v6]:port`, or `:port` for every address. */
const readAddress = (text: string): Settings['listen'] | null => {
  const match = /^(?:\[([0-9a-fA-F:.%]+)\]|([^:\s[\]/]*)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  if (match === null || port > 65_535) return null;
  const host = match[1] ?? match[2] ?? '';
  return { host: host === '' ? '::' : host, port };
};

/** `recoveryMode` is the flag's or the environment's, which go before the file. */
export const loadConfig = async (
  file: string,
  readers: Readers = diskReaders,
  recoveryMode: string | null = null,
): Promise<Result<Config>> => {
  const path = resolve(file);
  const text = await readText(readers, path);
  if (!text.ok) return text;
  const source = readYaml(path, text.value);
  if (!source.ok) return source;
  const shape = readShape(source.value, configSchema);
  if (!shape.ok) return shape;
  return buildConfig(source.value, shape.value, readers, recoveryMode);
};

/** Without a file amends watches and says what it would need: shadow mode, nothing declared, so nothing to act on. */
export const builtInConfig = (folder: string, recoveryMode: string | null = null): Config =>
  assemble(null, resolve(folder), {}, new Map(), withMode(defaultPolicy, recoveryMode), []);

const withMode = (policy: Policy, mode: string | null): Policy => ({
  ...policy,
  mode: MODES.find((known) => known === mode) ?? policy.mode,
});

const NO_PROMETHEUS =
  'min_healthy is a question to Prometheus, and none is configured: nothing would ever be recovered';

const buildConfig = async (
  source: Source,
  shape: ConfigShape,
  readers: Readers,
  recoveryMode: string | null,
): Promise<Result<Config>> => {
  const folder = dirname(source.file);
  const files: Files = { find: (pattern) => readers.glob(folder, pattern), read: (file) => readText(readers, file) };
  const problems: Problem[] = [];
  const reportUnder =
    (under: readonly PropertyKey[]) => (code: string, path: readonly PropertyKey[], message: string, mend: string) =>
      void problems.push(source.problem(code, [...under, ...path], message, mend));
  const recovery = withMode(inherit(defaultPolicy, shape.recovery ?? {}, reportUnder(['recovery'])), recoveryMode);
  const texts: Text[] = [source];
  const components = new Map<string, ConfiguredComponent>();
  for (const [name, given] of Object.entries(shape.components ?? {})) {
    const built = await buildComponent(source, name, given, files);
    problems.push(...built.problems);
    texts.push(...built.texts);
    const report = reportUnder(['components', name]);
    const policy = withGuards(inherit(recovery, given, report), given, built.component, report);
    if (policy.minHealthy !== null && shape.prometheus === undefined)
      report('needs-prometheus', ['min_healthy'], NO_PROMETHEUS, 'add prometheus: { url: http://127.0.0.1:9090 }');
    components.set(name, { ...built.component, policy });
  }
  problems.push(...sharedTargets(source, components.values()), ...unknownNames(source, shape, components));
  return problems.length > 0
    ? refused(problems)
    : ok(assemble(source.file, folder, shape, components, recovery, texts));
};

const unknownNames = (source: Source, shape: ConfigShape, components: ReadonlyMap<string, Component>): Problem[] => {
  const problems: Problem[] = [];
  const twice = (path: readonly PropertyKey[], what: string, names: readonly string[]): void => {
    for (const [index, name] of names.entries()) {
      if (names.indexOf(name) < index)
        problems.push(
          source.problem(
            'duplicate-name',
            [...path, index, 'name'],
            `there are two ${what}s named ${name}`,
            'rename one',
          ),
        );
    }
  };
  const probes = shape.probes ?? [];
  twice(
    ['probes'],
    'probe',
    probes.map((probe) => probe.name),
  );
  for (const [index, probe] of probes.entries()) {
    const component = components.get(probe.component);
    if (component === undefined)
      problems.push(
        unknownName(source, ['probes', index, 'component'], 'component', probe.component, components.keys()),
      );
    else if (!component.targets.has(probe.target))
      problems.push(
        unknownName(
          source,
          ['probes', index, 'target'],
          `target of ${component.name}`,
          probe.target,
          component.targets.keys(),
        ),
      );
  }
  const receivers = (shape.notify?.receivers ?? []).map((receiver) => receiver.name);
  twice(['notify', 'receivers'], 'receiver', receivers);
  for (const [index, route] of (shape.notify?.routes ?? []).entries()) {
    if (!receivers.includes(route.receiver))
      problems.push(
        unknownName(source, ['notify', 'routes', index, 'receiver'], 'receiver', route.receiver, receivers),
      );
  }
  const told = shape.audit?.head_receiver;
  if (told !== undefined && !receivers.includes(told))
    problems.push(unknownName(source, ['audit', 'head_receiver'], 'receiver', told, receivers));
  for (const [mode, { notify = [] }] of Object.entries(shape.degraded_modes ?? {})) {
    for (const [index, name] of notify.entries()) {
      if (!receivers.includes(name))
        problems.push(unknownName(source, ['degraded_modes', mode, 'notify', index], 'receiver', name, receivers));
    }
  }
  return problems;
};

const ALL_SEVERITIES: readonly Severity[] = ['SEV1', 'SEV2', 'SEV3', 'SEV4'];
/** A quarter of an hour at SEV1 is what the operations runbooks ask for; the others can wait for who looks. */
const DEFAULT_STATUS_UPDATES: Config['statusUpdates'] = {
  SEV1: 15 * 60_000,
  SEV2: 60 * 60_000,
  SEV3: null,
  SEV4: null,
};

const withoutOff = (
  given: NonNullable<ConfigShape['notify']>['status_updates'] = {},
): Partial<Config['statusUpdates']> =>
  Object.fromEntries(Object.entries(given).map(([severity, every]) => [severity, every === 'off' ? null : every]));

const assemble = (
  file: string | null,
  folder: string,
  shape: ConfigShape,
  components: ReadonlyMap<string, ConfiguredComponent>,
  recovery: Policy,
  texts: readonly Text[],
): Config => ({
  digest: digest({ texts: texts.map(({ text }) => text), mode: recovery.mode }),
  file,
  folder,
  ruleFiles: shape.rule_files ?? (file === null ? [] : ['rules/**/*.json']),
  runbookFiles: shape.runbook_files ?? (file === null ? [] : ['runbooks/**/*.yaml']),
  alertmanagers: (shape.alertmanagers ?? []).map(({ sources = ['alertmanager'], ...neighbour }) => ({
    ...neighbourOf(folder, neighbour),
    sources,
  })),
  prometheus: shape.prometheus === undefined ? null : neighbourOf(folder, shape.prometheus),
  recovery,
  components,
  degradedModes: new Map(
    Object.entries(shape.degraded_modes ?? {}).map(([name, mode]) => [
      name,
      {
        available: mode.available ?? [],
        unavailable: mode.unavailable ?? [],
        impact: mode.impact ?? '',
        ...(mode.notify === undefined ? {} : { notify: mode.notify }),
      },
    ]),
  ),
  allow: {
    hosts: shape.allow?.hosts ?? [],
    commands: shape.allow?.commands ?? [],
    paths: shape.allow?.paths ?? [],
    containers: shape.allow?.containers ?? [],
  },
  probes: (shape.probes ?? []).map((probe) => ({
    name: probe.name,
    uses: probe.uses,
    component: probe.component,
    target: probe.target,
    every: probe.every ?? 30_000,
    timeout: probe.timeout ?? 10_000,
    with: probe.with ?? components.get(probe.component)?.targets.get(probe.target)?.connect ?? {},
  })),
  receivers: (shape.notify?.receivers ?? []).map(({ name, type, ...settings }) => ({
    name,
    type,
    settings: settings as Record<string, Json>,
  })),
  routes: (shape.notify?.routes ?? []).map((route) => ({
    severity: route.severity ?? ALL_SEVERITIES,
    receiver: route.receiver,
  })),
  statusUpdates: { ...DEFAULT_STATUS_UPDATES, ...withoutOff(shape.notify?.status_updates) },
  ignoreLabels: new Set(shape.ignore_labels ?? DEFAULT_IGNORED_LABELS),
  auditRetentionDays: shape.audit?.retention_days ?? 30,
  auditCompression: shape.audit?.compression_enabled ?? true,
  auditHeadReceiver: shape.audit?.head_receiver ?? null,
  journalRetentionDays: shape.journal?.retention_days ?? 30,
  ...(shape.ignore === undefined ? {} : { pardons: shape.ignore }),
  texts: texts.map(({ file: from, text }) => ({ file: from, text })),
});

const neighbourOf = (folder: string, shape: NonNullable<ConfigShape['prometheus']>): Neighbour => {
  const { url, basic_auth: basic, bearer_token_file: token } = shape;
  const credential: Credential | null =
    basic !== undefined
      ? { type: 'basic', username: basic.username, passwordFile: resolve(folder, basic.password_file) }
      : token !== undefined
        ? { type: 'bearer', tokenFile: resolve(folder, token) }
        : null;
  return { url, credential };
};
