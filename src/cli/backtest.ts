// `amends backtest`: what rules would have done on alerts that were, and what a change of them would do otherwise.
import { execFile } from 'node:child_process';
import { createReadStream } from 'node:fs';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { parseDuration } from '../base/duration.ts';
import { formatProblem } from '../base/failure.ts';
import type { Settings } from '../config.ts';
import type { Loaded } from '../engine/context.ts';
import type { AskPrometheus } from '../replay/alert-series.ts';
import type { Assumption, BacktestResult } from '../replay/backtest.ts';
import type { Journal, RecordedDelivery } from '../replay/journal.ts';
import type { Change } from '../replay/summary.ts';
import type { Command, Invocation } from './terminal/command.ts';
import { Misuse, textOption } from './terminal/command.ts';
import type { Edge } from './terminal/edge.ts';
import { FINE, FOUND } from './terminal/edge.ts';
import { loadFiles, prometheusAt, withScratch } from './terminal/offline.ts';
import { addFileFlags, settingsOf } from './terminal/serve-options.ts';
import { printable, table } from './terminal/text.ts';

export const command: Command = {
  summary:
    'What the rules would have done on alerts that were: from a journal, or from what Prometheus remembers; with --against, what changes.',
  examples: [
    'amends backtest --from=journal.ndjson',
    'amends backtest --from=journal.ndjson --against=main --markdown > comment.md',
    'amends backtest --prometheus=http://127.0.0.1:9090 --since=30d --recovery.mode=auto',
    'amends backtest --from=journal.ndjson --against=main --fail-on=newly_acts,acts_differently',
  ],
  define: (backtest, act) =>
    void addFileFlags(backtest)
      .option('--from <file>', 'a journal, NDJSON')
      .option('--prometheus <url>', 'in place of a journal: alerts as its ALERTS series remembers them')
      .option('--since <duration>', 'with --prometheus: how far back (default: 30d)')
      .option('--against <what>', 'a git revision, or a folder with another configuration: only what differs')
      .option('--assume <outcome>', 'how runs end that never were: success, failure or recorded (default: recorded)')
      .option('--fail-on <changes>', 'with --against: exit 1 on any, or on some of newly_acts, no_longer_acts, ...')
      .option('--markdown', 'as Markdown, for a pull request')
      .action(act(run)),
};

type Recorded = Pick<Journal, 'deliveries' | 'outcomes' | 'problems' | 'unused'>;

const run = async (invocation: Invocation): Promise<number> => {
  const { edge, options, output } = invocation;
  const { ASSUMPTIONS } = await import('../replay/backtest.ts');
  const { CHANGES, compare, summarise } = await import('../replay/summary.ts');
  const text = await import('../replay/backtest-text.ts');
  const assume = ASSUMPTIONS.find((one) => one === (textOption(options, 'assume') ?? 'recorded'));
  if (assume === undefined) throw new Misuse(`--assume: one of ${ASSUMPTIONS.join(', ')}`);
  const failOn = changesOf(textOption(options, 'failOn'), CHANGES);
  const against = textOption(options, 'against') ?? null;
  const settings = settingsOf(options);

  const ask = prometheusAt(textOption(options, 'prometheus'));
  const loaded = await loadFiles(settings);
  const base = against === null ? null : await loadOther(settings, against);
  const recorded = await readRecorded(invocation, ask);
  for (const problem of recorded.problems) edge.err(printable(formatProblem(problem)));

  const judge = (rules: Loaded, what: string): Promise<BacktestResult> =>
    decideAgain({ rules, recorded, assume, ask, edge, what });
  const before = base === null ? null : await judge(base, `under ${against ?? ''}`);
  const after = await judge(loaded, 'under these rules');
  const summary = summarise(after);
  const differences = before === null ? [] : compare(before, after);
  const compared = against === null ? null : { against, differences };

  if (output === 'json') edge.out(JSON.stringify({ assume, summary, against, differences }));
  else if (options['markdown'] === true) edge.out(text.backtestMarkdown(summary, assume, compared));
  else {
    edge.out(text.headOf(summary, assume).join('\n'));
    if (compared !== null) {
      edge.out(`\n${text.differencesSentence(differences, compared.against)}`);
      if (differences.length > 0) edge.out(table(text.DIFFERENCE_COLUMNS, differences.map(text.differenceCells)));
    }
    edge.out(`\n${table(text.RULE_COLUMNS, summary.rules.map(text.ruleCells), 'No rule answered any of them.')}\n`);
    edge.out(text.footOf(summary).join('\n'));
  }
  const whole = recorded.problems.length === 0 && after.refused.length === 0;
  if (!whole) edge.err('Not all of it could be read: the figures are of the rest.');
  return whole && !differences.some(({ change }) => failOn.has(change)) ? FINE : FOUND;
};

const changesOf = (text: string | undefined, known: readonly Change[]): ReadonlySet<Change> => {
  if (text === undefined || text === 'none') return new Set();
  if (text === 'any') return new Set(known);
  const names = text.split(',').map((name) => name.trim());
  const found = known.filter((change) => names.includes(change));
  if (found.length !== names.length) throw new Misuse(`--fail-on: none, any, or some of ${known.join(', ')}`);
  return new Set(found);
};

const readRecorded = async ({ edge, options }: Invocation, ask: AskPrometheus | null): Promise<Recorded> => {
  const file = textOption(options, 'from');
  if ((file === undefined) === (ask === null)) throw new Misuse('give either --from=FILE or --prometheus=URL');
  if (ask !== null) {
    const since = parseDuration(textOption(options, 'since') ?? '30d');
    if (since === undefined) throw new Misuse('--since: a duration, for example 30d');
    const { readAlertSeries } = await import('../replay/alert-series.ts');
    const to = edge.clock.now();
    const read = await readAlertSeries(ask, to - since, to, (done, of) => edge.err(`${done} of ${of} days read`));
    return {
      deliveries: read.ok ? read.value : [],
      outcomes: [],
      problems: read.ok ? [] : read.problems,
      unused: 0,
    };
  }
  const path = file ?? '';
  if (!(await stat(path).catch(() => null))?.isFile())
    throw new Misuse(`--from: ${path} is no file; amends journal export writes one`);
  const { readJournal } = await import('../replay/journal.ts');
  return readJournal(createInterface({ input: createReadStream(path), crlfDelay: Number.POSITIVE_INFINITY }), path);
};

const call = promisify(execFile);

/** The configuration as it stands in a folder, or as it stood at a revision. */
const loadOther = async (settings: Settings, against: string): Promise<Loaded> => {
  const folder = await stat(against).catch(() => null);
  if (folder?.isDirectory() === true)
    return loadFiles({ ...settings, configFile: join(against, basename(settings.configFile)) });
  const config = resolve(settings.configFile);
  const scratch = await mkdtemp(join(tmpdir(), 'amends-revision-'));
  try {
    const git = (...args: readonly string[]): Promise<{ stdout: string }> =>
      call('git', ['-C', dirname(config), ...args]);
    const top = (await git('rev-parse', '--show-toplevel')).stdout.trim();
    const archive = join(scratch, 'revision.tar');
    await git('-C', top, 'archive', '--format=tar', `--output=${archive}`, '--', against);
    await call('tar', ['-xf', archive, '-C', scratch]);
    return await loadFiles({ ...settings, configFile: join(scratch, relative(top, config)) });
  } catch (error) {
    if (error instanceof Misuse) throw error;
    const said = ((error as { stderr?: string }).stderr ?? (error as Error).message).trim().split('\n')[0] ?? '';
    throw new Misuse(
      `--against: ${against} is neither a folder nor a revision that git can give (${said}); for example main, HEAD~1, or ../other`,
    );
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
};

const decideAgain = async (given: {
  readonly rules: Loaded;
  readonly recorded: Pick<Recorded, 'deliveries' | 'outcomes'>;
  readonly assume: Assumption;
  readonly ask: AskPrometheus | null;
  readonly edge: Edge;
  readonly what: string;
}): Promise<BacktestResult> => {
  const { rules, recorded, assume, ask, edge, what } = given;
  const [{ backtest }, { queryAt }, { loadParts }] = await Promise.all([
    import('../replay/backtest.ts'),
    import('../replay/alert-series.ts'),
    import('../app.ts'),
  ]);
  const [first] = recorded.deliveries as readonly (RecordedDelivery | undefined)[];
  const { facts } = await loadParts();
  return withScratch(first?.at ?? 0, (scratch) =>
    backtest({
      ...recorded,
      ...scratch,
      loaded: rules,
      facts,
      assume,
      progress: (done, of) => edge.err(`${done} of ${of} deliveries decided ${what}`),
      ...(ask === null ? {} : { query: (promql: string) => queryAt(ask, promql, scratch.clock.now()) }),
    }),
  );
};
