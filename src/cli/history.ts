// `amends history`: what was recovered in the last hours, and how often it helped.
import type { Command, Invocation } from './terminal/command.ts';
import { FINE } from './terminal/edge.ts';
import { componentOption, wholeOption } from './terminal/acting.ts';
import { outcomeOf } from './terminal/run-text.ts';
import { between, table } from './terminal/text.ts';

const MOST = 10_000;

export const command: Command = {
  summary: 'What was recovered in the last hours, newest first.',
  examples: [
    'amends history',
    'amends history --hours=168 --component=cache',
    'amends history --hours=1 --output=json',
  ],
  define: (history, act) =>
    void history
      .option('--hours <n>', 'how far back', '24')
      .option('--component <component>', 'only of this component')
      .action(act(show)),
};

const show = async (invocation: Invocation): Promise<number> => {
  const { client, edge, output } = invocation;
  const hours = wholeOption(invocation, 'hours', 24 * 366);
  const component = await componentOption(invocation);
  const runs = await client.list('/api/v1/runs', { since: `${hours}h`, component }, MOST);
  const outcomes: Record<string, number> = {};
  for (const run of runs) {
    const outcome = String(run['outcome'] ?? run['state']);
    outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
  }
  if (output === 'json') {
    edge.out(JSON.stringify({ hours, total: runs.length, outcomes, items: runs }));
    return FINE;
  }
  const shown = runs.map((run) => [
    run['createdAt'],
    run['component'],
    run['target'],
    run['strategy'],
    run['outcome'] === null ? run['state'] : outcomeOf(run),
    between(run['alertStartedAt'], run['verifiedAt']),
    run['id'],
  ]);
  edge.out(
    table(
      ['at', 'component', 'target', 'strategy', 'outcome', 'alert to verified', 'run'],
      shown,
      `nothing in the last ${hours} h`,
    ),
  );
  if (runs.length > 0)
    edge.out(
      `\n${runs.length} in ${hours} h: ${Object.entries(outcomes)
        .map(([name, count]) => `${count} ${name}`)
        .join(', ')}`,
    );
  return FINE;
};
