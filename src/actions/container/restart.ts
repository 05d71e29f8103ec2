// Stops a container and starts the same one again.
import { z } from 'zod';
import { ActionError } from '../../base/failure.ts';
import { defineAction } from '../../port/action.ts';
import { allowContainer, containerInput, graceInput, stateOf, withEngine } from './engine.ts';
import { shownState, stateOutputs } from './steadiness.ts';

export default defineAction({
  summary: 'Stops a declared container, with KILL after a grace, and starts it again; it stays the same container.',
  effect: 'change',
  input: z.strictObject({ ...containerInput, grace: graceInput }),
  outputs: { ...stateOutputs, was: 'its status before' },
  undo: 'it cannot be undone: what it held in memory is gone',
  defaultTimeout: 60_000,
  async run(input, context) {
    const { container, socket, grace } = input;
    allowContainer(container, context);
    let begun = false;
    try {
      return await withEngine(socket, context, async (engine) => {
        const before = stateOf(await engine.inspect(container));
        context.signal.throwIfAborted();
        begun = true;
        context.began();
        await engine.restart(container, grace);
        const after = stateOf(await engine.inspect(container));
        return { outputs: { ...shownState(after), was: before.status } };
      });
    } catch (error) {
      if (!begun || (error instanceof ActionError && error.kind === 'permanent')) throw error;
      throw new ActionError(
        'indeterminate',
        `${container} may be stopped, or still be restarting: ${(error as Error).message}`,
        { cause: error },
      );
    }
  },
});
