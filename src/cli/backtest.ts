// `amends backtest`: what rules would have done on alerts that were, and what a change of them would do otherwise.
import { stat } from 'node:fs/promises';
import { parseDuration } from '../base/duration.ts';
import { formatProblem } from '../base/failure.ts';
import type { Settings } from '../config.ts';
import type { AskPrometheus } from '../replay/alert-series.ts';
import type { BacktestResult } from '../replay/backtest.ts';
import type { JournalText, RecordedConfig } from '../replay/journal.ts';
import type { Assumption } from '../replay/past.ts';
import type { Under } from '../replay/backtest-text.ts';
import type { Change, Difference, Summary } from '../replay/summary.ts';
import type { Judged } from '../replay/witness.ts';
import type { Command, Invocation } from './terminal/command.ts';
import { Misuse, textOption } from './terminal/command.ts';
import type { Edge } from './terminal/edge.ts';
import { FINE, FOUND } from './terminal/edge.ts';
import type { Recorded } from './terminal/offline.ts';
import { EMPTY_JOURNAL, readJournalAt, withScratch } from './terminal/offline.ts';
import { addPrometheusFlags, askOf, configuredPrometheus, patienceOf, prometheusOf } from './terminal/prometheus.ts';
import { RECORDED, hasTexts, rulingOfFiles, rulingOfJournal, rulingOfRevision } from './terminal/ruling.ts';
import type { Ruling } from './terminal/ruling.ts';
import { addFileFlags, settingsOf } from './terminal/serve-options.ts';
import { printable, table } from './terminal/text.ts';

export const command: Command = {
  summary:
    'What the rules would have done on alerts that were: from a journal, or from what Prometheus remembers; with --against, what changes.',
  examples: [
    'amends backtest --from=journal.ndjson',
    'amends backtest --url=http://amends.internal:9193 --since=7d --against=main',
    'amends backtest --from=journal.ndjson --against=main --markdown > comment.md',
    'amends backtest --from=journal.ndjson --config=recorded',
    'amends backtest --from=journal.ndjson --against=recorded --markdown',
    'amends backtest --prometheus.url=http://127.0.0.1:9090 --since=30d --recovery.mode=auto',
    'amends backtest --from=journal.ndjson --against=main --fail-on=newly_acts,acts_differently',
  ],
  outputs: ['markdown'],
  define: (backtest, act) =>
    void addPrometheusFlags(
      addFileFlags(backtest).option('--from <file>', 'a journal, NDJSON (default: that of the amends at --url)'),
      'in place of a journal: alerts as its ALERTS series remembers them',
    )
      .option('--since <duration>', 'how far back, unless --from says what (default: 30d)')
      .option(
        '--config <which>',
        'decide under the files here, or under what live had when it did: files or recorded (default: files, where there are any)',
      )
      .option(
        '--against <what>',
        'a git revision, a folder with another configuration, or recorded (what live had): only what differs',
      )
      .option('--assume <outcome>', 'how runs end that never were: success, failure or recorded (default: recorded)')
      .option('--fail-on <changes>', 'with --against: exit 1 on any, or on some of newly_acts, no_longer_acts, ...')
      .option('--show <what>', 'each decision too: decisions, or all with repeats and ends')
      .option('--markdown', 'as Markdown, for a pull request; the same as --output=markdown')
      .action(act(run)),
};

/** A day of a busy month is large. */
const PATIENCE_MS = 60_000;

const NO_POST = { code: 'no-post', mend: 'no amends takes such a post: export the journal anew, or delete the line' };

const run = async (invocation: Invocation): Promise<number> => {
  const { edge, options } = invocation;
  const { ASSUMPTIONS } = await import('../replay/past.ts');
  const { CHANGES, compare, createIncidents, createTally } = await import('../replay/summary.ts');
  const assume = ASSUMPTIONS.find((one) => one === (textOption(options, 'assume') ?? 'recorded'));
  if (assume === undefined) throw new Misuse(`--assume: one of ${ASSUMPTIONS.join(', ')}`);
  const failOn = changesOf(textOption(options, 'failOn'), CHANGES);
  const shows = showsOf(textOption(options, 'show'));
  const against = textOption(options, 'against') ?? null;
  const settings = settingsOf(options);

  const named = prometheusOf(options, await configuredPrometheus(settings), (line) => edge.err(line));
  const ask = named === null ? null : askOf(named, patienceOf(options, PATIENCE_MS));
  const asked = await whichOf(textOption(options, 'config'), settings);
  // What is wrong with files is said before a month is read.
  const files = asked === 'files' ? await rulingOfFiles(settings) : null;
  const other = against === null || against === RECORDED ? null : await rulingOfRevision(settings, against);
  const recorded = await readRecorded(invocation, ask);
  try {
    for (const problem of recorded.problems) edge.err(printable(formatProblem(problem)));
    const fromJournal = asked === RECORDED || (asked === null && hasTexts(recorded));
    const live = fromJournal || against === RECORDED ? await rulingOfJournal(recorded, settings) : null;
    const mine = files ?? (fromJournal ? live : null) ?? (await rulingOfFiles(settings));
    const base = against === RECORDED ? live : other;
    const unloaded = live?.problems ?? [];
    for (const problem of unloaded) edge.err(printable(formatProblem(problem)));
    const judge = (ruling: Ruling, what: string, decided: (judged: Judged) => void): Promise<BacktestResult> =>
      decideAgain({ ruling, recorded, assume, ask, edge, what, decided });
    const [was, is, tally] = [createIncidents(), createIncidents(), createTally()];
    const shown: Judged[] = [];
    if (base !== null) await judge(base, `under ${against ?? ''}`, (judged) => was.add(judged));
    const result = await judge(mine, mine.recorded === null ? 'under these rules' : 'as live had them', (judged) => {
      tally.add(judged);
      if (base !== null) is.add(judged);
      if (shows(judged)) shown.push(judged);
    });
    const summary = tally.summary(result);
    const differences = base === null ? [] : compare(was.found, is.found);
    await print(invocation, { summary, assume, against, differences, shown, under: underOf(mine, recorded) });
    for (const { line, why } of result.refused)
      edge.err(printable(formatProblem({ ...NO_POST, message: why, file: recorded.name, line })));
    const whole = recorded.problems.length === 0 && unloaded.length === 0 && result.refused.length === 0;
    if (!whole) edge.err('Not all of it could be read: the figures are of the rest.');
    return whole && !differences.some(({ change }) => failOn.has(change)) ? FINE : FOUND;
  } finally {
    recorded.close();
  }
};

type Told = {
  readonly summary: Summary;
  readonly assume: Assumption;
  readonly against: string | null;
  readonly differences: readonly Difference[];
  readonly shown: readonly Judged[];
  readonly under: Under;
};

/** Without a word for it, files are used where there are any. */
const whichOf = async (given: string | undefined, settings: Settings): Promise<'files' | typeof RECORDED | null> => {
  if (given === 'files' || given === RECORDED) return given;
  if (given !== undefined) throw new Misuse(`--config: files or ${RECORDED}; a file is named by --config.file`);
  return settings.configFileGiven || (await stat(settings.configFile).catch(() => null)) !== null ? 'files' : null;
};

const underOf = ({ loaded, recorded }: Ruling, { configs }: Recorded): Under =>
  recorded !== null
    ? { which: RECORDED, configurations: recorded }
    : { which: 'files', otherThanLive: configs.length === 0 ? null : !configs.every(isOf(loaded)) };

const print = async ({ edge, options, output }: Invocation, told: Told): Promise<void> => {
  const text = await import('../replay/backtest-text.ts');
  const { summary, assume, against, differences, shown, under } = told;
  const compared = against === null ? null : { against, differences };
  if (output === 'json') {
    const decisions = options['show'] === undefined ? {} : { decisions: shown };
    const otherRules = under.which === 'files' ? under.otherThanLive : false;
    return edge.out(JSON.stringify({ assume, summary, under, otherRules, against, differences, ...decisions }));
  }
  if (options['markdown'] === true || output === 'markdown')
    return edge.out(text.backtestMarkdown(summary, assume, compared, under));
  edge.out(text.headOf(summary, assume, under).join('\n'));
  if (compared !== null) {
    edge.out(`\n${text.differencesSentence(differences, compared.against)}`);
    if (differences.length > 0) edge.out(table(text.DIFFERENCE_COLUMNS, differences.map(text.differenceCells)));
  }
  if (shown.length > 0) edge.out(`\n${table(text.DECISION_COLUMNS, shown.map(text.decisionCells))}`);
  edge.out(`\n${table(text.RULE_COLUMNS, summary.rules.map(text.ruleCells), 'No rule answered any of them.')}\n`);
  edge.out(text.footOf(summary).join('\n'));
};

const isOf =
  ({ config, catalog }: Ruling['loaded']) =>
  (recorded: RecordedConfig): boolean =>
    recorded.catalog === catalog.digest && recorded.config === config.digest;

/** What says nothing of its own: the alert is known, or over. */
const PLAIN: ReadonlySet<string> = new Set(['duplicate', 'resolved']);

const showsOf = (text: string | undefined): ((judged: Judged) => boolean) => {
  if (text === undefined) return () => false;
  if (text === 'all') return () => true;
  if (text === 'decisions') return ({ reason }) => !PLAIN.has(reason);
  throw new Misuse('--show: decisions or all');
};

const changesOf = (text: string | undefined, known: readonly Change[]): ReadonlySet<Change> => {
  if (text === undefined || text === 'none') return new Set();
  if (text === 'any') return new Set(known);
  const names = text.split(',').map((name) => name.trim());
  const found = known.filter((change) => names.includes(change));
  if (found.length !== names.length) throw new Misuse(`--fail-on: none, any, or some of ${known.join(', ')}`);
  return new Set(found);
};

const readRecorded = async (invocation: Invocation, ask: AskPrometheus | null): Promise<Recorded> => {
  const { options } = invocation;
  const file = textOption(options, 'from');
  if (file !== undefined && ask !== null) throw new Misuse('give either --from=FILE or --prometheus.url=URL');
  if (file !== undefined) return readJournalAt(file);
  const since = textOption(options, 'since') ?? '30d';
  const ago = parseDuration(since);
  if (ago === undefined) throw new Misuse('--since: a duration, for example 30d');
  return ask === null ? readRunning(invocation, since) : readSeries(invocation, ask, ago);
};

const readRunning = async ({ client, edge }: Invocation, since: string): Promise<Recorded> => {
  const [{ readJournal }, { readRecord }] = await Promise.all([
    import('../replay/journal.ts'),
    import('./terminal/record.ts'),
  ]);
  const { lines } = await readRecord(client, since, (line) => edge.err(line));
  async function* texts(): AsyncGenerator<JournalText> {
    for (const text of lines) yield { text, again: () => text };
  }
  return { ...(await readJournal(texts(), client.url)), name: client.url, close: () => undefined };
};

const readSeries = async ({ edge }: Invocation, ask: AskPrometheus, ago: number): Promise<Recorded> => {
  const { readAlertSeries } = await import('../replay/alert-series.ts');
  const to = edge.clock.now();
  const progress = (done: number, of: number): void => edge.err(`${done} of ${of} days read`);
  const { deliveries, problems } = await readAlertSeries(ask, to - ago, to, progress);
  return { ...EMPTY_JOURNAL, deliveries, problems, name: 'Prometheus', close: () => undefined };
};

const decideAgain = async (given: {
  readonly ruling: Ruling;
  readonly recorded: Recorded;
  readonly assume: Assumption;
  readonly ask: AskPrometheus | null;
  readonly edge: Edge;
  readonly what: string;
  readonly decided: (judged: Judged) => void;
}): Promise<BacktestResult> => {
  const { ruling, recorded, assume, ask, edge, what, decided } = given;
  const [{ backtest }, { queryAt }, { loadParts }] = await Promise.all([
    import('../replay/backtest.ts'),
    import('../replay/alert-series.ts'),
    import('../app.ts'),
  ]);
  const { facts } = await loadParts();
  const start = Math.min(recorded.deliveries[0]?.at ?? 0, recorded.acts[0]?.at ?? Infinity);
  return withScratch(start, (scratch) =>
    backtest({
      ...scratch,
      journal: recorded,
      loaded: ruling.loaded,
      later: ruling.later,
      facts,
      assume,
      decided,
      progress: (done, of) => edge.err(`${done} of ${of} deliveries decided ${what}`),
      ...(ask === null ? {} : { query: (promql: string) => queryAt(ask, promql, scratch.clock.now()) }),
    }),
  );
};
