// `amends runbook list|show|test`: what can be done, the page for the human when it does not help, and its tests.
import { isObject } from '../base/json.ts';
import type { Answer } from './terminal/client.ts';
import type { Command, Invocation } from './terminal/command.ts';
import { Misuse, argument } from './terminal/command.ts';
import { FINE } from './terminal/edge.ts';
import { settingsOf } from './terminal/serve-options.ts';
import { lines, plain, table } from './terminal/text.ts';

const MOST = 10_000;

export const command: Command = {
  summary: 'Runbooks: list them, show one with its guide, or run its tests.',
  examples: [
    'amends runbook list',
    'amends runbook show database/restore-backup',
    'amends runbook test database/restore-backup',
  ],
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
    runbook
      .command('test <runbook>')
      .description('Run the tests that stand beside the runbooks and are about this one (see amends test).')
      .option('--config.file <file>', 'configuration that names the runbooks (default: amends.yaml)')
      .action(act(test));
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

const test = async (invocation: Invocation): Promise<number> => {
  const { runTests, testFilesOf } = await import('./terminal/testing.ts');
  const name = argument(invocation, 0);
  const files = await testFilesOf(name, settingsOf(invocation.options).configFile);
  if (files.length === 0) throw new Misuse(`No *.test.yaml beside the runbooks is about ${name}: see docs/testing.md`);
  return runTests(invocation, files);
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
