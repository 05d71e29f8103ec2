// Goes back to an earlier version by going forward: a new commit with the files of the old one, so that nothing of the
// history is lost, it can be pushed, and it can be taken back the same way.
import { existsSync } from 'node:fs';
import { basename, resolve } from 'node:path';
import { z } from 'zod';
import { ActionError } from '../../base/failure.ts';
import type { JsonObject } from '../../base/json.ts';
import type { ActionContext } from '../../port/action.ts';
import { defineAction } from '../../port/action.ts';
import { changedFiles, openRepository, repositoryInput, revision } from './repository.ts';
import type { Repository } from './repository.ts';

const UNDER_WAY = ['MERGE_HEAD', 'CHERRY_PICK_HEAD', 'REVERT_HEAD', 'rebase-merge', 'rebase-apply'];

type Plan = { readonly head: string; readonly target: string; readonly branch: string };

/** All that has to hold before a file is touched. */
const survey = async (
  repository: Repository,
  input: { readonly revision: string; readonly branch?: string | undefined },
): Promise<Plan> => {
  const refuse = (why: string): never => {
    throw new ActionError('permanent', `${repository.path} was left as it is: ${why}`);
  };
  const target = await repository.resolve(input.revision, 'commit');
  const head = await repository.resolve('HEAD', 'commit');
  const { out } = await repository.ask(['symbolic-ref', '--quiet', '--short', 'HEAD'], [0, 1]);
  const branch = out.trim();
  if (branch === '') refuse('no branch is checked out; mend: check out the branch that is deployed');
  if (input.branch !== undefined && branch !== input.branch)
    refuse(`${branch} is checked out, not ${input.branch}; mend: look at who changed it`);
  const { out: places } = await repository.ask(['rev-parse', ...UNDER_WAY.flatMap((name) => ['--git-path', name])]);
  const underWay = places
    .trimEnd()
    .split('\n')
    .find((place) => existsSync(resolve(repository.path, place)));
  if (underWay !== undefined) refuse(`a merge, a revert or a rebase is under way there (${basename(underWay)})`);
  const changed = await changedFiles(repository);
  if (changed.length > 0)
    refuse(
      `it has changes that nobody committed: ${changed.map((line) => line.slice(3)).join(', ')}; mend: commit or remove them, or add them to .gitignore`,
    );
  const { code } = await repository.ask(['merge-base', '--is-ancestor', target, head], [0, 1]);
  if (code !== 0)
    refuse(
      `${input.revision} (${target.slice(0, 12)}) is no ancestor of ${branch}; mend: name a version that was deployed`,
    );
  return { head, target, branch };
};

/** What was there stays reachable, under a name that is this run's alone; an earlier try of the run may have made it. */
const keep = async (repository: Repository, ref: string, head: string): Promise<string> => {
  const { code, out } = await repository.ask(['rev-parse', '--quiet', '--verify', ref], [0, 1, 128]);
  if (code === 0 && out.trim() !== '') return out.trim();
  await repository.ask(['update-ref', ref, head, '0'.repeat(head.length)]);
  return head;
};

const refOf = (run: ActionContext['run']): string => `refs/amends/${run.id.replaceAll(/[^A-Za-z0-9-]/g, '-')}/before`;

export default defineAction({
  summary:
    'Gives a git work tree the files of an earlier version by a new commit on its branch; what was there is kept.',
  effect: 'destroy',
  keeps: true,
  input: z.strictObject({
    ...repositoryInput,
    /** The last good version: has to be an ancestor of what is checked out. */
    revision,
    /** The branch that has to be checked out. */
    branch: revision.optional(),
    message: z.string().min(1).max(500).default('Go back to the last good version'),
  }),
  outputs: {
    from: 'the commit that was there before',
    target: 'the commit whose files are there now',
    commit: 'the new commit, or the one before when nothing had to be changed',
    branch: 'the branch that it is on',
    kept_ref: 'the ref that keeps what was there before',
    changed: 'something had to be changed',
    files: 'how many files changed',
  },
  undo: 'git.revert-to with `revision: ${{ undo.from }}`',
  defaultTimeout: 60_000,
  async run(input, context) {
    const repository = await openRepository(input, context);
    const { head, target, branch } = await survey(repository, input);
    const kept = refOf(context.run);
    const tree = await repository.resolve(target, 'tree');
    const { out: list } = await repository.ask([
      'diff',
      '--name-only',
      '-z',
      '--no-ext-diff',
      '--no-textconv',
      head,
      target,
    ]);
    const files = list.split('\0').filter((name) => name !== '').length;
    const outputs = { from: head, target, commit: head, branch, kept_ref: kept, changed: false, files: 0 };
    context.signal.throwIfAborted();
    context.began();
    const before = await keep(repository, kept, head);
    // Done already, perhaps by a try that a crash cut off: what was there before that is what an undo has to bring back.
    if (tree === (await repository.resolve(head, 'tree')))
      return { outputs: { ...outputs, from: before }, undo: { from: before } };
    const result = await replace(repository, {
      tree,
      head,
      branch,
      message: `${input.message}\n\nFiles of ${target}.`,
    });
    return { outputs: { ...outputs, commit: result, changed: true, files } satisfies JsonObject, undo: { from: head } };
  },
});

/** From here on things change; git itself puts files and branch in place, or neither. */
const replace = async (
  repository: Repository,
  given: { readonly tree: string; readonly head: string; readonly branch: string; readonly message: string },
): Promise<string> => {
  try {
    const { out } = await repository.ask(['commit-tree', given.tree, '-p', given.head, '-m', given.message]);
    const commit = out.trim();
    await repository.ask(['merge', '--ff-only', '--no-stat', '--quiet', commit]);
    const left = await changedFiles(repository);
    if ((await repository.resolve('HEAD', 'commit')) !== commit || left.length > 0)
      throw new ActionError('indeterminate', `something else writes to ${repository.path}: ${left.join(', ')}`);
    return commit;
  } catch (error) {
    if (!(error instanceof ActionError)) throw error;
    throw new ActionError('indeterminate', `going back was not finished: ${error.message}`, { cause: error });
  }
};
