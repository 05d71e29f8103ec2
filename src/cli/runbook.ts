// `amends runbook list|show`: what can be done, and the page for the human when it does not help.
import { isObject } from '../base/json.ts';
import type { Answer } from './terminal/client.ts';
import type { Command, Invocation } from './terminal/command.ts';
import { Misuse, argument } from './terminal/command.ts';
import { FINE } from './terminal/edge.ts';
import { lines, plain, table } from './terminal/text.ts';

const MOST = 10_000;

export const command: Command = {
  summary: 'Runbooks: list them, or show one with its guide.',
  examples: ['amends runbook list', 'amends runbook show database/restore-backup'],
  define(runbook, act) {
    runbook
      .command('list', { isDefault: true })
      .description('The runbooks that are loaded.')
      .action(
        act(async ({ client, edge, output }) => {
          const runbooks = await client.list('/api/v1/runbooks', {}, MOST);
          const rows = runbooks.map((one) => [one['name'], one['severity'], one['effect'], one['summary']]);
          edge.out(
            output === 'json'
              ? JSON.stringify({ items: runbooks })
              : table(['runbook', 'severity', 'effect', 'summary'], rows, 'no runbooks are loaded'),
          );
          return FINE;
        }),
      );
    runbook
      .command('show <runbook>')
      .description('What it does step by step, and what a human does when it does not help.')
      .action(act(show));
  },
};

const show = async (invocation: Invocation): Promise<number> => {
  const { client, edge, output } = invocation;
  const [kind, strategy, ...more] = argument(invocation, 0).split('/');
  if (kind === undefined || strategy === undefined || strategy === '' || more.length > 0)
    throw new Misuse('A runbook is named <kind>/<strategy>, for example database/restore-backup.');
  const runbook = await client.get(`/api/v1/runbooks/${encodeURIComponent(kind)}/${encodeURIComponent(strategy)}`);
  edge.out(output === 'json' ? JSON.stringify(runbook) : page(runbook));
  return FINE;
};

const steps = (value: unknown): readonly Answer[] => (Array.isArray(value) ? value.filter(isObject) : []);

const page = (runbook: Answer): string => {
  const phase = (name: string, label: string): readonly string[] =>
    steps(runbook[name]).map(
      (step) =>
        `  ${label}  ${plain(step['id']) || 'check'}: ${plain(step['uses']) || plain(step['query']) || 'approval'}`,
    );
  return [
    lines([
      ['runbook', runbook['name']],
      ['summary', runbook['summary']],
      ['severity', runbook['severity']],
      ['effect', runbook['effect']],
      ['file', runbook['file']],
    ]),
    '',
    ...phase('before', 'before'),
    ...phase('steps', 'step  '),
    ...phase('verify', 'verify'),
    '',
    plain(runbook['guide']).trimEnd(),
  ].join('\n');
};
