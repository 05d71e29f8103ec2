// `amends audit verify` and `amends audit export`: whether the record is as it was written, and the record itself, read
// from its files.
import type { RecordVerdict } from '../app-audit.ts';
import { readSince } from '../http/outside.ts';
import type { Command, Invocation, Options } from './terminal/command.ts';
import { Misuse, textOption } from './terminal/command.ts';
import { FINE, FOUND } from './terminal/edge.ts';
import { settingsOf } from './terminal/serve-options.ts';
import { printable } from './terminal/text.ts';

export const command: Command = {
  summary: 'Check the audit, or write it out: every row follows the one before, and the runs are as it tells.',
  examples: [
    'amends audit verify',
    'amends audit verify --storage.path=/var/lib/amends --head=4711:9f2c...',
    'amends audit verify --head=9f2c51d08a77b3e4@4711',
    'amends audit verify --output=json | jq .audit.head',
    'amends audit export --since=90d > audit.ndjson',
    'amends audit export --since=2026-01-01T00:00:00Z --until=2026-02-01T00:00:00Z | jq -r .action | sort | uniq -c',
  ],
  define(audit, act) {
    audit
      .command('verify')
      .description(
        'Reads the files themselves, archives and database, beside a running amends or without one. Exit 1 at the first row that is not as it was written.',
      )
      .option('--storage.path <folder>', 'where the record is kept (default: ./data)')
      .option(
        '--head <head>',
        'one that was told of, as row:hash, hash@row or a hash or its beginning alone: shows whether the end was cut off',
      )
      .option('--archives <folder>', 'where the archive files lie (default: audit in the storage folder)')
      .option('--accept-missing-archives', 'believe the seals of the oldest archives, if they were taken elsewhere')
      .action(act(verify));
    audit
      .command('export')
      .description(
        'Writes NDJSON, a line for each row, oldest first: archives and database, beside a running amends or without one.',
      )
      .option('--since <when>', 'a duration such as 30d, or an RFC 3339 time (default: all that is kept)')
      .option('--until <when>', 'the same; rows of before it (default: now)')
      .option('--storage.path <folder>', 'where the record is kept (default: ./data)')
      .option('--archives <folder>', 'where the archive files lie (default: audit in the storage folder)')
      .action(act(write));
  },
};

const verify = async ({ edge, options, output }: Invocation): Promise<number> => {
  const noted = headOf(options);
  const { storagePath } = settingsOf(options);
  const { verifyRecord } = await import('../app-audit.ts');
  let verdict: RecordVerdict;
  try {
    verdict = await verifyRecord(storagePath, edge.clock, {
      noted,
      archives: textOption(options, 'archives') ?? null,
      acceptMissing: options['acceptMissingArchives'] === true,
    });
  } catch (error) {
    return unreadable(edge, storagePath, error);
  }
  edge.out(output === 'json' ? JSON.stringify(verdict) : text(verdict));
  return verdict.audit.ok && verdict.runs?.problems.length === 0 ? FINE : FOUND;
};

const write = async ({ edge, options }: Invocation): Promise<number> => {
  const now = edge.clock.now();
  const [since, until] = [timeOf(options, 'since', now), timeOf(options, 'until', now)];
  const archives = textOption(options, 'archives') ?? null;
  const { storagePath } = settingsOf(options);
  const { exportAudit } = await import('../app-audit.ts');
  try {
    const { rows, missing } = await exportAudit(storagePath, edge.clock, { since, until, archives }, edge.out);
    for (const { file, rows: lacking } of missing)
      edge.err(`${printable(file)} is not there: its ${lacking} rows are left out`);
    edge.err(`${rows} rows`);
    return missing.length === 0 ? FINE : FOUND;
  } catch (error) {
    return unreadable(edge, storagePath, error);
  }
};

const unreadable = (edge: Invocation['edge'], storagePath: string, error: unknown): number => {
  edge.err(
    `There is no record in ${printable(storagePath)} that can be read: ${printable((error as Error).message)}\nName the folder of amends serve: --storage.path`,
  );
  return FOUND;
};

/** The metric has the first 16 digits of a hash. */
const HEAD = /^(?:(?<row>\d{1,15}):(?<whole>[0-9a-f]{64})|(?<hash>[0-9a-f]{16,64})(?:@(?<rows>\d{1,15}))?)$/;

const headOf = (options: Options): { readonly seq: number | null; readonly hash: string } | null => {
  const given = textOption(options, 'head');
  if (given === undefined) return null;
  const { row, whole, hash, rows } = HEAD.exec(given)?.groups ?? {};
  const known = whole ?? hash;
  if (known === undefined)
    throw new Misuse(
      '--head: a row and its hash are expected, as in 4711:9f2c... with all 64 digits, or 9f2c51d08a77b3e4@4711 with the first 16 or more',
    );
  const seq = row ?? rows;
  return { seq: seq === undefined ? null : Number(seq), hash: known };
};

const timeOf = (options: Options, name: string, now: number): number | null => {
  const given = textOption(options, name);
  if (given === undefined) return null;
  const time = readSince(given, now);
  if (time === undefined)
    throw new Misuse(`--${name}: a duration such as 30d, or a time such as 2026-01-31T10:00:00Z, is expected`);
  return time;
};

const MOST_PROBLEMS = 20;

const text = ({ file, archives, audit, runs }: RecordVerdict): string => {
  if (!audit.ok) {
    const line = audit.line === null ? '' : ` (line ${audit.line})`;
    const place = audit.file === null ? file : `${archives}/${audit.file}`;
    return `The audit in ${printable(place)} is broken at row ${audit.seq}${line}: ${printable(audit.problem)}`;
  }
  const { checked = 0, unchecked = 0, problems = [] } = runs ?? {};
  const files = audit.archives === 0 ? '' : ` (${audit.archives} archives)`;
  const chain = [
    `${audit.rows} rows${files}, each follows the one before; head ${audit.head.seq}:${audit.head.hash}`,
    ...(audit.unchecked === 0
      ? []
      : [`rows 1 to ${audit.unchecked} are in archives that are not there: only their seals were checked`]),
  ].join('\n');
  const beyond = unchecked === 0 ? '' : `; ${unchecked} began in archives that are not there`;
  if (problems.length === 0) return `${chain}\n${checked} runs, each as the audit tells${beyond}`;
  const shown = problems.slice(0, MOST_PROBLEMS).map(printable);
  const more = problems.length > shown.length ? [`and ${problems.length - shown.length} more`] : [];
  return [chain, `${problems.length} things in the table of runs are not as the audit tells:`, ...shown, ...more].join(
    '\n',
  );
};
