// `amends audit verify`: whether the record is as it was written, read from its file.
import type { RecordVerdict } from '../app-audit.ts';
import type { Command, Invocation, Options } from './terminal/command.ts';
import { Misuse, textOption } from './terminal/command.ts';
import { FINE, FOUND } from './terminal/edge.ts';
import { settingsOf } from './terminal/serve-options.ts';
import { printable } from './terminal/text.ts';

export const command: Command = {
  summary: 'Check the audit: every row follows the one before, and the runs are as it tells.',
  examples: [
    'amends audit verify',
    'amends audit verify --storage.path=/var/lib/amends --head=4711:9f2c...',
    'amends audit verify --output=json | jq .audit.head',
  ],
  define(audit, act) {
    audit
      .command('verify')
      .description(
        'Reads the file itself, beside a running amends or without one. Exit 1 at the first row that is not as it was written.',
      )
      .option('--storage.path <folder>', 'where the record is kept (default: ./data)')
      .option('--head <row:hash>', 'one that the log told of (audit head): shows whether the end was cut off')
      .action(act(run));
  },
};

const run = async ({ edge, options, output }: Invocation): Promise<number> => {
  const noted = headOf(options);
  const { storagePath } = settingsOf(options);
  const { verifyRecord } = await import('../app-audit.ts');
  let verdict: RecordVerdict;
  try {
    verdict = await verifyRecord(storagePath, edge.clock, noted);
  } catch (error) {
    edge.err(
      `There is no record in ${printable(storagePath)} that can be read: ${printable((error as Error).message)}`,
    );
    return FOUND;
  }
  edge.out(output === 'json' ? JSON.stringify(verdict) : text(verdict));
  return verdict.audit.ok && verdict.runs?.problems.length === 0 ? FINE : FOUND;
};

const headOf = (options: Options): { readonly seq: number; readonly hash: string } | null => {
  const given = textOption(options, 'head');
  if (given === undefined) return null;
  const [, seq, hash] = /^(\d{1,15}):([0-9a-f]{64})$/.exec(given) ?? [];
  if (seq === undefined || hash === undefined)
    throw new Misuse('--head: a row and its hash are expected, as in 4711:9f2c...');
  return { seq: Number(seq), hash };
};

const MOST_PROBLEMS = 20;

const text = ({ file, audit, runs }: RecordVerdict): string => {
  if (!audit.ok) return `The audit in ${printable(file)} is broken at row ${audit.seq}: ${audit.problem}`;
  const { checked = 0, problems = [] } = runs ?? {};
  const chain = `${audit.rows} rows, each follows the one before; head ${audit.head.seq}:${audit.head.hash}`;
  if (problems.length === 0) return `${chain}\n${checked} runs, each as the audit tells`;
  const shown = problems.slice(0, MOST_PROBLEMS).map(printable);
  const more = problems.length > shown.length ? [`and ${problems.length - shown.length} more`] : [];
  return [chain, `${problems.length} things in the table of runs are not as the audit tells:`, ...shown, ...more].join(
    '\n',
  );
};
