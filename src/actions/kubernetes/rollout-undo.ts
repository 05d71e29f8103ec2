// Back to a revision that was resolved beforehand and that an approver has seen, from the one that it was seen to leave: the
// very ones, or nothing.
import { z } from 'zod';
import { ActionError } from '../../base/failure.ts';
import { defineAction } from '../../port/action.ts';
import { need, untilUnchanged, withCluster } from './cluster.ts';
import { declared, deployment, namespace } from './connect.ts';
import { refuseUnseen, refusesRollout, revisionsOf, sameTemplate } from './workload.ts';

const templateHash = z.string().regex(/^[a-z0-9]{1,63}$/, { message: 'a pod-template-hash' });

export default defineAction({
  summary:
    'Takes a declared deployment back to the revision that kubernetes.revisions resolved, by its number and hash.',
  effect: 'change',
  input: z.strictObject({
    connect: declared({ namespace, deployment }),
    revision: z.int().min(1).max(1_000_000_000),
    /** Its pod-template-hash: the number of a revision changes when it becomes the current one. */
    hash: templateHash,
    /** Of the revision that it leaves: what somebody has put in its place meanwhile stays. */
    from_hash: templateHash,
    max_pods: z.int().min(1).max(1_000).default(50),
  }),
  outputs: {
    changed: 'this try has told it to; false: it is at this revision already',
    from: 'the number of the revision that it leaves',
    images: 'the images of the revision that it goes back to',
    generation: 'of the deployment after it',
  },
  undo: 'kubernetes.rollout-undo with `revision: ${{ undo.revision }}`, `hash: ${{ undo.hash }}` and `from_hash: ${{ undo.from_hash }}`',
  defaultTimeout: 30_000,
  run: ({ connect, revision, hash, from_hash: fromHash, max_pods: maxPods }, context) => {
    const { namespace: space, deployment: name } = connect;
    const needs = [need.deployment('get', space, name), need.replicaSets(space), need.deployment('patch', space, name)];
    return withCluster(connect, context, needs, (cluster) =>
      untilUnchanged(`the deployment ${name}`, async () => {
        const found = await cluster.deployment(space, name);
        const revisions = await revisionsOf(cluster, space, found);
        const to = revisions.find((one) => one.hash === hash);
        const before = revisions.find((one) => one.hash !== hash);
        const generation = found.metadata.generation ?? 0;
        if (to === undefined || before === undefined)
          throw new ActionError(
            'permanent',
            `nothing was done: the deployment ${name} has no revision ${revision} with the hash ${hash} any more; mend: resolve it anew`,
          );
        const shown = { from: before.revision, images: to.images };
        const undo = { revision: before.revision, hash: before.hash, from_hash: to.hash };
        const unchanged = { outputs: { changed: false, ...shown, generation }, undo };
        if (sameTemplate(found.spec.template, to.template)) return unchanged;
        refuseUnseen(found);
        if (to === revisions[0]) return unchanged;
        if (to.revision !== revision)
          throw new ActionError(
            'permanent',
            `nothing was done: what was revision ${revision} of the deployment ${name} is revision ${to.revision} now: somebody has deployed meanwhile; mend: resolve it anew`,
          );
        if (revisions[0]?.hash !== fromHash)
          throw new ActionError(
            'permanent',
            `nothing was done: the deployment ${name} is at revision ${before.revision} with the hash ${before.hash}, and was to leave ${fromHash}: somebody has deployed meanwhile; mend: resolve it anew`,
          );
        const refusal = refusesRollout(found, maxPods);
        if (refusal !== null) throw refusal;
        const changed = await cluster.patchDeployment(space, name, [
          { op: 'replace', path: '/metadata/resourceVersion', value: found.metadata.resourceVersion },
          { op: 'replace', path: '/spec/template', value: to.template },
        ]);
        return changed ? { outputs: { changed: true, ...shown, generation: generation + 1 }, undo } : null;
      }),
    );
  },
});
