// Steps that many runbooks begin with stand once, in groups/<name>.yaml beside the folders of the kinds. They are put in
// their places before a runbook is understood, so that everything that holds for a step holds for them.
import { didYouMean } from '../base/failure.ts';
import type { Problem } from '../base/failure.ts';
import { pointer } from '../base/json.ts';
import { nameFromPath, parseGroup } from './parse.ts';
import type { GroupDocument, RunbookDocument, StepDocument, WrittenRunbook } from './schema.ts';

export type SourceFile = { readonly file: string; readonly text: string };
/** The folder's name, which no kind can have. */
export const GROUPS = 'groups';

type Groups = ReadonlyMap<string, GroupDocument>;

export const loadGroups = (files: readonly SourceFile[]): { readonly groups: Groups; readonly problems: Problem[] } => {
  const groups = new Map<string, GroupDocument>();
  const problems: Problem[] = [];
  for (const { file, text } of files) {
    const name = nameFromPath(file);
    if (!name.ok || name.value.kind !== GROUPS) continue;
    const parsed = parseGroup(file, text);
    if (!parsed.ok) problems.push(...parsed.problems);
    else if (groups.has(name.value.strategy))
      problems.push({
        code: 'duplicate-group',
        message: `the group ${name.value.strategy} stands in two files`,
        mend: 'keep one of them',
        file,
      });
    else groups.set(name.value.strategy, parsed.value);
  }
  return { groups, problems };
};

/** Where a step of `before` comes from: its place in the file, and whether a group has put it there. */
type Origin = { readonly index: number; readonly grouped: boolean };
export type Expanded = {
  readonly document: RunbookDocument;
  readonly problems: readonly Problem[];
  readonly origins: readonly Origin[];
};

export const expandGroups = (written: WrittenRunbook, groups: Groups): Expanded => {
  const { before, ...rest } = written;
  if (before === undefined) return { document: rest, problems: [], origins: [] };
  const problems: Problem[] = [];
  const steps: StepDocument[] = [];
  const origins: Origin[] = [];
  for (const [index, step] of before.entries()) {
    const added = 'group' in step ? groups.get(step.group)?.steps : [step];
    if (added === undefined && 'group' in step) problems.push(unknownGroup(step.group, groups, index));
    for (const one of added ?? []) {
      steps.push(one);
      origins.push({ index, grouped: 'group' in step });
    }
  }
  return { document: { ...rest, before: steps }, problems, origins };
};

const unknownGroup = (name: string, groups: Groups, index: number): Problem => {
  const near = didYouMean(name, groups.keys());
  return {
    code: 'unknown-group',
    message: `there is no group of steps ${name}`,
    mend:
      near === undefined ? `write ${GROUPS}/${name}.yaml, beside the folders of the kinds` : `did you mean ${near}?`,
    pointer: pointer(['before', index, 'group']),
  };
};

/** What is wrong with a step of `before`, at its place in the file; with one of a group, where the group is named. */
export const atOrigin = (problem: Problem, origins: readonly Origin[]): Problem => {
  const match = /^\/before\/(\d+)(.*)$/s.exec(problem.pointer ?? '');
  const origin = match === null ? undefined : origins[Number(match[1])];
  if (match === null || origin === undefined) return problem;
  return { ...problem, pointer: `${pointer(['before', origin.index])}${origin.grouped ? '' : (match[2] ?? '')}` };
};
