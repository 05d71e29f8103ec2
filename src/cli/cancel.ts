// `amends cancel`: stops a run before its next step.
import type { Command } from './terminal/command.ts';
import { argument, textOption } from './terminal/command.ts';
import { addBy, report } from './terminal/acting.ts';
import { cell } from './terminal/text.ts';

export const command: Command = {
  summary: 'Stop a run: the step under way ends, no other starts, then it is verified.',
  examples: ['amends cancel 0192c6a1-... --reason="wrong target"'],
  define(cancel, act) {
    cancel.argument('<run>', 'its id').option('--reason <text>', 'why');
    addBy(cancel).action(
      act(async (invocation) => {
        const { options, client } = invocation;
        const path = `/api/v1/runs/${encodeURIComponent(argument(invocation, 0))}/cancel`;
        const answer = await client.post(path, {
          reason: textOption(options, 'reason'),
          by: textOption(options, 'by'),
        });
        return report(invocation, answer, `Asked to stop; the run is ${cell(answer['state'])}.`);
      }),
    );
  },
};
