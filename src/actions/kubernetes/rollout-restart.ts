// Starts the pods of a workload anew, a few at a time, as its own strategy says: what kubectl rollout restart does.
import { z } from 'zod';
import { rfc3339 } from '../../base/clock.ts';
import { defineAction } from '../../port/action.ts';
import { untilUnchanged, withCluster } from './cluster.ts';
import { called, declaredWorkload, placeOf } from './connect.ts';
import { need } from './permissions.ts';
import { RESTARTED_AT, RESTARTED_BY, patchOf, refusesRollout, wantedPods } from './workload.ts';

export default defineAction({
  summary:
    'Starts the pods of a declared deployment, stateful set or daemon set anew, as its strategy says, unless the same step has done so already.',
  effect: 'change',
  input: z.strictObject({
    connect: declaredWorkload(),
    max_pods: z.int().min(1).max(1_000).default(50),
  }),
  outputs: {
    restarted: 'this try has told it to; false: an earlier try of the same step had',
    replicas: 'how many pods it wants',
    generation: 'of the workload after it',
  },
  undo: 'it cannot be undone: what the old pods held in memory is gone',
  defaultTimeout: 30_000,
  run: ({ connect, max_pods: maxPods }, context) => {
    const place = placeOf(connect);
    const needs = [need.workload('get', place), need.workload('patch', place)];
    return withCluster(connect, context, needs, (cluster) =>
      untilUnchanged(called(place), async () => {
        const found = await cluster.workload(place);
        const { template } = found.spec;
        const replicas = wantedPods(found);
        const generation = found.metadata.generation ?? 0;
        if (template.metadata?.annotations?.[RESTARTED_BY] === context.marker)
          return { outputs: { restarted: false, replicas, generation } };
        const refusal = refusesRollout(found, maxPods);
        if (refusal !== null) throw refusal;
        const annotations = { [RESTARTED_AT]: rfc3339(context.clock.now()), [RESTARTED_BY]: context.marker };
        const patch = patchOf(found, { spec: { template: { metadata: { annotations } } } });
        const changed = await cluster.patchWorkload(place, patch, 'MergePatch');
        return changed ? { outputs: { restarted: true, replicas, generation: generation + 1 } } : null;
      }),
    );
  },
});
