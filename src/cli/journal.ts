// `amends journal export`: all that a running amends has on record of what it decided on, as a file that `amends backtest`
// reads.
import { readSince } from '../http/outside.ts';
import type { Command, Invocation } from './terminal/command.ts';
import { Misuse, textOption } from './terminal/command.ts';
import { FINE } from './terminal/edge.ts';

export const command: Command = {
  summary: 'What came in, what was asked and done, and how runs ended, as a file that backtest reads.',
  examples: [
    'amends journal export > journal.ndjson',
    'amends journal export --since=30d --url=http://amends.internal:9193 > journal.ndjson',
  ],
  define: (journal, act) =>
    void journal
      .command('export')
      .description(
        'Writes NDJSON, oldest first: a line for each delivery, answer from outside, act of a person, look by our own clock and run that ended.',
      )
      .option('--since <when>', 'a duration such as 30d, or an RFC 3339 time (default: all that is kept)')
      .action(act(run)),
};

const run = async ({ client, edge, options }: Invocation): Promise<number> => {
  const since = textOption(options, 'since');
  if (since !== undefined && readSince(since, edge.clock.now()) === undefined)
    throw new Misuse('--since: a duration such as 30d, or a time such as 2026-01-31T10:00:00Z, is expected');
  const { readRecord } = await import('./terminal/record.ts');
  const { lines, counts } = await readRecord(client, since, (line) => edge.err(line));
  for (const line of lines) edge.out(line);
  edge.err(
    Object.entries(counts)
      .map(([type, count]) => `${type} ${count}`)
      .join(', ') || 'nothing is on record',
  );
  return FINE;
};
