// Stops a service through its supervisor, which would otherwise start again what a signal has ended.
import { defineAction } from '../../port/action.ts';
import { bringDown, changeOutputs, downInput } from './changing.ts';

export default defineAction({
  summary: 'Stops a service through its supervisor and waits until it is down.',
  effect: 'change',
  input: downInput,
  outputs: changeOutputs,
  undo: 'service.start',
  defaultTimeout: 60_000,
  run: (input, context) => bringDown(input, context),
});
