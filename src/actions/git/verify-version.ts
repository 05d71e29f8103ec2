// Whether the files that are there are the ones that were meant: a rollback that stopped half-way looks like a good one
// from afar.
import { z } from 'zod';
import { ActionError } from '../../base/failure.ts';
import { defineAction } from '../../port/action.ts';
import { changedFiles, openRepository, repositoryInput, revision } from './repository.ts';

export default defineAction({
  summary: 'Checks that the files of a git work tree are those of a revision, all of them and no others.',
  effect: 'read',
  input: z.strictObject({ ...repositoryInput, revision }),
  outputs: {
    revision: 'the commit that the revision names',
    head: 'the commit that is checked out',
    branch: 'the branch that is checked out, or empty',
    matches: 'the files are those of the revision',
    changed: 'files that nobody has committed, at most 20',
  },
  undo: 'nothing to undo: it only reads',
  defaultTimeout: 30_000,
  async run(input, context) {
    const repository = await openRepository(input, context);
    const wanted = await repository.resolve(input.revision, 'commit');
    const head = await repository.resolve('HEAD', 'commit');
    const { out: branch } = await repository.ask(['symbolic-ref', '--quiet', '--short', 'HEAD'], [0, 1]);
    const changed = await changedFiles(repository);
    const same = (await repository.resolve(wanted, 'tree')) === (await repository.resolve(head, 'tree'));
    const outputs = { revision: wanted, head, branch: branch.trim(), matches: same && changed.length === 0, changed };
    if (outputs.matches) return { outputs };
    const why = same
      ? `these were changed: ${changed.join(', ')}`
      : `${head.slice(0, 12)} is checked out, which is another`;
    throw new ActionError(
      'permanent',
      `${input.repository} does not have the files of ${input.revision} (${wanted.slice(0, 12)}): ${why}`,
      { outputs },
    );
  },
});
