// Starts a service through its supervisor; one that runs is left alone.
import { defineAction } from '../../port/action.ts';
import { bringUp, changeOutputs, upInput } from './changing.ts';

export default defineAction({
  summary: 'Starts a service through its supervisor and waits until it stays up.',
  effect: 'change',
  input: upInput,
  outputs: changeOutputs,
  undo: 'service.stop',
  defaultTimeout: 90_000,
  run: (input, context) => bringUp('start', input, context),
});
