// Starts the pods of a deployment anew, a few at a time, as its own strategy says: what kubectl rollout restart does.
import { z } from 'zod';
import { rfc3339 } from '../../base/clock.ts';
import { defineAction } from '../../port/action.ts';
import { need, untilUnchanged, withCluster } from './cluster.ts';
import { declared, deployment, namespace } from './connect.ts';
import { RESTARTED_AT, RESTARTED_BY, patchOf, refusesRollout } from './workload.ts';

export default defineAction({
  summary:
    'Starts the pods of a declared deployment anew, as its strategy says, unless the same step has done so already.',
  effect: 'change',
  input: z.strictObject({
    connect: declared({ namespace, deployment }),
    max_pods: z.int().min(1).max(1_000).default(50),
  }),
  outputs: {
    restarted: 'this try has told it to; false: an earlier try of the same step had',
    replicas: 'how many pods it wants',
    generation: 'of the deployment after it',
  },
  undo: 'it cannot be undone: what the old pods held in memory is gone',
  defaultTimeout: 30_000,
  run: ({ connect, max_pods: maxPods }, context) => {
    const { namespace: space, deployment: name } = connect;
    const needs = [need.deployment('get', space, name), need.deployment('patch', space, name)];
    return withCluster(connect, context, needs, (cluster) =>
      untilUnchanged(`the deployment ${name}`, async () => {
        const found = await cluster.deployment(space, name);
        const { replicas, template } = found.spec;
        const generation = found.metadata.generation ?? 0;
        if (template.metadata?.annotations?.[RESTARTED_BY] === context.marker)
          return { outputs: { restarted: false, replicas, generation } };
        const refusal = refusesRollout(found, maxPods);
        if (refusal !== null) throw refusal;
        const annotations = { [RESTARTED_AT]: rfc3339(context.clock.now()), [RESTARTED_BY]: context.marker };
        const patch = patchOf(found, { spec: { template: { metadata: { annotations } } } });
        const changed = await cluster.patchDeployment(space, name, patch);
        return changed ? { outputs: { restarted: true, replicas, generation: generation + 1 } } : null;
      }),
    );
  },
});
