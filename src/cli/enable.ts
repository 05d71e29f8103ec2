// `amends enable`: takes a disable back.
import type { Command } from './terminal/command.ts';
import { textOption } from './terminal/command.ts';
import { addBy, report } from './terminal/acting.ts';
import { controlled } from './disable.ts';

export const command: Command = {
  summary: 'Automatic again, after a disable.',
  examples: ['amends enable cache', 'amends enable --rule=redis-connection-lost'],
  define(enable, act) {
    enable.argument('[component]', 'which component').option('--rule <rule>', 'in place of a component: a rule');
    addBy(enable).action(
      act(async (invocation) => {
        const { path, name } = controlled(invocation);
        const answer = await invocation.client.post(`${path}/enable`, { by: textOption(invocation.options, 'by') });
        return report(invocation, answer, `${name} is enabled.`);
      }),
    );
  },
};
