// Waits until a container can be counted on.
import { z } from 'zod';
import { defineAction } from '../../port/action.ts';
import { duration } from '../inputs.ts';
import { allowContainer, containerInput, withEngine } from './engine.ts';
import { becomesSteady, shownState, stateOutputs } from './steadiness.ts';

export default defineAction({
  summary: 'Waits until a container has run for some seconds without being started anew, and is healthy if it says.',
  effect: 'read',
  input: z.strictObject({
    ...containerInput,
    stable: duration.default(5_000),
    within: duration.default(30_000),
  }),
  outputs: stateOutputs,
  undo: 'nothing to undo: it only reads',
  defaultTimeout: 60_000,
  async run(input, context) {
    allowContainer(input.container, context);
    const state = await withEngine(input.socket, context, (engine) =>
      becomesSteady(engine, input.container, { stableMs: input.stable, withinMs: input.within }, context),
    );
    return { outputs: shownState(state) };
  },
});
