// Approving and denying are one act with two answers.
import type { Command } from './command.ts';
import { argument, textOption } from './command.ts';
import { addBy, report } from './acting.ts';
import { cell } from './text.ts';

export const answerApproval =
  (verb: 'approve' | 'deny', done: string): Command['define'] =>
  (command, act) => {
    command
      .argument('<run>', 'its id')
      .option('--step <id>', 'the approval step that is meant, where the runbook has several')
      .option('--comment <text>', 'why');
    addBy(command).action(
      act(async (invocation) => {
        const { options, client } = invocation;
        const body = {
          step: textOption(options, 'step'),
          comment: textOption(options, 'comment'),
          by: textOption(options, 'by'),
        };
        const answer = await client.post(`/api/v1/runs/${encodeURIComponent(argument(invocation, 0))}/${verb}`, body);
        return report(invocation, answer, `${done}; the run is ${cell(answer['state'])}.`);
      }),
    );
  };
