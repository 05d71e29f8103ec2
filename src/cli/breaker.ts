// `amends breaker close`: a strategy that failed several times in a row may be tried again.
import type { Command } from './terminal/command.ts';
import { argument, textOption } from './terminal/command.ts';
import { addBy, report } from './terminal/acting.ts';

export const command: Command = {
  summary: 'Close the breaker of a strategy that failed several times in a row.',
  examples: ['amends breaker close cache reconnect --comment="the network is mended"'],
  define(breaker, act) {
    const close = breaker
      .command('close <component> <strategy>')
      .description('It is counted from zero again, and what it held is decided anew.')
      .option('--comment <text>', 'why it will go better');
    addBy(close).action(
      act(async (invocation) => {
        const { options, client } = invocation;
        const [component, strategy] = [argument(invocation, 0), argument(invocation, 1)];
        const path = `/api/v1/breakers/${encodeURIComponent(component)}/${encodeURIComponent(strategy)}/close`;
        const answer = await client.post(path, {
          comment: textOption(options, 'comment'),
          by: textOption(options, 'by'),
        });
        return report(invocation, answer, `The breaker of ${strategy} on ${component} is closed.`);
      }),
    );
  },
};
