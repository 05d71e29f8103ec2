// `amends runbook list|show|test`: what can be done, the page for the human when it does not help, and whether it fits and passes its tests.
import { formatProblem } from '../base/failure.ts';
import { isObject } from '../base/json.ts';
import type { Answer } from './terminal/client.ts';
import type { Command, Invocation } from './terminal/command.ts';
import { Misuse, argument } from './terminal/command.ts';
import { FINE, FOUND } from './terminal/edge.ts';
import { addFileFlags, settingsOf } from './terminal/serve-options.ts';
import { lines, plain, table } from './terminal/text.ts';

const MOST = 10_000;

export const command: Command = {
  summary:
    'Runbooks: list them, show one with its guide, or test whether one fits what is configured and passes its tests.',
  examples: [
    'amends runbook list',
    'amends runbook show database/restore-backup',
    'amends runbook test database/restore-backup --component=shop-db',
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
    addFileFlags(runbook.command('test <runbook>'))
      .description(
        'Whether a strategy is valid for each target it is for (its file, its inputs, what it reads of connect, the actions that are allowed), then the tests that stand beside it. Nothing is done in the world. Exit 1 if not.',
      )
      .option('--component <component>', 'only for this component')
      .option('--target <target>', 'only for this target')
      .option('--inputs <json>', "the runbook's inputs")
      .action(act(test));
  },
};

const nameOf = (invocation: Invocation): readonly [kind: string, strategy: string] => {
  const [kind, strategy, ...more] = argument(invocation, 0).split('/');
  if (kind === undefined || strategy === undefined || strategy === '' || more.length > 0)
    throw new Misuse('A runbook is named <kind>/<strategy>, for example database/restore-backup.');
  return [kind, strategy];
};

/** First whether it is valid, then the tests that stand beside it. */
const test = async (invocation: Invocation): Promise<number> => {
  const { edge, options, output } = invocation;
  const name = nameOf(invocation).join('/');
  const [{ checkStrategy }, { runTests, testFilesOf }] = await Promise.all([
    import('./terminal/strategy.ts'),
    import('./terminal/testing.ts'),
  ]);
  const { problems, targets, note } = await checkStrategy(invocation, name);
  const files = problems.length === 0 ? await testFilesOf(name, settingsOf(options).configFile) : [];
  const told: string[] = [];
  const code =
    files.length === 0
      ? FINE
      : await runTests({ ...invocation, edge: { ...edge, out: (line) => told.push(line) } }, files);
  const ok = problems.length === 0 && code === FINE;
  if (output === 'json') {
    const tests: unknown = files.length === 0 ? null : JSON.parse(told.join('\n'));
    edge.out(JSON.stringify({ ok, runbook: name, targets, note, problems, tests }));
  } else {
    const untested = problems.length > 0 || files.length > 0 ? [] : ['no test stands beside it: docs/testing.md'];
    edge.out([...problems.map((problem) => plain(formatProblem(problem))), note, ...told, ...untested].join('\n'));
  }
  return ok ? FINE : FOUND;
};

const show = async (invocation: Invocation): Promise<number> => {
  const { client, edge, output } = invocation;
  const [kind, strategy] = nameOf(invocation);
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
