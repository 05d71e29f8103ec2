// `amends explain`: why something was done, or was not, from what was stored with the decision; or, of an alert that has not
// come, what the files here would say to it.
import { readFile } from 'node:fs/promises';
import { text as textOf } from 'node:stream/consumers';
import { refused } from '../base/failure.ts';
import { isObject } from '../base/json.ts';
import type { Config } from '../config.ts';
import type { Sources } from '../port/sources.ts';
import type { AskPrometheus } from '../replay/alert-series.ts';
import type { Journal } from '../replay/journal.ts';
import type { Answer, Client } from './terminal/client.ts';
import { CallFailed } from './terminal/client.ts';
import type { Command, Invocation } from './terminal/command.ts';
import { Misuse, textOption } from './terminal/command.ts';
import { FINE, FOUND } from './terminal/edge.ts';
import { explanationPage, missPage } from './terminal/explanation.ts';
import type { Recorded } from './terminal/offline.ts';
import { EMPTY_JOURNAL, loadFiles, readJournalAt, withScratch } from './terminal/offline.ts';
import { addPrometheusFlags, askOf, configuredPrometheus, patienceOf, prometheusOf } from './terminal/prometheus.ts';
import { addFileFlags, settingsOf } from './terminal/serve-options.ts';
import { printable } from './terminal/text.ts';

export const command: Command = {
  summary:
    'Why it was decided so, and what would have had to be different: of a decision, a run or an alert; or of an alert that has not come.',
  examples: [
    'amends explain 0192c6a1-...',
    'amends explain 0192c6a1-... --output=json',
    'amends explain --label alertname=RedisDown --label job=redis-cache --label instance=10.0.0.7:9121',
    'amends explain --label alertname=RedisDown --rule redis-connection-lost',
    'amends explain --body=alert.json --recovery.mode=auto',
    'amends explain --from=journal.ndjson --line=17',
  ],
  define: (explain, act) =>
    void addPrometheusFlags(
      addFileFlags(explain.argument('[id]', 'of a decision, a run or an alert, asked of a running amends')),
      'answers conditions in PromQL; without it rules that ask are undecidable',
    )
      .option('--body <file>', 'what Alertmanager would post, or an alert of amtool; - reads it from standard input')
      .option('--label <name=value>', 'a label of the alert; as often as it has labels', gathered)
      .option('--annotation <name=value>', 'an annotation of it', gathered)
      .option('--at <time>', 'when it comes, RFC 3339 (default: now)')
      .option('--from <file>', 'a journal: what had happened before')
      .option('--line <number>', 'with --from: the line of the delivery that is explained')
      .option('--rule <name>', 'say of this rule what it would take to match')
      .action(act(run)),
};

const PATIENCE_MS = 15_000;

const gathered = (value: string, before: string | undefined): string =>
  before === undefined ? value : `${before}\n${value}`;

const run = async (invocation: Invocation): Promise<number> => {
  const { args, client, edge, options, output } = invocation;
  const [id] = args;
  const given = ['body', 'label', 'from'].filter((name) => options[name] !== undefined);
  if ((id === undefined ? 0 : 1) + given.length !== 1)
    throw new Misuse('give one of: an id, --body=FILE, --label name=value ..., --from=JOURNAL --line=N');
  if (id === undefined) return explainBefore(invocation);
  const explanation = await explanationOf(client, id);
  edge.out(output === 'json' ? JSON.stringify(explanation) : explanationPage(explanation));
  return FINE;
};

/** Ids are of one shape, so each list is asked in turn. */
const explanationOf = async (client: Client, id: string): Promise<Answer> => {
  const path = (decision: unknown): string => `/api/v1/decisions/${encodeURIComponent(String(decision))}/explain`;
  const decision = await unlessMissing(client.get(path(id)));
  if (decision !== null) return decision;
  const ran = await unlessMissing(client.get(`/api/v1/runs/${encodeURIComponent(id)}`));
  if (ran !== null) return client.get(path(ran['decisionId']));
  const [newest] = await client.list('/api/v1/decisions', { alertId: id, origin: 'delivery' }, 1);
  if (newest !== undefined) return client.get(path(await decidingOne(client, newest)));
  const message = `Neither a decision nor a run nor a decided alert has the id ${printable(id)}.\nIds are shown by: amends history, amends runs list, amends inbox list`;
  throw new CallFailed(message, 404, { title: 'Not found', status: 404, detail: id });
};

/** How far back a repeat is followed to the decision that it repeats. */
const MOST_REPEATS = 500;

/** A repeat was decided before: what explains it is the newest decision of its episode that was no repeat. */
const decidingOne = async (client: Client, newest: Answer): Promise<unknown> => {
  const episodeId = newest['episodeId'];
  if (newest['reason'] !== 'duplicate' || typeof episodeId !== 'string') return newest['id'];
  const decisions = await client.list('/api/v1/decisions', { episodeId }, MOST_REPEATS);
  return (decisions.find(({ reason }) => reason !== 'duplicate') ?? newest)['id'];
};

const unlessMissing = async (call: Promise<Answer>): Promise<Answer | null> => {
  try {
    return await call;
  } catch (error) {
    if (error instanceof CallFailed && error.status === 404) return null;
    throw error;
  }
};

const explainBefore = async (invocation: Invocation): Promise<number> => {
  const { edge, options } = invocation;
  const named = prometheusOf(options, await configuredPrometheus(settingsOf(options)), (line) => edge.err(line));
  const ask = named === null ? null : askOf(named, patienceOf(options, PATIENCE_MS));
  const recorded = await recordedOf(invocation);
  try {
    return await explainLast(invocation, recorded, ask);
  } finally {
    recorded.close();
  }
};

/** The last delivery of `recorded`, by what is before it. */
const explainLast = async (
  { edge, options, output }: Invocation,
  recorded: Recorded,
  ask: AskPrometheus | null,
): Promise<number> => {
  const only = textOption(options, 'rule');
  const asked = recorded.deliveries.at(-1);
  if (asked === undefined) throw new Misuse('--from: there is no delivery on that line');
  const loaded = await loadFiles(settingsOf(options));
  const names = loaded.catalog.rules.rules.map(({ name }) => name);
  if (only !== undefined && !names.includes(only)) throw new Misuse(`--rule: there is no rule ${only} in use`);
  const [{ alertsIn, foresee, nearMisses }, { loadParts }, { outside }] = await Promise.all([
    import('../replay/foresee.ts'),
    import('../app.ts'),
    import('../http/outside.ts'),
  ]);
  const { facts } = await loadParts();
  const fromJournal = textOption(options, 'from') !== undefined;
  const answer = await answererOf(ask, fromJournal ? { journal: recorded, config: loaded.config } : null);
  const foreseen = await withScratch(recorded.deliveries[0]?.at ?? asked.at, (scratch) =>
    foresee({
      ...scratch,
      journal: recorded,
      loaded,
      facts,
      assume: 'recorded',
      query: (promql) => answer(promql, scratch.clock.now()),
    }),
  );
  if (foreseen.refused !== null) {
    edge.err(`The body cannot be read: ${printable(foreseen.refused)}`);
    return FOUND;
  }
  const alerts = alertsIn(asked.body(), asked.at);
  const explained: Answer[] = [];
  for (const [index, explanation] of foreseen.explanations.entries()) {
    const alert = alerts[index];
    const near = only !== undefined || explanation.decision.reason === 'no_match';
    const asking = { loaded, facts, now: asked.at, query: (promql: string) => answer(promql, asked.at) };
    const misses = alert === undefined || !near ? [] : await nearMisses(alert, asking, only);
    // Its ids are of a record that is gone with this command.
    const decision = { ...explanation.decision, id: null, runId: null };
    explained.push({
      ...(outside({ ...explanation, decision }) as Answer),
      labels: alert?.labels ?? {},
      wouldMatch: misses,
    });
  }
  const history = fromJournal ? `the journal up to line ${asked.line}` : EMPTY_HISTORY;
  if (output === 'json') edge.out(JSON.stringify({ history, explanations: explained }));
  else edge.out(explained.map((one) => pageBefore(one, history, only)).join('\n\n'));
  return FINE;
};

type Answerer = (promql: string, at: number) => ReturnType<Sources['query']>;

/** Prometheus when it may be asked, else what the journal has of its answers, else nobody. */
const answererOf = async (
  ask: AskPrometheus | null,
  past: { readonly journal: Journal; readonly config: Config } | null,
): Promise<Answerer> => {
  if (ask !== null) {
    const { queryAt } = await import('../replay/alert-series.ts');
    return (promql, at) => queryAt(ask, promql, at);
  }
  const message = 'without --prometheus.url=URL nobody answers PromQL';
  if (past === null) return async () => refused([{ code: 'no-prometheus', message }]);
  const { createPast } = await import('../replay/past.ts');
  const said = createPast(past.journal, { assume: 'recorded', config: past.config });
  return async (promql, at) => said.query(promql, at);
};

const EMPTY_HISTORY = 'an empty history';

const pageBefore = (explanation: Answer, history: string, only: string | undefined): string => {
  const labels = isObject(explanation['labels']) ? explanation['labels'] : {};
  const misses = Array.isArray(explanation['wouldMatch']) ? explanation['wouldMatch'].filter(isObject) : [];
  const said = history === EMPTY_HISTORY ? 'that it fires' : 'what the journal has, else that it fires';
  return [
    `{${Object.entries(labels)
      .map(([name, value]) => `${name}=${JSON.stringify(value)}`)
      .map(printable)
      .join(', ')}}`,
    `Guards as of ${history}; Alertmanager is taken to say ${said}. Nothing was done.`,
    '',
    explanationPage(explanation),
    ...(misses.length > 0 ? ['', 'What would make it match:', missPage(misses)] : []),
    ...(only !== undefined && misses.length === 0 ? ['', `${only} matches.`] : []),
  ].join('\n');
};

const recordedOf = async (invocation: Invocation): Promise<Recorded> => {
  const { edge, options } = invocation;
  const from = textOption(options, 'from');
  if (from !== undefined) return upToLine(from, textOption(options, 'line'));
  const at = timeOf(textOption(options, 'at'), edge.clock.now());
  const file = textOption(options, 'body');
  const alerts = (file === undefined ? undefined : await bodyOf(file)) ?? [
    {
      labels: pairs(textOption(options, 'label'), '--label'),
      annotations: pairs(textOption(options, 'annotation'), '--annotation'),
    },
  ];
  const posted = isObject(alerts) && Array.isArray(alerts['alerts']) ? alerts : deliveryOf(alerts, at);
  const body = Buffer.from(JSON.stringify(posted));
  return {
    ...EMPTY_JOURNAL,
    deliveries: [{ line: 1, at, source: 'alertmanager', body: () => body }],
    name: file ?? '--label',
    close: () => undefined,
  };
};

const timeOf = (text: string | undefined, now: number): number => {
  const at = text === undefined ? now : Date.parse(text);
  if (Number.isNaN(at)) throw new Misuse(`--at: ${text ?? ''} is no RFC 3339 time; for example 2026-11-01T12:00:00Z`);
  return at;
};

const bodyOf = async (file: string): Promise<unknown> => {
  let text: string;
  try {
    text = file === '-' ? await textOf(process.stdin) : await readFile(file, 'utf8');
  } catch (error) {
    throw new Misuse(`--body: ${file} cannot be read (${(error as NodeJS.ErrnoException).code ?? ''})`);
  }
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Misuse(`--body: ${file} is not JSON: ${(error as Error).message}`);
  }
};

/** As Alertmanager posts it, of what `amtool alert query -o json` or a person writes: a list of alerts, or one. */
const deliveryOf = (given: unknown, at: number): Answer => {
  const alerts: readonly unknown[] = Array.isArray(given) ? given : [given];
  return {
    version: '4',
    status: 'firing',
    receiver: 'amends',
    groupKey: '{}',
    truncatedAlerts: 0,
    alerts: alerts.map((alert) => ({
      annotations: {},
      startsAt: new Date(at).toISOString(),
      ...(isObject(alert) ? alert : {}),
      status: 'firing',
      endsAt: '0001-01-01T00:00:00Z',
    })),
  };
};

const pairs = (given: string | undefined, flag: string): Readonly<Record<string, string>> =>
  Object.fromEntries(
    (given ?? '')
      .split('\n')
      .filter((pair) => pair !== '')
      .map((pair) => {
        const cut = pair.indexOf('=');
        if (cut <= 0) throw new Misuse(`${flag}: ${pair} is not name=value; for example ${flag} alertname=RedisDown`);
        return [pair.slice(0, cut), pair.slice(cut + 1)];
      }),
  );

/** The delivery on that line, with all that came before it. */
const upToLine = async (path: string, line: string | undefined): Promise<Recorded> => {
  const number = Number(line);
  if (line === undefined || !Number.isInteger(number) || number < 1)
    throw new Misuse('--from needs --line=N: the line of the delivery that is explained');
  const journal = await readJournalAt(path);
  const at = journal.deliveries.findIndex((delivery) => delivery.line === number);
  if (at < 0) {
    journal.close();
    throw new Misuse(`--line: there is no delivery on line ${number} of ${path}`);
  }
  return { ...journal, deliveries: journal.deliveries.slice(0, at + 1) };
};
