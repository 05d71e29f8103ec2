// Rules and runbooks as one: read, checked against each other, frozen. All or nothing: one problem refuses the whole, and
// whoever holds the last good catalog keeps it.
import { constants } from 'node:fs';
import { open, readdir, realpath, stat } from 'node:fs/promises';
import { dirname, isAbsolute, join, relative, resolve, sep } from 'node:path';
import { ok, refused } from './base/failure.ts';
import type { Problem, Result } from './base/failure.ts';
import { digest, pointer } from './base/json.ts';
import type { Config } from './config.ts';
import type { Actions } from './port/action.ts';
import type { Facts } from './port/fact.ts';
import { createRuleSet } from './rule/decide.ts';
import type { RuleSet } from './rule/decide.ts';
import { loadRules } from './rule/load.ts';
import type { Rule } from './rule/rule.ts';
import { checkInputs } from './runbook/inputs.ts';
import { loadRunbooks } from './runbook/load.ts';
import { GROUPS } from './runbook/group.ts';
import type { SourceFile } from './runbook/group.ts';
import { nameFromPath } from './runbook/parse.ts';
import { RULE_ROOTS } from './runbook/path.ts';
import type { Runbook } from './runbook/runbook.ts';
import { compileTemplate } from './runbook/template.ts';

export type Catalog = {
  readonly rules: RuleSet;
  readonly runbooks: ReadonlyMap<string, Runbook>;
  /** Of what the rules and runbooks say, not of how their files are laid out. */
  readonly digest: string;
  readonly files: { readonly rules: number; readonly runbooks: number; readonly conditions: number };
};

export type CatalogFiles = {
  readonly rules: readonly SourceFile[];
  readonly runbooks: readonly SourceFile[];
  readonly conditions: readonly SourceFile[];
};
export type CatalogConfig = Pick<
  Config,
  'folder' | 'ruleFiles' | 'runbookFiles' | 'recovery' | 'components' | 'degradedModes'
> &
  // Left out, nobody says whether there is a Prometheus.
  Partial<Pick<Config, 'prometheus'>>;
export type CatalogOptions = {
  readonly config: CatalogConfig;
  readonly actions: Actions;
  readonly facts: Facts;
  /** In place of the file system: a journal or a test. */
  readonly readFiles?: (config: CatalogConfig) => Promise<Result<CatalogFiles>>;
};

const CONDITION_FILES = ['conditions/**/*.json'];
const LARGEST_FILE = 256 * 1024;
const READ_AT_ONCE = 16;
const MOST_FILES = 20_000;
const MOST_BYTES = 64 * 1024 * 1024;
const DEEPEST_FOLDER = 16;

export const loadCatalog = async (options: CatalogOptions): Promise<Result<Catalog>> => {
  const files = await (options.readFiles ?? readCatalogFiles)(options.config);
  return files.ok ? buildCatalog(files.value, options) : files;
};

/** `runbooks` are those of the files, where they were loaded before. */
type BuildOptions = Omit<CatalogOptions, 'readFiles'> & { readonly runbooks?: ReturnType<typeof loadRunbooks> };

/** The same from texts that are already there. */
export const buildCatalog = (files: CatalogFiles, options: BuildOptions): Result<Catalog> => {
  const { rules, runbooks, problems } = readParts(files, options);
  if (problems.length > 0) return refused(problems);
  const ruleSet = createRuleSet(rules, options.facts);
  const digests = Object.fromEntries([...runbooks.values()].map((runbook) => [runbook.name, runbook.digest]));
  // Rules and runbooks were frozen, each whole, as they were loaded.
  return ok(
    Object.freeze({
      rules: ruleSet,
      runbooks,
      digest: digest({ rules: ruleSet.digest, runbooks: digests }),
      files: { rules: files.rules.length, runbooks: runbooks.size, conditions: files.conditions.length },
    }),
  );
};

export type CatalogParts = {
  readonly rules: readonly Rule[];
  readonly runbooks: ReadonlyMap<string, Runbook>;
  /** Why the others are left out, and what is wrong between these. */
  readonly problems: readonly Problem[];
};

/** What is good by itself, and everything that is wrong: for `amends check`, which says all of it at once. */
export const readParts = (
  files: CatalogFiles,
  { config, actions, facts, runbooks: loaded }: BuildOptions,
): CatalogParts => {
  const degradedModes = new Set(config.degradedModes.keys());
  const { runbooks, problems: runbookProblems } = loaded ?? loadRunbooks(files.runbooks, { actions, degradedModes });
  const { rules, problems: ruleProblems } = loadRules(files.rules, {
    facts,
    runbooks,
    conditionFiles: files.conditions,
    recovery: config.recovery,
    components: config.components,
    degradedModes,
  });
  const broken = brokenRunbooks(files.runbooks, runbooks);
  const problems = [
    ...runbookProblems,
    // A runbook that is refused is there all the same: its own problems say enough.
    ...ruleProblems.filter(
      (problem) => problem.code !== 'unknown-runbook' || !broken.some((name) => problem.message.includes(`"${name}"`)),
    ),
    ...rules.flatMap((rule) => checkRungs(rule, runbooks)),
    ...(config.prometheus === null ? rules.flatMap((rule) => checkQuestions(rule, runbooks, facts)) : []),
  ];
  return { rules, runbooks, problems };
};

const brokenRunbooks = (files: readonly SourceFile[], runbooks: ReadonlyMap<string, Runbook>): readonly string[] =>
  files.flatMap(({ file }) => {
    const name = nameFromPath(file);
    return name.ok && !runbooks.has(`${name.value.kind}/${name.value.strategy}`)
      ? [`${name.value.kind}/${name.value.strategy}`]
      : [];
  });

/** What the rule alone cannot know: whether each rung's `with` fits its runbook to the last pattern. */
const checkRungs = (rule: Rule, runbooks: ReadonlyMap<string, Runbook>): readonly Problem[] =>
  rule.ladder.flatMap((rung, index) => {
    const runbook = runbooks.get(rung.runbook);
    if (runbook === undefined) return [];
    const template = compileTemplate(rung.with, RULE_ROOTS);
    const problems = template.ok ? checkInputs(runbook, rung.with) : template.problems;
    return problems.map((problem) => ({
      ...problem,
      message: `rung ${index + 1} (${rung.runbook}): ${problem.message}`,
      file: rule.file,
      pointer: `${pointer(['event', 'params', 'with'])}${problem.pointer ?? ''}`,
    }));
  });

/** Without a Prometheus its figures are never known: the rule could never be decided, the runbook never verified. */
const checkQuestions = (rule: Rule, runbooks: ReadonlyMap<string, Runbook>, facts: Facts): readonly Problem[] => {
  const needs = (message: string, ...at: readonly string[]): Problem => ({
    code: 'needs-prometheus',
    message: `${message}, and no Prometheus is configured`,
    mend: 'add prometheus: { url: http://127.0.0.1:9090 } to the configuration',
    file: rule.file,
    pointer: pointer(at),
  });
  const asks = rule.facts.find(({ fact }) => facts.get(fact)?.outside === true);
  const verifies = rule.ladder.find((rung) =>
    runbooks.get(rung.runbook)?.verify.some((check) => check.type === 'query'),
  );
  return [
    ...(asks === undefined ? [] : [needs(`The fact "${asks.fact}" is a question to Prometheus`, 'conditions')]),
    ...(verifies === undefined
      ? []
      : [needs(`${verifies.runbook} is verified by PromQL`, 'event', 'params', 'runbook')]),
  ];
};

/** Every file that the configuration's globs name; a rule's or runbook's own tests (`*.test.yaml`) stand beside it and are left out. */
export const readCatalogFiles = async (config: CatalogConfig): Promise<Result<CatalogFiles>> => {
  const { problems, rules, runbooks, conditions } = await findCatalogFiles(config);
  return problems.length > 0 ? refused(problems) : ok({ rules, runbooks, conditions });
};

/** The same, with what could not be read beside what could. */
export const findCatalogFiles = async (
  config: CatalogConfig,
): Promise<CatalogFiles & { readonly problems: readonly Problem[]; readonly beside: ReadonlySet<string> }> => {
  const [rules, runbooks, conditions] = await Promise.all([
    readMatching(config.folder, config.ruleFiles, true),
    readMatching(config.folder, config.runbookFiles, true),
    readMatching(config.folder, CONDITION_FILES, false),
  ]);
  const groups = await readGroups(config.folder, runbooks.files);
  const problems = [rules, runbooks, groups, conditions].flatMap((read) => read.problems);
  return {
    rules: rules.files,
    runbooks: [...runbooks.files, ...groups.files],
    conditions: conditions.files,
    problems,
    // Groups that no pattern names, and that stand where runbooks look for them.
    beside: new Set(groups.files.map(({ file }) => file)),
  };
};

/** Groups of steps stand beside the folders of the kinds, whichever of those are named. */
const readGroups = async (folder: string, runbooks: readonly SourceFile[]): Promise<Read> => {
  const places = new Set(runbooks.map(({ file }) => join(dirname(dirname(resolve(folder, file))), GROUPS, '*.yaml')));
  const read = await readMatching(folder, [...places], false);
  const known = new Set(runbooks.map(({ file }) => file));
  return { ...read, files: read.files.filter(({ file }) => !known.has(file)) };
};

type Read = { readonly files: readonly SourceFile[]; readonly problems: readonly Problem[] };

const readMatching = async (folder: string, patterns: readonly string[], folderMustExist: boolean): Promise<Read> => {
  const problems: Problem[] = [];
  const found = new Set<string>();
  for (const pattern of patterns) {
    const matched = await expand(folder, pattern);
    if (matched.missing !== null && (folderMustExist || !pattern.includes('*'))) {
      problems.push({
        code: 'missing-file',
        message: `${matched.missing} does not exist, and ${pattern} names it`,
        mend: 'make it, or correct rule_files or runbook_files',
        file: pattern,
      });
    }
    for (const file of matched.files) if (!/\.test\.(ya?ml|json)$/.test(file)) found.add(file);
  }
  if (found.size > MOST_FILES)
    return {
      files: [],
      problems: [
        {
          code: 'too-many-files',
          message: `${found.size} files match, more than ${MOST_FILES}`,
          mend: 'narrow the pattern',
        },
      ],
    };
  const files: SourceFile[] = [];
  let bytes = 0;
  // A few at once: to wait for each in turn took longer than to read them.
  const paths = [...found].toSorted();
  for (let at = 0; at < paths.length; at += READ_AT_ONCE) {
    const slice = paths.slice(at, at + READ_AT_ONCE);
    for (const read of await Promise.all(slice.map((path) => readBounded(path, shownAs(folder, path))))) {
      if (!read.ok) problems.push(...read.problems);
      else {
        files.push(read.value);
        bytes += read.value.text.length;
      }
    }
    if (bytes > MOST_BYTES)
      return {
        files: [],
        problems: [
          {
            code: 'too-large',
            message: `the files together have more than ${MOST_BYTES} bytes`,
            mend: 'narrow the pattern',
          },
        ],
      };
  }
  return { files, problems };
};

/** How a file is called: by its place in the folder of the configuration, or whole when it stands elsewhere. */
export const shownAs = (folder: string, path: string): string => {
  const inside = relative(folder, path);
  return inside.startsWith('..') || isAbsolute(inside) ? path : inside.split(sep).join('/');
};

const readBounded = async (path: string, file: string): Promise<Result<SourceFile>> => {
  try {
    // Without O_NONBLOCK a FIFO among the files would hold the start up for ever.
    const handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      const about = await handle.stat();
      if (!about.isFile())
        return refused([{ code: 'not-a-file', message: 'this is not a regular file', mend: 'take it away', file }]);
      if (about.size > LARGEST_FILE) {
        return refused([
          {
            code: 'too-large',
            message: `${about.size} bytes are more than the ${LARGEST_FILE} that a file may have`,
            mend: 'split it',
            file,
          },
        ]);
      }
      const bytes = await handle.readFile();
      return ok({ file, text: new TextDecoder('utf-8', { fatal: true }).decode(bytes) });
    } finally {
      await handle.close();
    }
  } catch (error) {
    const encoding = (error as NodeJS.ErrnoException).code === 'ERR_ENCODING_INVALID_ENCODED_DATA';
    const message = encoding
      ? 'the file is not UTF-8'
      : `cannot be read: ${error instanceof Error ? error.message : String(error)}`;
    return refused([
      { code: 'unreadable', message, mend: encoding ? 'save it as UTF-8' : 'make it readable for amends', file },
    ]);
  }
};

type Expanded = { readonly files: readonly string[]; readonly missing: string | null };

/** `*` and `?` within a name, `**` for any folders. Names that begin with a dot are passed over. */
const expand = async (folder: string, pattern: string): Promise<Expanded> => {
  const parts = resolve(folder, pattern).split(sep);
  const firstWild = parts.findIndex((part) => /[*?]/.test(part));
  if (firstWild === -1) {
    const path = parts.join(sep);
    return (await exists(path)) ? { files: [path], missing: null } : { files: [], missing: shownAs(folder, path) };
  }
  const base = parts.slice(0, firstWild).join(sep) || sep;
  if (!(await exists(base))) return { files: [], missing: shownAs(folder, base) };
  const files: string[] = [];
  await walk(base, parts.slice(firstWild), files, new Set(), 0);
  return { files, missing: null };
};

const walk = async (
  folder: string,
  parts: readonly string[],
  files: string[],
  above: ReadonlySet<string>,
  depth: number,
): Promise<void> => {
  const [part, ...rest] = parts;
  const real = await realpath(folder);
  // Mounted configuration is a web of links, so links are followed, but never round in a circle.
  if (part === undefined || depth > DEEPEST_FOLDER || above.has(real)) return;
  const inner = new Set([...above, real]);
  if (part === '**') await walk(folder, rest, files, above, depth);
  const matches = nameMatcher(part);
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    if (entry.name.startsWith('.')) continue;
    const path = join(folder, entry.name);
    const isFolder = entry.isSymbolicLink()
      ? await stat(path).then(
          (about) => about.isDirectory(),
          () => false,
        )
      : entry.isDirectory();
    if (isFolder && part === '**') await walk(path, parts, files, inner, depth + 1);
    else if (isFolder && rest.length > 0 && matches(entry.name)) await walk(path, rest, files, inner, depth + 1);
    else if (!isFolder && rest.length === 0 && part !== '**' && matches(entry.name)) files.push(path);
  }
};

/** Two pointers and one step back: linear enough for any name, and no regular expression from outside. */
const nameMatcher =
  (pattern: string) =>
  (name: string): boolean => {
    let at = 0;
    let star = -1;
    let resume = 0;
    let index = 0;
    while (index < name.length) {
      const mark = pattern[at];
      if (mark === '*') {
        star = at;
        resume = index;
        at += 1;
      } else if (mark === '?' || mark === name[index]) {
        at += 1;
        index += 1;
      } else if (star >= 0) {
        at = star + 1;
        resume += 1;
        index = resume;
      } else return false;
    }
    while (pattern[at] === '*') at += 1;
    return at === pattern.length;
  };

const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );
