// Back to a revision that was resolved beforehand and that an approver has seen, from the one that it was seen to leave: the
// very ones, or nothing.
import { z } from 'zod';
import { ActionError } from '../../base/failure.ts';
import { defineAction } from '../../port/action.ts';
import { untilUnchanged, withCluster } from './cluster.ts';
import { called, declaredWorkload, placeOf } from './connect.ts';
import { goBack, imagesOf, refuseUnseen, revisionsOf, sameTemplate } from './history.ts';
import { need } from './permissions.ts';
import { refusesRollout } from './workload.ts';

const templateHash = z.string().regex(/^[a-z0-9]{1,63}$/, { message: 'the hash of a revision' });

export default defineAction({
  summary:
    'Takes a declared deployment, stateful set or daemon set back to the revision that kubernetes.revisions resolved, by its number and hash.',
  effect: 'change',
  input: z.strictObject({
    connect: declaredWorkload(),
    revision: z.int().min(1).max(1_000_000_000),
    /** The number of a revision changes when it becomes the current one. */
    hash: templateHash,
    /** Of the revision that it leaves: what somebody has put in its place meanwhile stays. */
    from_hash: templateHash,
    max_pods: z.int().min(1).max(1_000).default(50),
  }),
  outputs: {
    changed: 'this try has told it to; false: it is at this revision already',
    from: 'the number of the revision that it leaves',
    images: 'the images of the revision that it goes back to',
    generation: 'of the workload after it',
  },
  undo: 'kubernetes.rollout-undo with `revision: ${{ undo.revision }}`, `hash: ${{ undo.hash }}` and `from_hash: ${{ undo.from_hash }}`',
  defaultTimeout: 30_000,
  run: ({ connect, revision, hash, from_hash: fromHash, max_pods: maxPods }, context) => {
    const place = placeOf(connect);
    const what = called(place);
    const needs = [need.workload('get', place), need.history(place), need.workload('patch', place)];
    return withCluster(connect, context, needs, (cluster) =>
      untilUnchanged(what, async () => {
        const found = await cluster.workload(place);
        const revisions = await revisionsOf(cluster, place, found);
        const to = revisions.find((one) => one.hash === hash);
        const before = revisions.find((one) => one.hash !== hash);
        const generation = found.metadata.generation ?? 0;
        if (to === undefined || before === undefined)
          throw new ActionError(
            'permanent',
            `nothing was done: ${what} has no revision ${revision} with the hash ${hash} any more; mend: resolve it anew`,
          );
        const shown = { from: before.revision, images: imagesOf(to) };
        const undo = { revision: before.revision, hash: before.hash, from_hash: to.hash };
        const unchanged = { outputs: { changed: false, ...shown, generation }, undo };
        if (sameTemplate(found.spec.template, to.template)) return unchanged;
        refuseUnseen(found);
        if (to === revisions[0]) return unchanged;
        if (to.revision !== revision)
          throw new ActionError(
            'permanent',
            `nothing was done: what was revision ${revision} of ${what} is revision ${to.revision} now: somebody has deployed meanwhile; mend: resolve it anew`,
          );
        if (revisions[0]?.hash !== fromHash)
          throw new ActionError(
            'permanent',
            `nothing was done: ${what} is at revision ${before.revision} with the hash ${before.hash}, and was to leave ${fromHash}: somebody has deployed meanwhile; mend: resolve it anew`,
          );
        const refusal = refusesRollout(found, maxPods);
        if (refusal !== null) throw refusal;
        const changed = await goBack(cluster, place, found, to);
        return changed ? { outputs: { changed: true, ...shown, generation: generation + 1 }, undo } : null;
      }),
    );
  },
});
