// A new container in the place of one that cannot be brought back: stop, remove, start anew.
import { z } from 'zod';
import { defineAction } from '../../port/action.ts';
import { duration } from '../inputs.ts';
import { allowContainer, containerInput, graceInput, withEngine } from './engine.ts';
import { honestly, recreate } from './recreating.ts';
import { shownState, stateOutputs } from './steadiness.ts';

export default defineAction({
  summary: 'Stops and removes a declared container and starts a new one of the same image, settings and volumes.',
  // What it wrote outside of its volumes goes with it.
  effect: 'destroy',
  input: z.strictObject({ ...containerInput, grace: graceInput, stable: duration.default(3_000) }),
  outputs: { ...stateOutputs, was: 'the status of the old one', replaced: 'the id of the old one' },
  undo: 'it cannot be undone: what the old one wrote outside of its volumes is gone; its volumes are the new one’s',
  defaultTimeout: 120_000,
  async run(input, context) {
    allowContainer(input.container, context);
    let begun = false;
    const noting = { ...context, began: () => ((begun = true), context.began()) };
    const { before, after } = await honestly(
      withEngine(input.socket, context, (engine) =>
        recreate(engine, { name: input.container, image: null, graceMs: input.grace, stableMs: input.stable }, noting),
      ),
      () => begun,
      input.container,
    );
    return { outputs: { ...shownState(after), was: before.status, replaced: before.id }, undo: {} };
  },
});
