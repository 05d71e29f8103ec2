// `amends resume`: lifts a halt. What waited is asked every guard again.
import { existsSync, rmSync } from 'node:fs';
import type { Command } from './terminal/command.ts';
import { textOption } from './terminal/command.ts';
import { addBy, report } from './terminal/acting.ts';
import { addFileOptions, haltFileOf } from './terminal/halt-file.ts';

export const command: Command = {
  summary: 'Lift a halt; what waited is asked every guard again.',
  examples: ['amends resume --reason="the fire is out"', 'amends resume --file --storage.path=/var/lib/amends'],
  define(resume, act) {
    resume.option('--reason <text>', 'why');
    addFileOptions(addBy(resume), 'remove the halt file').action(
      act(async (invocation) => {
        const { options, client } = invocation;
        const file = haltFileOf(invocation);
        if (file !== null) {
          const changed = existsSync(file);
          rmSync(file, { force: true });
          return report(
            invocation,
            { on: false, file, changed },
            changed
              ? `The halt file ${file} is gone; a halt by API or page still holds: amends status`
              : `There is no halt file ${file}; a halt by API or page is lifted without --file: amends resume`,
          );
        }
        const answer = await client.post('/api/v1/halt', {
          on: false,
          reason: textOption(options, 'reason'),
          by: textOption(options, 'by'),
        });
        return report(invocation, answer, answer['changed'] === false ? 'Nothing was halted.' : 'Resumed.');
      }),
    );
  },
};
