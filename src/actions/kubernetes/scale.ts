// How many pods a deployment or a stateful set has. To none of them only if the step says so: that is an outage by choice.
// The number before is noted on the object by the very request that changes it, so that a try after a crash, or after an
// answer that never came, still knows what an undo goes back to.
import { z } from 'zod';
import { ActionError } from '../../base/failure.ts';
import { defineAction } from '../../port/action.ts';
import { untilUnchanged, withCluster } from './cluster.ts';
import { called, declared, deployment, namespace, placeOf, statefulSet } from './connect.ts';
import { need } from './permissions.ts';
import type { Workload } from './shapes.ts';
import { patchOf, wantedPods } from './workload.ts';

/** Which step has scaled it, and from how many. */
const SCALED_BY = 'amends/scaled-by';
const SCALED_FROM = 'amends/scaled-from';

/** How many it had before this very step changed it; else how many it has. */
const countBefore = (workload: Workload, marker: string): number => {
  const { annotations } = workload.metadata;
  const noted = annotations[SCALED_BY] === marker ? Number(annotations[SCALED_FROM] ?? 'NaN') : Number.NaN;
  return Number.isSafeInteger(noted) && noted >= 0 ? noted : wantedPods(workload);
};

export default defineAction({
  summary:
    'Sets the number of replicas of a declared deployment or stateful set, within a bound; to 0 only if the step allows that.',
  effect: 'change',
  input: z.strictObject({
    connect: declared({ namespace, deployment: deployment.optional(), statefulset: statefulSet.optional() }).refine(
      (connect) => (connect['deployment'] === undefined) !== (connect['statefulset'] === undefined),
      { message: 'either deployment or statefulset says what is scaled' },
    ),
    replicas: z.int().min(0).max(1_000),
    max_replicas: z.int().min(1).max(1_000).default(20),
    allow_zero: z.boolean().default(false),
  }),
  outputs: {
    replicas: 'how many it wants now',
    was: 'how many it wanted before this step, over all of its tries',
    changed: 'this try has changed it',
  },
  undo: 'kubernetes.scale with `replicas: ${{ undo.replicas }}` and `allow_zero: ${{ undo.allow_zero }}`',
  defaultTimeout: 30_000,
  async run({ connect, replicas, max_replicas: max, allow_zero: allowZero }, context) {
    const place = placeOf(connect);
    const what = called(place);
    const needs = [need.workload('get', place), need.workload('patch', place)];
    if (replicas === 0 && !allowZero)
      throw new ActionError(
        'permanent',
        `nothing was done: 0 replicas would end ${what}; mend: allow_zero: true if that is meant`,
      );
    if (replicas > max)
      throw new ActionError(
        'permanent',
        `nothing was done: ${replicas} replicas of ${what}, and max_replicas is ${max}`,
      );
    return withCluster(connect, context, needs, (cluster) =>
      untilUnchanged(`the scale of ${what}`, async () => {
        const found = await cluster.workload(place);
        const was = countBefore(found, context.marker);
        const result = (changed: boolean) => ({
          outputs: { replicas, was, changed },
          undo: { replicas: was, allow_zero: was === 0 },
        });
        if (wantedPods(found) === replicas) return result(false);
        const annotations = { [SCALED_BY]: context.marker, [SCALED_FROM]: String(was) };
        const patch = patchOf(found, { metadata: { annotations }, spec: { replicas } });
        const changed = await cluster.patchWorkload(place, patch, 'MergePatch');
        return changed ? result(true) : null;
      }),
    );
  },
});
