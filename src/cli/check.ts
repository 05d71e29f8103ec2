// `amends check`: reads configuration, rules, runbooks and alert files as they stand and says everything that is wrong with
// them: what loading would refuse, and what it would not.
import { readFile, stat } from 'node:fs/promises';
import { dirname, isAbsolute, relative, resolve, sep } from 'node:path';
import { formatProblem } from '../base/failure.ts';
import type { Problem } from '../base/failure.ts';
import { isObject } from '../base/json.ts';
import type { Config, Settings } from '../config.ts';
import type { Neighbour } from '../port/sources.ts';
import type { Options, Command, Invocation } from './terminal/command.ts';
import { Misuse, textOption } from './terminal/command.ts';
import { FINE, FOUND } from './terminal/edge.ts';
import { addPrometheusFlags, askOf, patienceOf, prometheusOf } from './terminal/prometheus.ts';
import { addFileFlags, settingsOf } from './terminal/serve-options.ts';
import { printable } from './terminal/text.ts';

export const command: Command = {
  summary:
    'Check configuration, rules, runbooks and alerts without starting: every problem with its place and its mend. Exit 1 if there is one.',
  examples: [
    'amends check',
    'amends check --config.file=/etc/amends/amends.yaml',
    'amends check rules/redis runbooks/redis/reconnect.yaml',
    'amends check --prometheus.url=http://127.0.0.1:9090',
    'amends check --output=github',
    'amends check --output=sarif > amends.sarif',
    'amends check --output=json | jq .problems',
  ],
  outputs: ['github', 'sarif'],
  define: (check, act) =>
    void addPrometheusFlags(
      addFileFlags(
        check.argument(
          '[paths...]',
          'show only what is wrong in these files and folders; a configuration alone is taken in place of --config.file',
        ),
      ).option('--alerts <globs>', "Prometheus' rule files, comma-separated (default: alerts/*.yaml, alerts/*.yml)"),
      'ask this Prometheus whether the metrics, alerts and labels are there',
    ).action(act(run)),
};

const run = async ({ args, edge, options, output }: Invocation): Promise<number> => {
  const { settings, paths } = await readArguments(args, options);
  const looked = await look(settings, options, (line) => edge.err(line));
  const wanted = wantedOf(paths, looked);
  const problems = looked.problems.filter(({ file }) => wanted(file ?? '')).map(shownFromHere);
  const { found } = looked;
  if (output === 'json') edge.out(JSON.stringify({ ok: problems.length === 0, problems, ...found }));
  else if (output === 'sarif') edge.out(JSON.stringify(await sarifOf(problems), null, 2));
  else if (output === 'github') {
    const { annotation } = await import('./terminal/annotations.ts');
    for (const problem of problems) edge.out(annotation(problem));
    edge.err(problems.length === 0 ? sentence(found) : countText(problems.length, 'problem'));
  } else if (problems.length > 0)
    edge.out(
      `${problems.map((problem) => printable(formatProblem(problem))).join('\n')}\n${countText(problems.length, 'problem')}`,
    );
  else edge.out(sentence(found));
  return problems.length === 0 ? FINE : FOUND;
};

const sarifOf = async (problems: readonly Problem[]): Promise<Readonly<Record<string, unknown>>> => {
  const { sarif } = await import('./terminal/sarif.ts');
  const { CODES } = await import('../replay/findings/codes.ts');
  const text = await readFile(new URL('../../package.json', import.meta.url), 'utf8');
  return sarif(problems, CODES, (JSON.parse(text) as { version: string }).version);
};

/** One path that is a configuration is taken as that, unless the flag names one. */
const readArguments = async (
  args: readonly string[],
  options: Options,
): Promise<{ readonly settings: Settings; readonly paths: readonly string[] }> => {
  const [only] = args;
  const given = options['config.file'] ?? options['configFile'];
  if (args.length === 1 && only !== undefined && given === undefined && (await isConfiguration(only)))
    return { settings: settingsOf({ ...options, 'config.file': only }), paths: [] };
  return { settings: settingsOf(options), paths: args };
};

/** By what stands in it: a runbook has steps, alerts have groups, tests have tests, an inventory is a list. */
const OTHER_YAML = /^(?:["']?(?:steps|verify|groups|tests)["']?\s*:|-\s)/m;

const isConfiguration = async (path: string): Promise<boolean> => {
  if (!/\.ya?ml$/.test(path) && !(path.endsWith('.json') && /amends[^/]*$/.test(path))) return false;
  const text = await readFile(path, 'utf8').catch(() => null);
  // One that is not there is missed as a configuration.
  return text === null ? !(await isFolder(path)) : !OTHER_YAML.test(text);
};

const isFolder = async (path: string): Promise<boolean> => (await stat(path).catch(() => null))?.isDirectory() === true;

type Found = {
  readonly config: string;
  readonly components: number;
  readonly rules: number;
  readonly runbooks: number;
  readonly alerts: number;
};
/** Files are absolute here. */
type Look = { readonly problems: readonly Problem[]; readonly files: readonly string[]; readonly found: Found };
type Source = { readonly file: string; readonly text: string };

/** What can only be told with a configuration that is good. */
const NEED_CONFIG: ReadonlySet<string> = new Set([
  'unknown-degraded-mode',
  'looser-limit',
  'unknown-component',
  'missing-file',
  'needs-prometheus',
]);

const look = async (settings: Settings, options: Options, note: (line: string) => void): Promise<Look> => {
  const { loadParts } = await import('../app.ts');
  const { findCatalogFiles, readParts } = await import('../catalog.ts');
  const { findAll } = await import('../replay/findings/find.ts');
  const { openFile } = await import('../replay/findings/places.ts');
  const { loadConfig, builtInConfig } = await import('../config.ts');
  const { loadWebConfig } = await import('../config-web.ts');
  const web = settings.webConfigFile === null ? null : await loadWebConfig(settings.webConfigFile);
  const config = await loadConfig(settings.configFile, undefined, settings.recoveryMode);
  const folder = resolve(dirname(settings.configFile));
  const at = (file: string): string => resolve(folder, file);
  const configText = await readFile(settings.configFile, 'utf8').catch(() => '');
  // A broken configuration must not hide what is wrong with the rules: those are read with the defaults then.
  const used: Config = config.ok
    ? config.value
    : { ...builtInConfig(folder, settings.recoveryMode), ...filesNamedBy(openFile(configText).value) };
  const isThere = configText !== '' || config.ok;
  const files = isThere
    ? await findCatalogFiles(used)
    : { rules: [], runbooks: [], conditions: [], problems: [], beside: new Set<string>() };
  const parts = await loadParts();
  const catalog = readParts(files, { config: used, ...parts });
  const ofCatalog = [...files.problems, ...catalog.problems].filter(({ code }) => config.ok || !NEED_CONFIG.has(code));

  const alertFiles = isThere ? await readAlerts(folder, textOption(options, 'alerts')) : [];
  const texts = new Map<string, string>(
    [
      ...files.rules,
      ...files.runbooks,
      ...files.conditions,
      ...alertFiles,
      { file: settings.configFile, text: configText },
    ].map(({ file, text }) => [at(file), text]),
  );
  const open = remembered((file) => openFile(texts.get(file) ?? ''));
  const written = (list: readonly Source[]) => list.map(({ file }) => ({ file, value: open(at(file)).value }));
  const all = { rules: written(files.rules), runbooks: written(files.runbooks), conditions: written(files.conditions) };
  const configFile = config.ok ? { file: at(settings.configFile), value: open(at(settings.configFile)).value } : null;
  const present = await askPrometheus(options, used.prometheus, note, {
    ...all,
    config: configFile,
    components: used.components,
  });
  const findings = findAll({
    rules: inOrder(catalog.rules),
    runbooks: catalog.runbooks,
    actions: parts.actions,
    components: used.components,
    written: all,
    beside: files.beside,
    alertFiles,
    whole: config.ok && ofCatalog.length === 0,
    refused: new Set(ofCatalog.map(({ file }) => file ?? '')),
    config: used,
    present,
  });
  const told = [
    ...(config.ok ? [] : config.problems),
    ...(web === null || web.ok ? [] : web.problems),
    ...ofCatalog,
    ...findings,
  ];
  const { CODES } = await import('../replay/findings/codes.ts');
  const complete = (problem: Problem): Problem => {
    const file = at(problem.file ?? settings.configFile);
    const mend = problem.mend ?? CODES.get(problem.code)?.mend;
    const place = problem.line === undefined && texts.has(file) ? open(file).place(problem.pointer ?? '') : {};
    return { line: 1, column: 1, pointer: '', ...place, ...problem, ...(mend === undefined ? {} : { mend }), file };
  };
  return {
    problems: told.map(complete).toSorted(byPlace),
    files: [...texts.keys(), ...(settings.webConfigFile === null ? [] : [resolve(settings.webConfigFile)])],
    found: {
      config: settings.configFile,
      components: used.components.size,
      rules: catalog.rules.length,
      runbooks: catalog.runbooks.size,
      alerts: alertFiles.length,
    },
  };
};

/** As they are asked: by priority, then by name. */
const inOrder = <T extends { readonly priority: number; readonly name: string }>(rules: readonly T[]): readonly T[] =>
  rules.toSorted((left, right) => right.priority - left.priority || (left.name < right.name ? -1 : 1));

const byPlace = (left: Problem, right: Problem): number => {
  const [one, other] = [left.file ?? '', right.file ?? ''];
  if (one !== other) return one < other ? -1 : 1;
  return (left.line ?? 0) - (right.line ?? 0) || (left.column ?? 0) - (right.column ?? 0);
};

const remembered = <T>(make: (key: string) => T): ((key: string) => T) => {
  const known = new Map<string, T>();
  return (key) => {
    const found = known.get(key) ?? make(key);
    known.set(key, found);
    return found;
  };
};

const DEFAULT_ALERTS = ['alerts/*.yaml', 'alerts/*.yml'];

const readAlerts = async (folder: string, globs: string | undefined): Promise<readonly Source[]> => {
  const { glob } = await import('../config-files.ts');
  const patterns = globs === undefined ? DEFAULT_ALERTS : globs.split(',').map((one) => one.trim());
  const found = new Set<string>();
  for (const pattern of patterns) {
    const matched = await glob(folder, pattern);
    if (matched.length === 0 && globs !== undefined)
      throw new Misuse(`--alerts: ${pattern} names no file, seen from ${folder}; for example --alerts='alerts/*.yaml'`);
    for (const file of matched) if (!/\.test\.ya?ml$/.test(file)) found.add(file);
  }
  return Promise.all([...found].map(async (file) => ({ file, text: await readFile(file, 'utf8').catch(() => '') })));
};

type Needing = Parameters<(typeof import('../replay/findings/needs.ts'))['needsOf']>[0];
const PATIENCE_MS = 5_000;

/** Null when nobody has said whom to ask. */
const askPrometheus = async (
  options: Options,
  configured: Neighbour | null,
  note: (line: string) => void,
  from: Needing,
): Promise<readonly Problem[] | null> => {
  const named = prometheusOf(options, configured, note);
  if (named === null) return null;
  const { needsOf } = await import('../replay/findings/needs.ts');
  const { askWhatIsThere } = await import('../replay/findings/prometheus.ts');
  const place = { url: named.url, file: from.config?.file ?? '' };
  return askWhatIsThere(needsOf(from), askOf(named, patienceOf(options, PATIENCE_MS)), place);
};

/** What can be made out of a configuration that is refused. */
const filesNamedBy = (given: unknown): Pick<Config, 'ruleFiles' | 'runbookFiles'> => {
  const named = (key: string, otherwise: string): readonly string[] => {
    const value = isObject(given) ? given[key] : undefined;
    return Array.isArray(value) && value.every((one) => typeof one === 'string') ? value : [otherwise];
  };
  return {
    ruleFiles: named('rule_files', 'rules/**/*.json'),
    runbookFiles: named('runbook_files', 'runbooks/**/*.yaml'),
  };
};

/** A path that is none of what is read is a slip of the pen, not a file without problems. */
const wantedOf = (paths: readonly string[], { files }: Look): ((file: string) => boolean) => {
  const places = paths.map((path) => resolve(path));
  for (const [index, place] of places.entries())
    if (!files.some((file) => isWithin(file, place)))
      throw new Misuse(
        `${paths[index] ?? ''}: nothing that is read lies there. Read are the configuration, what its rule_files and runbook_files name, and the alert files.`,
      );
  return (file) => places.length === 0 || places.some((place) => isWithin(file, place));
};

const isWithin = (file: string, place: string): boolean => file === place || file.startsWith(`${place}${sep}`);

/** As one would type it from here. */
const shownFromHere = (problem: Problem): Problem => {
  const file = relative('.', problem.file ?? '');
  return file.startsWith('..') || isAbsolute(file) ? problem : { ...problem, file };
};

const countText = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? '' : 's'}`;

const sentence = ({ config, components, rules, runbooks, alerts }: Found): string =>
  `${config}: good. ${[
    countText(components, 'component'),
    countText(rules, 'rule'),
    countText(runbooks, 'runbook'),
    ...(alerts === 0 ? [] : [countText(alerts, 'alert file')]),
  ].join(', ')}.`;
