// `amends test`: unit tests of rules and runbooks, in time that does not have to pass and with nothing done in the world.
import type { Command, Invocation } from './terminal/command.ts';
import { Misuse, textOption } from './terminal/command.ts';
import { addDirectoryFlag, directoryOf } from './terminal/directory.ts';
import { FINE } from './terminal/edge.ts';
import { settingsOf } from './terminal/serve-options.ts';
import { grounds, partsOf, runTests, shown } from './terminal/testing.ts';

export const command: Command = {
  summary:
    'Unit tests of rules and runbooks, in the manner of promtool: alerts at times and canned steps in, what is decided and done out.',
  examples: [
    'amends test',
    'amends test rules/redis runbooks/redis/reconnect.test.yaml',
    'amends test --run="stale clients" --output=json',
    'amends test --coverage --mutate',
    'amends test --junit=results.xml',
    'amends test --from-run=0192c6a1-...',
  ],
  define: (test, act) =>
    void addDirectoryFlag(test, 'with --from-run or --from-alert: where to write (default: beside the rule)')
      .argument('[paths...]', 'files or folders (default: every *.test.yaml beside rule_files and runbook_files)')
      .option('--config.file <file>', 'configuration of tests that name none (default: amends.yaml)')
      .option('--run <regex>', 'only tests whose name this matches')
      .option('--coverage', 'name rules without a positive and a negative case; exit 1 if there is one')
      .option('--mutate', 'change rules in small ways and report what no test notices')
      .option('--least <share>', 'with --mutate: exit 1 if fewer of the changes are noticed (default: 80%)')
      .option('--junit <file>', "write the results as JUnit's XML as well")
      .option('--from-run <id>', 'write a test of a run that is on record: of its rule and of its runbook')
      .option('--from-alert <id>', 'write a test of an alert that is on record')
      .action(act(run)),
};

const run = async (invocation: Invocation): Promise<number> => {
  const { args, options } = invocation;
  return options['fromRun'] === undefined && options['fromAlert'] === undefined
    ? runTests(invocation, args)
    : record(invocation, settingsOf(options).configFile);
};

/** From the record of a running amends to test files that pass. */
const record = async ({ client, edge, options, output, args }: Invocation, configFile: string): Promise<number> => {
  const [runId, alertId] = [textOption(options, 'fromRun'), textOption(options, 'fromAlert')];
  if (args.length > 0 || (runId !== undefined && alertId !== undefined))
    throw new Misuse('--from-run and --from-alert each stand alone, with --directory for where to write');
  const { recordedOf, writeRecordedTests } = await import('./terminal/recorded-test.ts');
  const recorded = await (runId === undefined
    ? recordedOf(client, 'alert', alertId ?? '')
    : recordedOf(client, 'run', runId));
  const parts = await partsOf();
  const { createBases } = await import('../replay/test-base.ts');
  const bases = createBases(parts, configFile);
  const loaded = await grounds({ files: [], ruleTests: [], runbooks: [] }, bases);
  const folder = directoryOf(options) ?? null;
  const files = await writeRecordedTests({ recorded, loaded, configFile, parts, bases, edge, folder });
  edge.out(output === 'json' ? JSON.stringify({ files }) : files.map(shown).join('\n'));
  return FINE;
};
