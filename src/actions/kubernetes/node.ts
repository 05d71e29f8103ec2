// How a node is: evidence before it is cordoned, and the look at it afterwards.
import { z } from 'zod';
import { defineAction } from '../../port/action.ts';
import { withCluster } from './cluster.ts';
import { declared, node } from './connect.ts';
import { nodeOutputs, shownNode } from './cordoning.ts';

export default defineAction({
  summary: 'Looks at a declared node: whether it is ready and takes new pods, and what is wrong with it.',
  effect: 'read',
  input: z.strictObject({ connect: declared({ node }) }),
  outputs: nodeOutputs,
  undo: 'nothing to undo: it only reads',
  defaultTimeout: 15_000,
  run: ({ connect }, context) =>
    withCluster(connect, context, [], async (cluster) => ({ outputs: shownNode(await cluster.node(connect.node)) })),
});
