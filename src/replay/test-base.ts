// What a test file stands on: a configuration, of which it may replace the components, with its rules and runbooks. Read
// once for all the files that share it.
import { dirname, resolve } from 'node:path';
import { ok, refused } from '../base/failure.ts';
import type { Problem, Result } from '../base/failure.ts';
import { canonical, isObject } from '../base/json.ts';
import { buildCatalog, readCatalogFiles } from '../catalog.ts';
import type { CatalogFiles } from '../catalog.ts';
import type { Config } from '../config.ts';
import { diskReaders, loadConfig } from '../config.ts';
import { readYaml } from '../config-source.ts';
import type { Source } from '../config-source.ts';
import type { Loaded } from '../engine/context.ts';
import { loadRunbooks } from '../runbook/load.ts';
import type { TestParts } from './test-world.ts';

export type Ground = {
  readonly source: Source;
  readonly config: string | undefined;
  readonly mode: string | undefined;
  /** A test of a runbook is not about rules, and waits for none to be read. */
  readonly withRules: boolean;
};

export type Bases = {
  of(ground: Ground): Promise<Result<Loaded>>;
  /** The texts of the rule files that a configuration names, for those who change them. */
  filesOf(config: Config): Promise<Result<CatalogFiles>>;
  readonly defaultConfig: string;
};

/** Never called: a test answers for Prometheus. */
const STAND_IN = { url: 'http://127.0.0.1:9090' };
const REPLACED = ['components', 'recovery'] as const;

export const createBases = (parts: Pick<TestParts, 'actions' | 'facts'>, defaultConfig: string): Bases => {
  const configs = new Map<string, Promise<Result<Config>>>();
  const files = new Map<string, Promise<Result<CatalogFiles>>>();
  const runbooks = new Map<string, ReturnType<typeof loadRunbooks>>();
  const loaded = new Map<string, Promise<Result<Loaded>>>();

  const filesOf = (config: Config): Promise<Result<CatalogFiles>> =>
    once(files, canonical([config.folder, config.ruleFiles, config.runbookFiles]), () => readCatalogFiles(config));

  const load = async (ground: Ground, path: string, replaced: Replaced): Promise<Result<Loaded>> => {
    const key = canonical([path, replaced, ground.mode]);
    const config = await once(configs, key, () => readConfig(path, replaced, ground));
    if (!config.ok) return config;
    const texts = await filesOf(config.value);
    if (!texts.ok) return texts;
    const modes = [...config.value.degradedModes.keys()];
    const runbookKey = canonical([config.value.folder, config.value.runbookFiles, modes]);
    const read =
      runbooks.get(runbookKey) ??
      loadRunbooks(texts.value.runbooks, { actions: parts.actions, degradedModes: new Set(modes) });
    runbooks.set(runbookKey, read);
    const rules = ground.withRules ? texts.value.rules : [];
    const catalog = buildCatalog({ ...texts.value, rules }, { config: config.value, ...parts, runbooks: read });
    if (!catalog.ok) return refused(catalog.problems.map((problem) => beside(problem, config.value.folder)));
    return ok({ config: config.value, catalog: catalog.value });
  };

  return {
    defaultConfig,
    filesOf,
    of(ground) {
      const path =
        ground.config === undefined ? resolve(defaultConfig) : resolve(dirname(ground.source.file), ground.config);
      const given = isObject(ground.source.value) ? ground.source.value : {};
      const replaced = Object.fromEntries(REPLACED.flatMap((key) => (key in given ? [[key, given[key]]] : [])));
      return once(loaded, canonical([path, replaced, ground.mode, ground.withRules]), () =>
        load(ground, path, replaced),
      );
    },
  };
};

const beside = (problem: Problem, folder: string): Problem =>
  problem.file === undefined ? problem : { ...problem, file: resolve(folder, problem.file) };

const once = <T>(kept: Map<string, Promise<T>>, key: string, make: () => Promise<T>): Promise<T> => {
  const known = kept.get(key) ?? make();
  kept.set(key, known);
  return known;
};

type Replaced = Readonly<Record<string, unknown>>;

const readConfig = async (path: string, replaced: Replaced, { source, mode }: Ground): Promise<Result<Config>> => {
  const recoveryMode = mode ?? null;
  if (Object.keys(replaced).length === 0)
    return placed(await loadConfig(path, diskReaders, recoveryMode), path, source);
  const text = await diskReaders.readText(path).catch(() => null);
  // What is wrong with the file is said by whoever reads configurations.
  const read = text === null ? null : readYaml(path, text);
  if (read === null || !read.ok) return placed(await loadConfig(path, diskReaders, recoveryMode), path, source);
  const laid = lay(isObject(read.value.value) ? read.value.value : {}, replaced);
  const readers = {
    ...diskReaders,
    readText: async (file: string): Promise<string> =>
      file === path ? JSON.stringify(laid) : diskReaders.readText(file),
  };
  return placed(await loadConfig(path, readers, recoveryMode), path, source);
};

/** Probes are of components that are not there any more, and a test runs none. */
const lay = (whole: Record<string, unknown>, replaced: Replaced): Record<string, unknown> => {
  const { probes: _, prometheus = STAND_IN, recovery, ...rest } = whole;
  return {
    ...rest,
    prometheus,
    ...replaced,
    recovery: {
      ...(isObject(recovery) ? recovery : {}),
      ...(isObject(replaced['recovery']) ? replaced['recovery'] : {}),
    },
  };
};

/** What is wrong with something that the test file says is wrong there. */
const placed = (config: Result<Config>, path: string, source: Source): Result<Config> => {
  if (config.ok) return config;
  return refused(
    config.problems.map((problem) => {
      if (problem.code === 'no-such-file' && problem.file === path)
        return source.problem(
          'no-such-file',
          ['config'],
          `the configuration ${path} does not exist`,
          'name it: config: ../../amends.yaml, or --config.file',
        );
      const at = (problem.pointer ?? '').split('/').slice(1);
      const own = at[0] !== undefined && (REPLACED as readonly string[]).includes(at[0]) && isIn(source.value, at[0]);
      return own ? source.problem(problem.code, at, problem.message, problem.mend) : problem;
    }),
  );
};

const isIn = (value: unknown, key: string): boolean => isObject(value) && key in value;
