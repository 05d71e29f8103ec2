// `amends check`: reads configuration, rules and runbooks as `serve` would and says everything that is wrong with them.
import { readFile } from 'node:fs/promises';
import { dirname, relative } from 'node:path';
import { parseDocument } from 'yaml';
import { formatProblem } from '../base/failure.ts';
import type { Problem } from '../base/failure.ts';
import { isObject } from '../base/json.ts';
import type { Config, Settings } from '../config.ts';
import type { Command, Invocation } from './terminal/command.ts';
import { FINE, FOUND } from './terminal/edge.ts';
import { addFileFlags, settingsOf } from './terminal/serve-options.ts';
import { printable } from './terminal/text.ts';

export const command: Command = {
  summary:
    'Check configuration, rules and runbooks without starting: every problem with its place and its mend. Exit 1 if there is one.',
  examples: [
    'amends check',
    'amends check --config.file=/etc/amends/amends.yaml',
    'amends check --output=json | jq .problems',
  ],
  define: (check, act) => void addFileFlags(check.argument('[file]', 'in place of --config.file')).action(act(run)),
};

/** What can only be told with a configuration that is good. */
const NEED_CONFIG: ReadonlySet<string> = new Set([
  'unknown-degraded-mode',
  'looser-limit',
  'unknown-component',
  'missing-file',
]);

const run = async ({ args, edge, options, output }: Invocation): Promise<number> => {
  const file = args[0];
  const settings = settingsOf(file === undefined ? options : { ...options, 'config.file': file });
  const { problems, found } = await look(settings);
  if (output === 'json') edge.out(JSON.stringify({ ok: problems.length === 0, problems, ...found }));
  else if (problems.length > 0)
    edge.out(
      `${problems.map((problem) => printable(formatProblem(problem))).join('\n')}\n${countText(problems.length, 'problem')}`,
    );
  else edge.out(sentence(found));
  return problems.length === 0 ? FINE : FOUND;
};

type Found = {
  readonly config: string;
  readonly components: number;
  readonly rules: number;
  readonly runbooks: number;
};
type Look = { readonly problems: readonly Problem[]; readonly found: Found };

const look = async (settings: Settings): Promise<Look> => {
  const [{ loadParts }, { loadCatalog }, configuration, { findConflicts }] = await Promise.all([
    import('../app.ts'),
    import('../catalog.ts'),
    import('../config.ts'),
    import('../replay/conflicts.ts'),
  ]);
  const { loadConfig, loadWebConfig, builtInConfig } = configuration;
  const web = settings.webConfigFile === null ? null : await loadWebConfig(settings.webConfigFile);
  const config = await loadConfig(settings.configFile, undefined, settings.recoveryMode);
  // A broken configuration must not hide what is wrong with the rules: those are read with the defaults then.
  const used = config.ok
    ? config.value
    : {
        ...builtInConfig(dirname(settings.configFile), settings.recoveryMode),
        ...(await filesNamedBy(settings.configFile)),
      };
  const folderFound =
    config.ok ||
    !config.problems.some((problem) => problem.code === 'no-such-file' && isSame(problem.file, settings.configFile));
  const catalog = folderFound ? await loadCatalog({ config: used, ...(await loadParts()) }) : null;
  const ofCatalog =
    catalog === null
      ? []
      : catalog.ok
        ? findConflicts({ rules: catalog.value.rules.rules, runbooks: catalog.value.runbooks })
        : catalog.problems.filter((problem) => config.ok || !NEED_CONFIG.has(problem.code));
  return {
    problems: [...(config.ok ? [] : config.problems), ...(web === null || web.ok ? [] : web.problems), ...ofCatalog],
    found: {
      config: settings.configFile,
      components: used.components.size,
      rules: catalog?.ok === true ? catalog.value.rules.rules.length : 0,
      runbooks: catalog?.ok === true ? catalog.value.runbooks.size : 0,
    },
  };
};

/** What can be made out of a configuration that is refused. */
const filesNamedBy = async (file: string): Promise<Pick<Config, 'ruleFiles' | 'runbookFiles'>> => {
  const text = await readFile(file, 'utf8').catch(() => '');
  const document = parseDocument(text);
  // Aliases are refused, and are not followed here either.
  const plainly = document.errors.length === 0 && !/[*&]\w/.test(text);
  const given: unknown = plainly ? document.toJS() : null;
  const named = (key: string, otherwise: string): readonly string[] => {
    const value = isObject(given) ? given[key] : undefined;
    return Array.isArray(value) && value.every((one) => typeof one === 'string') ? value : [otherwise];
  };
  return {
    ruleFiles: named('rule_files', 'rules/**/*.json'),
    runbookFiles: named('runbook_files', 'runbooks/**/*.yaml'),
  };
};

const isSame = (left: string | undefined, right: string): boolean => left !== undefined && relative(left, right) === '';

const countText = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? '' : 's'}`;

const sentence = ({ config, components, rules, runbooks }: Found): string =>
  `${config}: good. ${countText(components, 'component')}, ${countText(rules, 'rule')}, ${countText(runbooks, 'runbook')}.`;
