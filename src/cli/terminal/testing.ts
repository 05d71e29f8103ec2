// Runs test files for the commands that do, and says what came of it.
import { readFile, stat, writeFile } from 'node:fs/promises';
import { dirname, relative, resolve } from 'node:path';
import { formatProblem } from '../../base/failure.ts';
import { isObject } from '../../base/json.ts';
import type { Config } from '../../config.ts';
import type { Mutant } from '../../replay/mutate.ts';
import type { RuleCoverage, RunbookCoverage } from '../../replay/rule-coverage.ts';
import type { Bases } from '../../replay/test-base.ts';
import type { FileResult } from '../../replay/test-result.ts';
import { passed } from '../../replay/test-result.ts';
import type { Suite } from '../../replay/test-suite.ts';
import type { TestParts } from '../../replay/test-world.ts';
import type { Invocation } from './command.ts';
import { Misuse, textOption } from './command.ts';
import type { Edge } from './edge.ts';
import { FINE, FOUND } from './edge.ts';
import { settingsOf } from './serve-options.ts';
import { printable } from './text.ts';

/** Runs files, folders, or everything beside the rules and runbooks, and gives the exit code. */
export const runTests = async (invocation: Invocation, paths: readonly string[]): Promise<number> => {
  const { edge, options, output } = invocation;
  const named = regexOf(textOption(options, 'run'));
  const least = shareOf(textOption(options, 'least') ?? '80%');
  const settings = settingsOf(options);
  const parts = await partsOf();
  const { createBases } = await import('../../replay/test-base.ts');
  const bases = createBases(parts, settings.configFile);
  const found = await pathsOf(paths, settings.configFile);
  const { runSuite } = await import('../../replay/test-suite.ts');
  const files = await Promise.all(found.map(async (file) => ({ file, text: await readFile(file, 'utf8') })));
  const run = await runSuite({
    files,
    parts,
    bases,
    named,
    clock: edge.clock,
    progress: progressOn(edge, 'test files run'),
  });
  const suite: Suite = { ...run, files: run.files.map(placedFromHere) };
  const chosen = chosenBy(paths);
  const coverage = options['coverage'] === true ? await cover(suite, bases, chosen) : null;
  const mutants = options['mutate'] === true ? await change(suite, bases, parts, chosen, edge) : null;
  const junitFile = textOption(options, 'junit');
  const text = await import('../../replay/test-text.ts');
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

export const shown = (file: string): string => {
  const from = relative(process.cwd(), file);
  return from === '' || from.startsWith('..') ? file : from;
};

/** Its problems too: as one would type them from here. */
const placedFromHere = (file: FileResult): FileResult => ({
  ...file,
  problems: file.problems.map((problem) =>
    problem.file === undefined ? problem : { ...problem, file: shown(problem.file) },
  ),
});

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

export const partsOf = async (): Promise<TestParts> => {
  const [{ loadParts, openScratchStore }, { createLog }, { createRedactor }] = await Promise.all([
    import('../../app.ts'),
    import('../../base/log.ts'),
    import('../../base/secret.ts'),
  ]);
  const log = createLog('silent', createRedactor());
  const { actions, facts } = await loadParts();
  return { actions, facts, log, openStore: (clock, ids) => openScratchStore(clock, ids, log) };
};

const TEST_FILES = ['**/*.test.yaml', '**/*.test.yml'];

const pathsOf = async (args: readonly string[], configFile: string): Promise<readonly string[]> => {
  const { diskReaders } = await import('../../config.ts');
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
  const { diskReaders } = await import('../../config.ts');
  const { ruleFiles, runbookFiles, folder } = await configOf(configFile);
  const patterns = [...ruleFiles, ...runbookFiles].flatMap((pattern) => {
    const beside = dirname(pattern);
    return ['*.test.yaml', '*.test.yml'].map((name) => `${beside}/${name}`);
  });
  const found = await Promise.all(patterns.map((pattern) => diskReaders.glob(folder, pattern)));
  return found.flat();
};

/** Those beside the runbooks that are about one of them. */
export const testFilesOf = async (runbook: string, configFile: string): Promise<readonly string[]> => {
  const { readYaml } = await import('../../config-source.ts');
  const files = await besideRules(configFile);
  const about = await Promise.all(
    files.map(async (file) => {
      const source = readYaml(file, await readFile(file, 'utf8'));
      return source.ok && isObject(source.value.value) && source.value.value['runbook'] === runbook ? [file] : [];
    }),
  );
  return about.flat();
};

const configOf = async (configFile: string): Promise<Config> => {
  const { loadConfig } = await import('../../config.ts');
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

/** What coverage and changes are about: the rules and runbooks of the configuration, else of the first test. */
export const grounds = async (suite: Suite, bases: Bases): Promise<Suite['ruleTests'][number]['loaded']> => {
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
  const { coverRules, coverRunbooks } = await import('../../replay/rule-coverage.ts');
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
  const { mutate } = await import('../../replay/mutate.ts');
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
