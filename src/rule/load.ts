// Rule files -> rules, or everything that is wrong with them at once. A file that is refused never hides another.
import { deepFreeze, digest } from '../base/json.ts';
import type { Json, JsonObject } from '../base/json.ts';
import type { Problem } from '../base/failure.ts';
import { boundComponents, checkAbsence, checkComparison, hasPositiveMatch } from './checks.ts';
import type { KnownFacts } from './checks.ts';
import { createReport, factsOf, fits, nearest, readConditions, toEngineTree } from './conditions.ts';
import type { ConditionNode, Report } from './conditions.ts';
import { readLadder } from './ladder.ts';
import type { KnownRunbook } from './ladder.ts';
import { readLimits } from './tighten.ts';
import { problemsOf } from './issues.ts';
import type { Policy } from './limits.ts';
import type { Rule } from './rule.ts';
import { ruleFile } from './schema.ts';
import type { RuleFile } from './schema.ts';
import { readSource } from './source.ts';
import type { Place, Source } from './source.ts';

export type TextFile = { readonly file: string; readonly text: string };

/** What the rules are checked against. */
export type RuleContext = {
  readonly facts: KnownFacts;
  readonly runbooks: ReadonlyMap<string, KnownRunbook>;
  /** conditions/*.json: the name of the file is the name of the condition. */
  readonly conditionFiles: readonly TextFile[];
  /** What every component inherits from. */
  readonly recovery: Policy;
  readonly components: ReadonlyMap<string, { readonly policy: Policy }>;
  readonly degradedModes: ReadonlySet<string>;
};

export type LoadedRules = { readonly rules: readonly Rule[]; readonly problems: readonly Problem[] };

export const loadRules = (files: readonly TextFile[], context: RuleContext): LoadedRules => {
  const { report, problems } = createReport();
  const named = readNamed(context, report, problems);
  const rules: Rule[] = [];
  const places = new Map<string, string>();
  for (const file of inOrder(files)) {
    const source = readSource(file.file, file.text);
    if (!source.ok) {
      problems.push(...source.problems);
      continue;
    }
    const rule = readRule(source.value, context, report, problems, named);
    const name = source.value.value['name'];
    const first = typeof name === 'string' ? places.get(name) : undefined;
    if (first !== undefined) {
      report(
        source.value.place(['name']),
        'duplicate-name',
        `The name ${JSON.stringify(name)} is taken by ${first}`,
        'give it another name',
      );
      continue;
    }
    if (typeof name === 'string') places.set(name, file.file);
    if (rule !== null) rules.push(rule);
  }
  return { rules, problems: problems.toSorted(byPlace) };
};

/** As a reader goes through the files. */
const byPlace = (left: Problem, right: Problem): number => {
  const [one, other] = [left.file ?? '', right.file ?? ''];
  if (one !== other) return one < other ? -1 : 1;
  return (left.line ?? 0) - (right.line ?? 0) || (left.column ?? 0) - (right.column ?? 0);
};

const inOrder = (files: readonly TextFile[]): readonly TextFile[] =>
  files.toSorted((left, right) => (left.file < right.file ? -1 : left.file > right.file ? 1 : 0));

type Named = (name: string, at: Place) => ConditionNode | null;

/** A report that remembers whether anything was reported through it. */
const watched = (report: Report): { readonly report: Report; readonly refused: () => boolean } => {
  let refused = false;
  return {
    refused: () => refused,
    report: (...problem) => {
      refused = true;
      report(...problem);
    },
  };
};

const nameOf = (file: string): string => (file.split('/').at(-1) ?? file).replace(/\.json$/, '');

/** Reads every named condition, also those that no rule uses, and answers by name. */
const readNamed = (context: RuleContext, report: Report, problems: Problem[]): Named => {
  const sources = new Map<string, Source>();
  const broken = new Set<string>();
  for (const file of inOrder(context.conditionFiles)) {
    const source = readSource(file.file, file.text);
    const name = nameOf(file.file);
    const taken = sources.get(name);
    if (!source.ok) {
      problems.push(...source.problems);
      broken.add(name);
    } else if (taken === undefined) sources.set(name, source.value);
    else
      report(
        source.value.place([]),
        'duplicate-name',
        `The name "${name}" is taken by ${taken.file}`,
        'rename one of the files',
      );
  }
  const done = new Map<string, ConditionNode | null>();
  const reading = new Set<string>();
  const named: Named = (name, at) => {
    if (done.has(name)) return done.get(name) ?? null;
    const source = sources.get(name);
    if (source === undefined) {
      if (!broken.has(name))
        report(at, 'unknown-condition', `There is no condition named "${name}"`, nearest(name, [...sources.keys()]));
      return null;
    }
    if (reading.has(name)) {
      report(
        at,
        'condition-cycle',
        `The named conditions go round in a circle: ${[...reading, name].join(' -> ')}`,
        'take one of them out',
      );
      return null;
    }
    reading.add(name);
    const watch = watched(report);
    const { $schema: _schema, description: _description, ...conditions } = source.value;
    const node = readConditions(
      {
        source,
        report: watch.report,
        named,
        check: checkComparison(context.facts, context.degradedModes, watch.report),
      },
      [],
      conditions,
      true,
    );
    reading.delete(name);
    const whole = node !== null && !watch.refused() && fits(node, watch.report) ? node : null;
    done.set(name, whole);
    return whole;
  };
  for (const [name, source] of sources) named(name, source.place([]));
  return named;
};

const PLACEHOLDER = { condition: 'refused' };

const readRule = (
  source: Source,
  context: RuleContext,
  report: Report,
  problems: Problem[],
  named: Named,
): Rule | null => {
  const watch = watched(report);
  const tree = Object.hasOwn(source.value, 'conditions')
    ? readConditions(
        {
          source,
          report: watch.report,
          named,
          check: checkComparison(context.facts, context.degradedModes, watch.report),
        },
        ['conditions'],
        source.value['conditions'],
        true,
      )
    : null;
  const conditions = tree !== null && fits(tree, watch.report) ? tree : null;
  if (conditions !== null) checkRule(source, conditions, context, watch.report);
  // Conditions that were refused have been told of, more clearly than the schema could: the rest is read without them.
  const readable = conditions !== null || !Object.hasOwn(source.value, 'conditions');
  const parsed = ruleFile.safeParse(readable ? source.value : { ...source.value, conditions: PLACEHOLDER });
  if (!parsed.success) {
    for (const problem of problemsOf(source, parsed.error.issues)) problems.push(problem);
    return null;
  }
  const rule = assemble(source, parsed.data, conditions, context, watch.report);
  return watch.refused() || parsed.data.ignore === true ? null : rule;
};

const checkRule = (source: Source, conditions: ConditionNode, context: RuleContext, report: Report): void => {
  if (!hasPositiveMatch(conditions)) {
    report(
      source.place(['conditions']),
      'no-positive-match',
      'The rule is about no alert in particular',
      'add a condition on alertname, a label or component with equal, in, startsWith, endsWith, contains, cidr or a pattern that not everything matches, in every branch of an "any"',
    );
  }
  checkAbsence(conditions, context.facts, report);
};

/** The rule, as far as it can be read when its conditions cannot: so that what is wrong with its event is told too. */
const assemble = (
  source: Source,
  file: RuleFile,
  conditions: ConditionNode | null,
  context: RuleContext,
  report: Report,
): Rule | null => {
  const { event } = file;
  const mode = event.params?.mode ?? 'approve';
  const ladder = event.type === 'remediate' ? readLadder(source, event.params, mode, context.runbooks, report) : [];
  const bound = conditions === null ? null : boundComponents(conditions);
  const limits = readLimits(
    source,
    event.type === 'remediate' ? event.params.limits : undefined,
    bound,
    context,
    report,
  );
  if (conditions === null) return null;
  const tree = toEngineTree(conditions);
  const { $schema: _schema, ...told } = source.value;
  return deepFreeze({
    name: file.name,
    description: file.description ?? '',
    owner: file.owner ?? null,
    file: source.file,
    digest: digest({ ...told, conditions: tree as Json }),
    priority: file.priority ?? 1,
    conditions: tree,
    event: event.type,
    ladder,
    mode,
    limits,
    severity: event.type === 'escalate' ? (event.params?.severity ?? null) : null,
    ...(Array.isArray(file.ignore) ? { pardons: file.ignore } : {}),
    facts: factsOf(conditions),
  });
};

/** Of all rules, whatever order they were read in. */
export const digestOfRules = (rules: readonly Rule[]): string => {
  const digests: JsonObject = Object.fromEntries(rules.map((rule) => [rule.name, rule.digest]));
  return digest(digests);
};
