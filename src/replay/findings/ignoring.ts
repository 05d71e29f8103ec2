// What somebody has said to be meant so, taken out of what was found; and what they said of nothing, which is found in turn.
import type { Problem } from '../../base/failure.ts';
import type { Pardon } from '../../base/findings.ts';
import { pointer } from '../../base/json.ts';
import type { Rule } from '../../rule/rule.ts';
import { findConflicts } from '../conflicts.ts';
import type { CommentPardon } from './alert-files.ts';
import { finding } from './finding.ts';
import type { Looked } from './finding.ts';

/** Everything that one file says to be meant so. */
export type FilePardons = { readonly file: string; readonly pardons: readonly Pardon[] };

export type Ignoring = {
  readonly looked: Looked;
  /** All but conflicts between rules, which know their pardons themselves: either rule may hold one. */
  readonly found: readonly Problem[];
  readonly pardons: readonly FilePardons[];
  readonly comments: readonly CommentPardon[];
  /** Codes that were looked for: of others nobody knows whether there is something to ignore. */
  readonly wasLookedFor: (code: string) => boolean;
};

export const withoutMeant = ({ looked, found, pardons, comments, wasLookedFor }: Ignoring): readonly Problem[] => {
  const used = new Set<string>();
  const kept = found.filter((problem) => {
    const meantBy = keysOf(problem, pardons, comments);
    for (const key of meantBy) used.add(key);
    return meantBy.length === 0;
  });
  const unusedPardons = pardons.flatMap(({ file, pardons: own }) =>
    own.flatMap(({ code }, index) =>
      used.has(`${file} ${index}`) || !wasLookedFor(code) || pardonsConflict(looked, file, code)
        ? []
        : [nothingToIgnore(code, { file, pointer: pointer(['ignore', index]) })],
    ),
  );
  const unusedComments = comments
    .filter(({ code, file, line }) => !used.has(`${file}:${line}`) && wasLookedFor(code))
    .map(({ code, file, line, column }) => ({ ...nothingToIgnore(code, { file, pointer: '' }), line, column }));
  return [...kept, ...unusedPardons, ...unusedComments];
};

const nothingToIgnore = (code: string, at: { readonly file: string; readonly pointer: string }): Problem =>
  finding('unused-ignore', at, `${code} is ignored, and there is nothing of the kind here any more`, 'take it out');

/** By what a finding is meant so, all of them. */
const keysOf = (
  { code, file, pointer: at = '' }: Problem,
  pardons: readonly FilePardons[],
  comments: readonly CommentPardon[],
): readonly string[] => [
  ...pardons.flatMap((one) =>
    one.file === file ? one.pardons.flatMap((pardon, index) => (pardon.code === code ? [`${file} ${index}`] : [])) : [],
  ),
  ...comments
    .filter((one) => one.file === file && one.code === code)
    .filter(({ above }) => at.startsWith(`${above}/`))
    .map(({ line }) => `${file}:${line}`),
];

/** Whether there would be more conflicts without it. */
const pardonsConflict = (looked: Looked, file: string, code: string): boolean => {
  const count = (rules: readonly Rule[]): number =>
    findConflicts({ rules, runbooks: looked.runbooks }).filter((problem) => problem.code === code).length;
  const without = looked.rules.map((rule) =>
    rule.file === file ? { ...rule, pardons: (rule.pardons ?? []).filter((pardon) => pardon.code !== code) } : rule,
  );
  return count(without) > count(looked.rules);
};
