// `amends journal export`: what came in and how runs ended, as a file that `amends backtest` reads.
import { isObject } from '../base/json.ts';
import type { Command, Invocation } from './terminal/command.ts';
import { textOption } from './terminal/command.ts';
import { FINE } from './terminal/edge.ts';

/** A page more than that is asked for as long as there is one. */
const ALL = Number.MAX_SAFE_INTEGER;

export const command: Command = {
  summary: 'What came in and how runs ended, as a file that backtest reads.',
  examples: [
    'amends journal export > journal.ndjson',
    'amends journal export --since=30d --url=http://amends.internal:9193 > journal.ndjson',
  ],
  define: (journal, act) =>
    void journal
      .command('export')
      .description('Writes NDJSON: a line for each delivery and each run that ended, oldest first.')
      .option('--since <when>', 'a duration such as 30d, or an RFC 3339 time (default: all that is kept)')
      .action(act(run)),
};

const run = async ({ client, edge, options }: Invocation): Promise<number> => {
  const since = textOption(options, 'since');
  const deliveries = await client.list('/api/v1/journal', { since }, ALL);
  const runs = await client.list('/api/v1/runs', { since, state: 'done' }, ALL);
  const outcomes = runs.map(({ createdAt, component, target, strategy, outcome, cause }) => ({
    type: 'outcome',
    at: createdAt,
    component,
    target,
    strategy,
    outcome,
    cause,
  }));
  // Lists are newest first; those of one moment keep their order.
  const lines = [...deliveries.toReversed(), ...outcomes.toReversed()].filter(isObject).toSorted((left, right) => {
    const [a, b] = [String(left['at']), String(right['at'])];
    return a < b ? -1 : a > b ? 1 : 0;
  });
  for (const line of lines) edge.out(JSON.stringify(line));
  edge.err(`${deliveries.length} deliveries, ${outcomes.length} runs`);
  return FINE;
};
