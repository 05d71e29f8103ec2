// Gives a node back that amends has cordoned.
import { z } from 'zod';
import { defineAction } from '../../port/action.ts';
import { withCluster } from './cluster.ts';
import { need } from './permissions.ts';
import { declared, node } from './connect.ts';
import { nodeOutputs, shownNode, uncordonNode } from './cordoning.ts';

export default defineAction({
  summary: 'Lets a declared node take new pods again, if it was amends that cordoned it.',
  effect: 'change',
  input: z.strictObject({
    connect: declared({ node }),
    /** The step that has cordoned it, as the undo of kubernetes.cordon names it; without it any step of amends. */
    by: z.string().min(1).max(500).optional(),
  }),
  outputs: { ...nodeOutputs, changed: 'this try has given it back' },
  undo: 'kubernetes.cordon',
  defaultTimeout: 30_000,
  run: ({ connect, by }, context) => {
    const { node: name } = connect;
    return withCluster(connect, context, [need.node('get', name), need.node('patch', name)], async (cluster) => {
      const { before, changed } = await uncordonNode(cluster, name, by ?? null);
      const outputs = { ...shownNode(before), changed };
      return { outputs: changed ? { ...outputs, cordoned: false, by_amends: false } : outputs };
    });
  },
});
