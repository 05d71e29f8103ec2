// Keeps new pods off a node that is not well; those that run there stay.
import { z } from 'zod';
import { ActionError } from '../../base/failure.ts';
import { defineAction } from '../../port/action.ts';
import { withCluster } from './cluster.ts';
import { need } from './permissions.ts';
import { declared, node } from './connect.ts';
import { cordonNode, nodeOutputs, shownNode } from './cordoning.ts';

const MOST_NODES = 1_000;

export default defineAction({
  summary: 'Lets a declared node take no new pods, unless too many nodes are cordoned or not ready already.',
  effect: 'change',
  input: z.strictObject({
    connect: declared({ node }),
    /** So many other nodes may be cordoned or not ready; with more, the cluster has a trouble that this would add to. */
    max_unavailable: z.int().min(0).max(1_000).default(1),
  }),
  outputs: { ...nodeOutputs, changed: 'this try has cordoned it; false: it was so already' },
  undo: 'kubernetes.uncordon with `by: ${{ undo.by }}`: it gives back only what this step has cordoned',
  defaultTimeout: 30_000,
  run: ({ connect, max_unavailable: max }, context) => {
    const { node: name } = connect;
    const needs = [need.node('get', name), need.nodes(), need.node('patch', name)];
    return withCluster(connect, context, needs, async (cluster) => {
      const { before, changed } = await cordonNode(cluster, name, context.marker, async () => {
        const others = (await cluster.nodes(MOST_NODES)).filter((one) => one.metadata.name !== name);
        const away = others.map(shownNode).filter(({ ready, cordoned }) => cordoned || !ready);
        if (others.length > away.length && away.length <= max) return null;
        const why =
          others.length === away.length
            ? 'no other node would take its pods'
            : `${away.length} other nodes are cordoned or not ready, and max_unavailable is ${max}`;
        return new ActionError(
          'permanent',
          `nothing was done: ${why}${
            away.length === 0
              ? ''
              : `: ${away
                  .map((one) => one.node)
                  .slice(0, 10)
                  .join(', ')}`
          }`,
        );
      });
      const outputs = { ...shownNode(before), cordoned: true, changed };
      return { outputs: changed ? { ...outputs, by_amends: true } : outputs, undo: { by: context.marker } };
    });
  },
});
