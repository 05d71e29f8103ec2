// Waits until a workload can be counted on.
import { z } from 'zod';
import { defineAction } from '../../port/action.ts';
import { duration } from '../inputs.ts';
import { withCluster } from './cluster.ts';
import { declaredWorkload, placeOf } from './connect.ts';
import { becomesSteady, statusOutputs } from './steadiness.ts';

export default defineAction({
  summary:
    'Waits until a rollout of a declared deployment, stateful set or daemon set is complete and no pod has changed or been started anew for some seconds.',
  effect: 'read',
  input: z.strictObject({
    connect: declaredWorkload(),
    stable: duration.default(5_000),
    within: duration.default(120_000),
    every: duration.refine((ms) => ms >= 50, { message: 'at least 50ms' }).default(1_000),
    max_pods: z.int().min(1).max(1_000).default(50),
    /** So often its pods may be started anew before it is complete: some have to wait for others. */
    max_restarts: z.int().min(0).max(1_000).default(2),
  }),
  outputs: statusOutputs,
  undo: 'nothing to undo: it only reads',
  defaultTimeout: 150_000,
  run: ({ connect, ...wanted }, context) =>
    withCluster(connect, context, [], async (cluster) => ({
      outputs: await becomesSteady(
        cluster,
        placeOf(connect),
        {
          stableMs: wanted.stable,
          withinMs: wanted.within,
          everyMs: wanted.every,
          maxPods: wanted.max_pods,
          maxRestarts: wanted.max_restarts,
        },
        context,
      ),
    })),
});
