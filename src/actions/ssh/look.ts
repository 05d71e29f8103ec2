// Evidence and verification on a far host: only what is declared to look may run here.
import { defineAction } from '../../port/action.ts';
import { runFar, sshInput, sshOutputs } from './running.ts';

export default defineAction({
  summary: 'Runs a command that the component declares with `reads: true` on a far host with a known key, to look.',
  effect: 'read',
  input: sshInput,
  outputs: sshOutputs,
  undo: 'nothing to undo: it only reads',
  defaultTimeout: 30_000,
  run: (input, context) => runFar(input, true, context),
});
