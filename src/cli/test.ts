// `amends test`: unit tests of rules and runbooks, in time that does not have to pass and with nothing done in the world.
import { readFile, stat, writeFile } from 'node:fs/promises';
import { dirname, relative, resolve } from 'node:path';
import { formatProblem } from '../base/failure.ts';
import type { Config } from '../config.ts';
import type { Mutant } from '../replay/mutate.ts';
import type { RuleCoverage, RunbookCoverage } from '../replay/rule-coverage.ts';
import type { Bases } from '../replay/test-base.ts';
import type { FileResult } from '../replay/test-result.ts';
import { passed } from '../replay/test-result.ts';
import type { Suite } from '../replay/test-suite.ts';
import type { TestParts } from '../replay/test-world.ts';
import type { Command, Invocation } from './terminal/command.ts';
import { Misuse, textOption } from './terminal/command.ts';
import type { Edge } from './terminal/edge.ts';
import { FINE, FOUND } from './terminal/edge.ts';
import { settingsOf } from './terminal/serve-options.ts';
import { printable } from './terminal/text.ts';

export const command: Command = {
  summary:
    'Unit tests of rules and runbooks, in the manner of promtool: alerts at times and canned steps in, what is decided and done out.',
  examples: [
    'amends test',
    'amends test rules/redis runbooks/redis/reconnect.test.yaml',
    'amends test --run="stale clients" --output=json',
    'amends test --coverage --mutate',
    'amends test --junit=results.xml',
    'amends test --from-run=0192c6a1-...',
  ],
  define: (test, act) =>
    void test
      .argument('[paths...]', 'files or folders (default: every *.test.yaml beside rule_files and runbook_files)')
      .option('--config.file <file>', 'configuration of tests that name none (default: amends.yaml)')
      .option('--run <regex>', 'only tests whose name this matches')
      .option('--coverage', 'name rules without a positive and a negative case; exit 1 if there is one')
      .option('--mutate', 'change rules in small ways and report what no test notices')
      .option('--least <share>', 'with --mutate: exit 1 if fewer of the changes are noticed (default: 80%)')
      .option('--junit <file>', "write the results as JUnit's XML as well")
      .option('--from-run <id>', 'write a test of a run that is on record: of its rule and of its runbook')
      .option('--from-alert <id>', 'write a test of an alert that is on record')
      .option('--out <folder>', 'with --from-run or --from-alert: where to write (default: beside the rule)')
      .action(act(run)),
};

const run = async (invocation: Invocation): Promise<number> => {
  const { edge, options, output } = invocation;
  const named = regexOf(textOption(options, 'run'));
  const least = shareOf(textOption(options, 'least') ?? '80%');
  const settings = settingsOf(options);
  if (options['fromRun'] !== undefined || options['fromAlert'] !== undefined)
    return record(invocation, settings.configFile);
  const parts = await partsOf();
  const { createBases } = await import('../replay/test-base.ts');
  const bases = createBases(parts, settings.configFile);
  const paths = await pathsOf(invocation.args, settings.configFile);
  const { runSuite } = await import('../replay/test-suite.ts');
  const files = await Promise.all(paths.map(async (file) => ({ file, text: await readFile(file, 'utf8') })));
  const suite = await runSuite({
    files,
    parts,
    bases,
    named,
    clock: edge.clock,
    progress: progressOn(edge, 'test files run'),
  });
  const chosen = chosenBy(invocation.args);
  const coverage = options['coverage'] === true ? await cover(suite, bases, chosen) : null;
  const mutants = options['mutate'] === true ? await change(suite, bases, parts, chosen, edge) : null;
  const junitFile = textOption(options, 'junit');
  const text = await import('../replay/test-text.ts');
  if (junitFile !== undefined) await writeFile(junitFile, text.junit(suite.files, shown));
  const share = mutants === null ? 1 : text.noticedShare(mutants);
  const good =
    suite.files.every((file) => file.problems.length === 0 && file.tests.every(passed)) &&
    (coverage === null || coverage.rules.every(({ positive, negative }) => positive > 0 && negative > 0)) &&
    share >= least;
  if (output === 'json') edge.out(JSON.stringify(documentOf(suite.files, coverage, mutants, share, good)));
  else {
    const bad = suite.files.filter(({ problems }) => problems.length > 0).length;
    const lines = [
      ...suite.files.flatMap((file) => text.fileLines(file, shown(file.file))),
      text.totalsLine(text.totalsOf(suite.files), bad),
      ...(coverage === null ? [] : text.coverageLines(coverage.rules, coverage.runbooks, shown)),
      ...(mutants === null ? [] : text.mutantLines(mutants, shown)),
    ];
    edge.out(printable(lines.join('\n')));
  }
  return good ? FINE : FOUND;
};

/** From the record of a running amends to test files that pass. */
const record = async ({ client, edge, options, output, args }: Invocation, configFile: string): Promise<number> => {
  const [runId, alertId] = [textOption(options, 'fromRun'), textOption(options, 'fromAlert')];
  if (args.length > 0 || (runId !== undefined && alertId !== undefined))
    throw new Misuse('--from-run and --from-alert each stand alone, with --out for where to write');
  const { recordedOf, writeRecordedTests } = await import('./terminal/recorded-test.ts');
  const recorded = await (runId === undefined
    ? recordedOf(client, 'alert', alertId ?? '')
    : recordedOf(client, 'run', runId));
  const parts = await partsOf();
  const { createBases } = await import('../replay/test-base.ts');
  const bases = createBases(parts, configFile);
  const loaded = await grounds({ files: [], ruleTests: [], runbooks: [] }, bases);
  const folder = textOption(options, 'out') ?? null;
  const files = await writeRecordedTests({ recorded, loaded, configFile, parts, bases, edge, folder });
  edge.out(output === 'json' ? JSON.stringify({ files }) : files.map(shown).join('\n'));
  return FINE;
};

const regexOf = (text: string | undefined): RegExp | null => {
  if (text === undefined) return null;
  try {
    return new RegExp(text);
  } catch (error) {
    throw new Misuse(`--run: ${(error as Error).message}`);
  }
};

const shareOf = (text: string): number => {
  const match = /^(\d{1,3})%$/.exec(text);
  if (match === null || Number(match[1]) > 100) throw new Misuse('--least: a share such as 80%');
  return Number(match[1]) / 100;
};

const shown = (file: string): string => {
  const from = relative(process.cwd(), file);
  return from === '' || from.startsWith('..') ? file : from;
};

const PROGRESS_EVERY_MS = 2_000;

/** Said now and then, and only when it takes long. */
const progressOn = (edge: Edge, what: string): ((done: number, of: number) => void) => {
  let told = edge.clock.monotonic();
  return (done, of) => {
    const now = edge.clock.monotonic();
    if (now - told < PROGRESS_EVERY_MS || done === of) return;
    told = now;
    edge.err(`${done} of ${of} ${what}`);
  };
};

const partsOf = async (): Promise<TestParts> => {
  const [{ loadParts, openScratchStore }, { createLog }, { createRedactor }] = await Promise.all([
    import('../app.ts'),
    import('../base/log.ts'),
    import('../base/secret.ts'),
  ]);
  const log = createLog('silent', createRedactor());
  const { actions, facts } = await loadParts();
  return { actions, facts, log, openStore: (clock, ids) => openScratchStore(clock, ids, log) };
};

const TEST_FILES = ['**/*.test.yaml', '**/*.test.yml'];

const pathsOf = async (args: readonly string[], configFile: string): Promise<readonly string[]> => {
  const { diskReaders } = await import('../config.ts');
  const found = new Set<string>();
  for (const arg of args) {
    const about = await stat(arg).catch(() => null);
    if (about === null)
      throw new Misuse(`${arg} is neither a file nor a folder; name a *.test.yaml, or a folder with some`);
    if (!about.isDirectory()) found.add(resolve(arg));
    else
      for (const pattern of TEST_FILES)
        for (const file of await diskReaders.glob(resolve(arg), pattern)) found.add(file);
  }
  if (args.length === 0) for (const file of await besideRules(configFile)) found.add(file);
  if (found.size === 0) throw new Misuse('there is no *.test.yaml; write one beside a rule: docs/testing.md');
  return [...found].toSorted();
};

const besideRules = async (configFile: string): Promise<readonly string[]> => {
  const { diskReaders } = await import('../config.ts');
  const { ruleFiles, runbookFiles, folder } = await configOf(configFile);
  const patterns = [...ruleFiles, ...runbookFiles].flatMap((pattern) => {
    const beside = dirname(pattern);
    return ['*.test.yaml', '*.test.yml'].map((name) => `${beside}/${name}`);
  });
  const found = await Promise.all(patterns.map((pattern) => diskReaders.glob(folder, pattern)));
  return found.flat();
};

const configOf = async (configFile: string): Promise<Config> => {
  const { loadConfig } = await import('../config.ts');
  const config = await loadConfig(configFile);
  if (!config.ok)
    throw new Misuse(
      `${config.problems.map(formatProblem).join('\n')}\nwithout it the tests have to be named: amends test rules/`,
    );
  return config.value;
};

/** Where paths are given, what stands in their folders; else everything. */
const chosenBy = (args: readonly string[]): ((file: string) => boolean) => {
  if (args.length === 0) return () => true;
  const folders = args.map((arg) => (/\.ya?ml$/.test(arg) ? dirname(resolve(arg)) : resolve(arg)));
  return (file) => folders.some((folder) => file.startsWith(`${folder}/`));
};

type Covered = { readonly rules: readonly RuleCoverage[]; readonly runbooks: readonly RunbookCoverage[] };

const grounds = async (suite: Suite, bases: Bases): Promise<Suite['ruleTests'][number]['loaded']> => {
  const source = {
    file: resolve(bases.defaultConfig),
    text: '',
    value: {},
    problem: () => ({ code: '', message: '' }),
  };
  const base = await bases.of({ source, config: undefined, mode: undefined, withRules: true });
  if (base.ok) return base.value;
  const [first] = suite.ruleTests;
  if (first !== undefined) return first.loaded;
  throw new Misuse(base.problems.map(formatProblem).join('\n'));
};

const cover = async (suite: Suite, bases: Bases, chosen: (file: string) => boolean): Promise<Covered> => {
  const { coverRules, coverRunbooks } = await import('../replay/rule-coverage.ts');
  const { config, catalog } = await grounds(suite, bases);
  const rules = catalog.rules.rules
    .map((rule) => ({ ...rule, folder: config.folder }))
    .filter((rule) => chosen(resolve(config.folder, rule.file)));
  const runbooks = [...catalog.runbooks.values()].filter(({ file }) => chosen(resolve(config.folder, file)));
  return {
    rules: coverRules(rules, suite.ruleTests),
    runbooks: coverRunbooks(
      runbooks.map(({ name }) => name),
      suite.runbooks,
    ),
  };
};

const change = async (
  suite: Suite,
  bases: Bases,
  parts: TestParts,
  chosen: (file: string) => boolean,
  edge: Edge,
): Promise<readonly Mutant[]> => {
  const { mutate } = await import('../replay/mutate.ts');
  const loaded = await grounds(suite, bases);
  const files = await bases.filesOf(loaded.config);
  if (!files.ok) throw new Misuse(files.problems.map(formatProblem).join('\n'));
  return mutate({
    loaded,
    files: files.value.rules,
    conditions: files.value.conditions,
    chosen,
    tests: suite.ruleTests,
    facts: parts.facts,
    progress: progressOn(edge, 'rules changed in every way'),
  });
};

const documentOf = (
  files: readonly FileResult[],
  coverage: Covered | null,
  mutants: readonly Mutant[] | null,
  share: number,
  good: boolean,
): object => ({
  ok: good,
  files: files.map((file) => ({
    ...file,
    tests: file.tests.map(({ name, line, cases, stopped, ms }) => ({
      name,
      line,
      passed: passed({ cases, stopped }),
      stopped,
      ms,
      cases,
    })),
  })),
  ...(coverage === null ? {} : { coverage }),
  ...(mutants === null ? {} : { noticed: share, mutants }),
});
