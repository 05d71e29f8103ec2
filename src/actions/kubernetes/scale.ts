// How many pods a deployment has. To none of them only if the step says so: that is an outage by choice.
import { z } from 'zod';
import { ActionError } from '../../base/failure.ts';
import { defineAction } from '../../port/action.ts';
import { need, untilUnchanged, withCluster } from './cluster.ts';
import { declared, deployment, namespace } from './connect.ts';

export default defineAction({
  summary: 'Sets the number of replicas of a declared deployment, within a bound; to 0 only if the step allows that.',
  effect: 'change',
  input: z.strictObject({
    connect: declared({ namespace, deployment }),
    replicas: z.int().min(0).max(1_000),
    max_replicas: z.int().min(1).max(1_000).default(20),
    allow_zero: z.boolean().default(false),
  }),
  outputs: {
    replicas: 'how many it wants now',
    was: 'how many it wanted before this try',
    changed: 'this try has changed it',
  },
  undo: 'kubernetes.scale with `replicas: ${{ undo.replicas }}` and `allow_zero: ${{ undo.allow_zero }}`',
  defaultTimeout: 30_000,
  async run({ connect, replicas, max_replicas: max, allow_zero: allowZero }, context) {
    const { namespace: space, deployment: name } = connect;
    if (replicas === 0 && !allowZero)
      throw new ActionError(
        'permanent',
        `nothing was done: 0 replicas would end the deployment ${name}; mend: allow_zero: true if that is meant`,
      );
    if (replicas > max)
      throw new ActionError(
        'permanent',
        `nothing was done: ${replicas} replicas of the deployment ${name}, and max_replicas is ${max}`,
      );
    const needs = [need.scale('get', space, name), need.scale('update', space, name)];
    return withCluster(connect, context, needs, (cluster) =>
      untilUnchanged(`the scale of ${name}`, async () => {
        const scale = await cluster.scale(space, name);
        const was = scale.spec.replicas;
        const result = (changed: boolean) => ({
          outputs: { replicas, was, changed },
          undo: { replicas: was, allow_zero: was === 0 },
        });
        if (was === replicas) return result(false);
        const wanted = { ...scale, spec: { ...scale.spec, replicas } };
        return (await cluster.replaceScale(space, name, wanted)) ? result(true) : null;
      }),
    );
  },
});
