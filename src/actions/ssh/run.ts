// A command on a far host, by the name under which the component declares it. The far side should allow no more than
// that either: docs/ssh.md shows the forced command that goes with it.
import { defineAction } from '../../port/action.ts';
import { runFar, sshInput, sshOutputs } from './running.ts';

export default defineAction({
  summary:
    'Runs a command that the component declares by name on a far host with a known key; see docs/ssh.md for the far side.',
  effect: 'change',
  input: sshInput,
  outputs: sshOutputs,
  undo: 'only the runbook knows: give the step an `undo` if the command has an opposite',
  defaultTimeout: 60_000,
  run: (input, context) => runFar(input, false, context),
});
