// `amends inbox list|close`: what waits for a human.
import type { Command, Invocation } from './terminal/command.ts';
import { argument, textOption } from './terminal/command.ts';
import { FINE, FOUND } from './terminal/edge.ts';
import { addBy, report, wholeOption } from './terminal/acting.ts';
import { table } from './terminal/text.ts';

export const command: Command = {
  summary: 'What waits for a human: list it, close what was dealt with.',
  examples: [
    'amends inbox list',
    'amends inbox list --all --output=json',
    'amends inbox close 0192c6a1-... --comment="restored by hand"',
  ],
  define(inbox, act) {
    inbox
      .command('list', { isDefault: true })
      .description('What is open, newest first. Exit 1 if anything is.')
      .option('--all', 'what is closed as well')
      .option('--component <component>', 'only of this component')
      .option('--limit <n>', 'at most so many', '100')
      .action(act(list));
    const close = inbox
      .command('close <entry>')
      .description('A human has dealt with it. Frees the target of a stuck run.')
      .option('--comment <text>', 'what was done');
    addBy(close).action(
      act(async (invocation) => {
        const { options, client } = invocation;
        const path = `/api/v1/inbox/${encodeURIComponent(argument(invocation, 0))}/close`;
        const answer = await client.post(path, {
          comment: textOption(options, 'comment'),
          by: textOption(options, 'by'),
        });
        return report(invocation, answer, 'Closed.');
      }),
    );
  },
};

const list = async (invocation: Invocation): Promise<number> => {
  const { client, edge, options, output } = invocation;
  const filters = { status: options['all'] === true ? undefined : 'open', component: textOption(options, 'component') };
  const entries = await client.list('/api/v1/inbox', filters, wholeOption(invocation, 'limit', 10_000));
  const rows = entries.map((entry) => [
    entry['id'],
    entry['at'],
    entry['kind'],
    entry['severity'],
    entry['component'],
    entry['target'],
    entry['status'],
    entry['count'],
    entry['title'],
  ]);
  const shown = table(
    ['entry', 'at', 'kind', 'severity', 'component', 'target', 'status', 'times', 'title'],
    rows,
    'nothing waits for a human',
  );
  edge.out(output === 'json' ? JSON.stringify({ items: entries }) : shown);
  return entries.some((entry) => entry['status'] === 'open') ? FOUND : FINE;
};
