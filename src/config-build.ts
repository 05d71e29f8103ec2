// From the shapes of amends.yaml to what the program works with: inheritance, components, inventories.
import type { Component, Matcher, Target } from './alert/component.ts';
import { parseMatchers } from './alert/matcher.ts';
import { createMapping } from './alert/select.ts';
import { didYouMean, ok } from './base/failure.ts';
import type { Problem, Result } from './base/failure.ts';
import { bare } from './base/json.ts';
import type { Json } from './base/json.ts';
import type { ComponentShape, RecoveryShape } from './config-schema.ts';
import { maintenanceOf } from './config-guards.ts';
import type { Report } from './config-guards.ts';
import { fileSdSchema } from './config-schema.ts';
import { readShape, readYaml } from './config-source.ts';
import type { Path, Source } from './config-source.ts';
import type { Limit, Policy } from './rule/limits.ts';

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** What holds where nothing is configured. */
export const defaultPolicy: Policy = {
  mode: 'shadow',
  attempts: [
    { max: 3, per: HOUR },
    { max: 9, per: DAY },
  ],
  budget: [{ max: 10, per: HOUR }],
  cooldown: { afterFailure: 300 * SECOND, factor: 1, max: HOUR, afterSuccess: 60 * SECOND },
  maxConcurrent: 1,
  maxConcurrentTotal: 4,
  settle: 15 * MINUTE,
  stale: 10 * MINUTE,
  resolveHold: 15 * MINUTE,
  episodeTtl: DAY,
  approval: { remind: 5 * MINUTE, escalate: 10 * MINUTE, expires: 30 * MINUTE },
  breaker: { failures: 3, trials: [HOUR, 4 * HOUR, DAY] },
  storm: {
    share: 0.2,
    min: 3,
    max: 10,
    window: 5 * MINUTE,
    components: 4,
    componentsWindow: 2 * MINUTE,
    gather: 15 * SECOND,
  },
  maintenance: [],
  minHealthy: null,
  domain: null,
  fleet: null,
  promotion: { successes: 20, share: 0.95 },
};

/** Lays what is written over what is inherited: member by member, lists as a whole. `report` gets what contradicts itself. */
export const inherit = (above: Policy, given: RecoveryShape, report: Report): Policy => {
  if (given.attempts !== undefined && given.max_attempts_per_hour !== undefined) {
    report(
      'said-twice',
      ['max_attempts_per_hour'],
      'max_attempts_per_hour and attempts both limit attempts',
      'keep attempts',
    );
  }
  if (given.cooldown?.after_failure !== undefined && given.cooldown_seconds !== undefined) {
    report(
      'said-twice',
      ['cooldown_seconds'],
      'cooldown_seconds and cooldown.after_failure say the same thing',
      'keep cooldown.after_failure',
    );
  }
  const afterFailure =
    given.cooldown?.after_failure ??
    (given.cooldown_seconds === undefined ? above.cooldown.afterFailure : Math.round(given.cooldown_seconds * SECOND));
  if (given.cooldown?.max !== undefined && given.cooldown.max < afterFailure) {
    report(
      'contradiction',
      ['cooldown', 'max'],
      'cooldown.max is shorter than the cooldown after a failure',
      'make it at least as long',
    );
  }
  return {
    mode: given.mode ?? above.mode,
    attempts: attemptsOf(above.attempts, given),
    budget: given.budget ?? above.budget,
    cooldown: {
      afterFailure,
      factor: given.cooldown?.factor ?? above.cooldown.factor,
      // A longer cooldown is meant: the inherited ceiling must not cut it short.
      max: given.cooldown?.max ?? Math.max(above.cooldown.max, afterFailure),
      afterSuccess: given.cooldown?.after_success ?? above.cooldown.afterSuccess,
    },
    maxConcurrent: given.max_concurrent ?? above.maxConcurrent,
    maxConcurrentTotal: given.max_concurrent_total ?? above.maxConcurrentTotal,
    settle: given.settle ?? above.settle,
    stale: given.stale ?? above.stale,
    resolveHold: given.resolve_hold ?? above.resolveHold,
    episodeTtl: given.episode_ttl ?? above.episodeTtl,
    approval: {
      remind: given.approval?.remind ?? above.approval.remind,
      escalate: given.approval?.escalate ?? above.approval.escalate,
      expires: given.approval?.expires ?? above.approval.expires,
    },
    breaker: {
      failures: given.breaker?.failures ?? above.breaker.failures,
      trials: given.breaker?.trials ?? above.breaker.trials,
    },
    storm: {
      share: shareOf(given.storm?.share) ?? above.storm.share,
      min: given.storm?.min ?? above.storm.min,
      max: given.storm?.max ?? above.storm.max,
      window: given.storm?.window ?? above.storm.window,
      components: given.storm?.components ?? above.storm.components,
      componentsWindow: given.storm?.components_window ?? above.storm.componentsWindow,
      gather: given.storm?.gather ?? above.storm.gather,
    },
    // A window for all of them holds for each: a component adds its own.
    maintenance: [...above.maintenance, ...maintenanceOf(given, report)],
    minHealthy: above.minHealthy,
    domain: above.domain,
    fleet: above.fleet,
    promotion: {
      successes: given.promotion?.successes ?? above.promotion.successes,
      share: shareOf(given.promotion?.share) ?? above.promotion.share,
    },
  };
};

const shareOf = (share: string | undefined): number | undefined =>
  share === undefined ? undefined : Number(share.slice(0, -1)) / 100;

const attemptsOf = (above: readonly Limit[], given: RecoveryShape): readonly Limit[] => {
  if (given.attempts !== undefined) return given.attempts;
  if (given.max_attempts_per_hour === undefined) return above;
  return [{ max: given.max_attempts_per_hour, per: HOUR }, ...above.filter((limit) => limit.per !== HOUR)];
};

export type Text = { readonly file: string; readonly text: string };
export type Files = {
  /** Absolute paths, sorted; a pattern is relative to the configuration's folder. */
  find(pattern: string): Promise<readonly string[]>;
  read(file: string): Promise<Result<string>>;
};
export type Built = {
  readonly component: Component;
  readonly texts: readonly Text[];
  readonly problems: readonly Problem[];
};

const MOST_TARGETS = 20_000;

/** One component with its inventory read. A problem does not stop the search for others. */
export const buildComponent = async (
  source: Source,
  name: string,
  shape: ComponentShape,
  files: Files,
): Promise<Built> => {
  const problems: Problem[] = [];
  const at = (...path: readonly PropertyKey[]): Path => ['components', name, ...path];
  const matchers: Matcher[] = [];
  const lines = shape.match === undefined ? [] : typeof shape.match === 'string' ? [shape.match] : shape.match;
  for (const [index, line] of lines.entries()) {
    const parsed = parseMatchers(line);
    if (parsed.ok) matchers.push(...parsed.value);
    else
      problems.push(
        ...parsed.problems.map((found) =>
          source.problem(
            found.code,
            at('match', ...(typeof shape.match === 'string' ? [] : [index])),
            found.message,
            found.mend,
          ),
        ),
      );
  }
  if (matchers.length > 0 && matchers.every((matcher) => matcher.matches(''))) {
    problems.push(
      source.problem(
        'matches-everything',
        at('match'),
        'every alert without these labels would match',
        'add a matcher that needs a label, such as job="redis-cache"',
      ),
    );
  }
  const { label = 'instance', regex = null, replacement = '$1' } = shape.target ?? {};
  const mapping = createMapping(label, regex, replacement);
  if (!mapping.ok)
    problems.push(
      ...mapping.problems.map((found) => source.problem(found.code, at('target'), found.message, found.mend)),
    );
  if (regex === null && shape.target?.replacement !== undefined) {
    problems.push(
      source.problem(
        'contradiction',
        at('target', 'replacement'),
        'a replacement needs a regex',
        'add regex, or remove replacement',
      ),
    );
  }
  const inventory = await readInventory(source, name, shape, files);
  problems.push(...inventory.problems);
  const component: Component = {
    name,
    kind: shape.kind ?? name,
    team: shape.team ?? null,
    matchers,
    mapping: mapping.ok ? mapping.value : { label, apply: () => undefined },
    targets: inventory.targets,
    allowedActions: shape.allow?.actions ?? [],
  };
  if (shape.kind === undefined && !/^[a-z0-9][a-z0-9_-]*$/.test(name)) {
    problems.push(
      source.problem(
        'bad-kind',
        at(),
        `the name ${name} cannot be a kind, which names a folder of runbooks`,
        'add a kind of lower-case letters, digits, _ and -',
      ),
    );
  }
  return { component, texts: inventory.texts, problems };
};

type Inventory = {
  readonly targets: ReadonlyMap<string, Target>;
  readonly texts: readonly Text[];
  readonly problems: readonly Problem[];
};

const readInventory = async (
  source: Source,
  component: string,
  shape: ComponentShape,
  files: Files,
): Promise<Inventory> => {
  const problems: Problem[] = [];
  const texts: Text[] = [];
  const targets = new Map<string, Target>();
  const shared = shape.connect ?? {};
  const add = (
    name: string,
    connect: Readonly<Record<string, Json>>,
    labels: Record<string, string>,
    problem: (code: string, message: string, mend: string) => Problem,
  ): void => {
    if (targets.has(name))
      problems.push(
        problem(
          'duplicate-target',
          `${JSON.stringify(name)} stands twice in the inventory of ${component}`,
          'remove one of them',
        ),
      );
    else targets.set(name, { name, connect: { ...shared, ...connect }, labels: bare(Object.entries(labels)) });
  };
  for (const [index, entry] of (shape.inventory?.static ?? []).entries()) {
    const problem = (code: string, message: string, mend: string): Problem =>
      source.problem(code, ['components', component, 'inventory', 'static', index], message, mend);
    if (typeof entry === 'string') add(entry, {}, {}, problem);
    else add(entry.target, entry.connect ?? {}, entry.labels ?? {}, problem);
  }
  for (const [index, pattern] of (shape.inventory?.file_sd ?? []).entries()) {
    const found = await files.find(pattern);
    if (found.length === 0 && !/[*?]/.test(pattern)) {
      problems.push(
        source.problem(
          'no-such-file',
          ['components', component, 'inventory', 'file_sd', index],
          `there is no file ${pattern}`,
          'create it, or use a pattern such as targets/*.yaml',
        ),
      );
    }
    for (const file of found) {
      const read = await readTargets(file, files);
      if (!read.ok) problems.push(...read.problems);
      else {
        texts.push(read.value.source);
        for (const [group, { targets: names, labels }] of read.value.groups.entries()) {
          for (const [place, name] of names.entries()) {
            add(name, {}, labels ?? {}, (code, message, mend) =>
              read.value.source.problem(code, [group, 'targets', place], message, mend),
            );
          }
        }
      }
    }
  }
  if (targets.size > MOST_TARGETS)
    problems.push(
      source.problem(
        'too-many-targets',
        ['components', component, 'inventory'],
        `the inventory has more than ${MOST_TARGETS} targets`,
        'split the component',
      ),
    );
  return { targets, texts, problems };
};

type TargetGroups = ReadonlyArray<{
  readonly targets: readonly string[];
  readonly labels?: Record<string, string> | undefined;
}>;

/** Prometheus' file_sd: YAML, or JSON, which is YAML too. */
const readTargets = async (file: string, files: Files): Promise<Result<{ source: Source; groups: TargetGroups }>> => {
  const text = await files.read(file);
  if (!text.ok) return text;
  const source = readYaml(file, text.value);
  if (!source.ok) return source;
  const groups = readShape(source.value, fileSdSchema);
  return groups.ok ? ok({ source: source.value, groups: groups.value }) : groups;
};

/** Runs on one (kind, target) exclude each other by these names: one name must not be two things. */
export const sharedTargets = (source: Source, components: Iterable<Component>): Problem[] => {
  const owners = new Map<string, string>();
  const problems: Problem[] = [];
  for (const component of components) {
    for (const target of component.targets.keys()) {
      const key = JSON.stringify([component.kind, target]);
      const owner = owners.get(key);
      if (owner === undefined) owners.set(key, component.name);
      else {
        const message = `${JSON.stringify(target)} stands in the inventories of ${owner} and ${component.name}, both of kind ${component.kind}`;
        problems.push(
          source.problem(
            'duplicate-target',
            ['components', component.name, 'inventory'],
            message,
            'leave it in one of them',
          ),
        );
      }
    }
  }
  return problems;
};

/** The problem of naming something that is not declared. */
export const unknownName = (
  source: Source,
  path: Path,
  what: string,
  name: string,
  known: Iterable<string>,
): Problem => {
  const names = [...known];
  const near = didYouMean(name, names);
  const listed = names.length === 0 ? 'none is declared' : `declared: ${names.slice(0, 20).join(', ')}`;
  return source.problem(
    'unknown-name',
    path,
    `there is no ${what} ${JSON.stringify(name)}`,
    near === undefined ? listed : `did you mean ${near}?`,
  );
};
