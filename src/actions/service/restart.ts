// Restarts a service through its supervisor, and does not call it done while it crash-loops.
import { defineAction } from '../../port/action.ts';
import { bringUp, changeOutputs, upInput } from './changing.ts';

export default defineAction({
  summary: 'Restarts a service through its supervisor and waits until it stays up.',
  effect: 'change',
  input: upInput,
  outputs: changeOutputs,
  undo: 'not needed: the service runs as before',
  defaultTimeout: 90_000,
  run: (input, context) => bringUp('restart', input, context),
});
