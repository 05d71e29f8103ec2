// A journal: what happened, a line each, so that it can be decided again. Whatever cannot be read is said with its line,
// and the rest is still used.
import type { Labels } from '../alert/alert.ts';
import type { Problem } from '../base/failure.ts';
import type { JsonObject } from '../base/json.ts';
import { isObject } from '../base/json.ts';
import { FILE_KINDS } from '../port/record.ts';
import type { KeptFile } from '../port/record.ts';

/** `at` is milliseconds UTC, `line` where it stands. */
type Place = { readonly at: number; readonly line: number };

/** A webhook post as it came in. */
export type RecordedDelivery = Place & {
  readonly source: string;
  /** Read anew at each call: a busy month does not lie in memory. */
  readonly body: () => Buffer;
};

/** How a run came out. `at` is when it was asked for; the other times are null in journals that do not have them. */
export type RecordedOutcome = Place & {
  readonly component: string;
  readonly target: string;
  readonly strategy: string;
  readonly outcome: string;
  readonly cause: string;
  readonly endedAt: number | null;
};

/** What somebody did: a control, an answer to a question, a run by hand. `what` is the line as it is. */
export type RecordedAct = Place & { readonly type: ActType; readonly what: JsonObject };
const ACTS = ['control', 'approval', 'manual'] as const;
type ActType = (typeof ACTS)[number];

/** What Alertmanager said about an alert, or Prometheus about a query. */
export type RecordedFact = Place &
  (
    | { readonly asked: 'alertmanager'; readonly source: string; readonly labels: Labels; readonly state: string }
    | { readonly asked: 'prometheus'; readonly query: string; readonly value: number | null; readonly problem: string }
  );

/** When amends' own clock looked at an alert again. */
export type RecordedRetry = Place & { readonly source: string; readonly labels: Labels };

/** Under which rules, runbooks and configuration live decided from then on. `files` is null where only the digests are known. */
export type RecordedConfig = Place & {
  readonly catalog: string;
  readonly config: string;
  readonly revision: string | null;
  readonly mode: string;
  readonly files: readonly KeptFile[] | null;
};

export type Journal = {
  /** By time, like all the others; those of one moment as they stand in the file. */
  readonly deliveries: readonly RecordedDelivery[];
  readonly acts: readonly RecordedAct[];
  readonly outcomes: readonly RecordedOutcome[];
  readonly facts: readonly RecordedFact[];
  readonly retries: readonly RecordedRetry[];
  readonly configs: readonly RecordedConfig[];
  /** Of their files, by digest. */
  readonly texts: ReadonlyMap<string, string>;
  /** Lines that could not be read. */
  readonly problems: readonly Problem[];
};

/** A line, and how to get at it again when its turn has come. */
export type JournalText = { readonly text: string; readonly again: () => string };

const TYPES = ['delivery', 'outcome', 'retry', 'fact', 'config', ...ACTS] as const;
const MOST_PROBLEMS = 20;

/** Reads NDJSON as `amends journal export` writes it (docs/backtest.md). */
export const readJournal = async (lines: AsyncIterable<JournalText>, file: string): Promise<Journal> => {
  const found = {
    delivery: [] as RecordedDelivery[],
    act: [] as RecordedAct[],
    outcome: [] as RecordedOutcome[],
    fact: [] as RecordedFact[],
    retry: [] as RecordedRetry[],
    config: [] as RecordedConfig[],
  };
  const texts = new Map<string, string>();
  const problems: Problem[] = [];
  let bad = 0;
  let line = 0;
  for await (const text of lines) {
    line += 1;
    if (text.text.trim() === '') continue;
    const read = readLine(text, line, texts);
    if (read.type === 'problem') {
      bad += 1;
      if (bad <= MOST_PROBLEMS) problems.push({ ...read.problem, file, line });
    } else (found[read.type] as Array<typeof read.entry>).push(read.entry);
  }
  if (bad > MOST_PROBLEMS)
    problems.push({ code: 'more-bad-lines', message: `${bad - MOST_PROBLEMS} more lines could not be read`, file });
  for (const entries of Object.values(found)) (entries as Place[]).sort(byTime);
  return {
    deliveries: found.delivery,
    acts: found.act,
    outcomes: found.outcome,
    facts: found.fact,
    retries: found.retry,
    configs: found.config,
    texts,
    problems,
  };
};

const byTime = (left: Place, right: Place): number => left.at - right.at || left.line - right.line;

type Read =
  | { readonly type: 'delivery'; readonly entry: RecordedDelivery }
  | { readonly type: 'act'; readonly entry: RecordedAct }
  | { readonly type: 'outcome'; readonly entry: RecordedOutcome }
  | { readonly type: 'fact'; readonly entry: RecordedFact }
  | { readonly type: 'retry'; readonly entry: RecordedRetry }
  | { readonly type: 'config'; readonly entry: RecordedConfig }
  | { readonly type: 'problem'; readonly problem: Problem };

const bad = (message: string, mend: string): Read => ({
  type: 'problem',
  problem: { code: 'bad-journal-line', message, mend },
});
const EXPORT = 'export the journal anew';

const readLine = (given: JournalText, line: number, texts: Map<string, string>): Read => {
  let parsed: unknown;
  try {
    parsed = JSON.parse(given.text);
  } catch (error) {
    return bad(
      `no JSON: ${(error as Error).message.slice(0, 200)}`,
      'a line was cut or is not from a journal; export it anew, or delete it',
    );
  }
  if (!isObject(parsed)) return bad('no JSON object', 'each line is one object with type and at');
  const at = timeOf(parsed['at']);
  if (at === null) return bad('at is no RFC 3339 time', 'for example 2026-11-01T12:00:00.000Z');
  const type = TYPES.find((one) => one === parsed['type']);
  switch (type) {
    case 'delivery':
      return readDelivery(parsed, { at, line }, given.again);
    case 'outcome':
      return readOutcome(parsed, { at, line });
    case 'fact':
      return readFact(parsed, { at, line });
    case 'retry':
      return isLabels(parsed['labels'])
        ? { type, entry: { at, line, source: textOr(parsed['source'], 'alertmanager'), labels: parsed['labels'] } }
        : bad('a retry without labels', EXPORT);
    case 'config':
      return readConfig(parsed, { at, line }, texts);
    case 'control':
    case 'approval':
    case 'manual':
      return { type: 'act', entry: { at, line, type, what: parsed as JsonObject } };
    case undefined:
      return bad(
        `type is ${JSON.stringify(parsed['type'])}`,
        'delivery, outcome, control, retry, manual, approval, fact or config',
      );
    default:
      return type satisfies never;
  }
};

const timeOf = (value: unknown): number | null => {
  const at = typeof value === 'string' ? Date.parse(value) : Number.NaN;
  return Number.isFinite(at) ? at : null;
};
const textOr = (value: unknown, other: string): string => (typeof value === 'string' ? value : other);
const isLabels = (value: unknown): value is Labels =>
  isObject(value) && Object.values(value).every((one) => typeof one === 'string');

const readDelivery = (parsed: Record<string, unknown>, place: Place, again: () => string): Read => {
  const { body, source } = parsed;
  if (!isObject(body)) return bad('body is no object', 'the body of the webhook post as it came in');
  return {
    type: 'delivery',
    entry: {
      ...place,
      source: textOr(source, 'alertmanager'),
      body: () => Buffer.from(JSON.stringify((JSON.parse(again()) as { readonly body: unknown }).body)),
    },
  };
};

/** A text stands once in a journal, at the first configuration that has it. */
const readConfig = (parsed: Record<string, unknown>, place: Place, texts: Map<string, string>): Read => {
  const { catalog, config, revision, mode, files } = parsed;
  if (typeof catalog !== 'string' || typeof config !== 'string')
    return bad('a configuration without the digests catalog and config', EXPORT);
  const about = {
    ...place,
    catalog,
    config,
    revision: typeof revision === 'string' ? revision : null,
    mode: textOr(mode, ''),
  };
  if (files === undefined) return { type: 'config', entry: { ...about, files: null } };
  const read: KeptFile[] = [];
  for (const one of Array.isArray(files) ? files : [files]) {
    const { file, digest, text } = isObject(one) ? one : {};
    const kind = isObject(one) ? FILE_KINDS.find((known) => known === one['kind']) : undefined;
    if (kind === undefined || typeof file !== 'string' || typeof digest !== 'string')
      return bad('a file of a configuration without kind, file or digest', EXPORT);
    if (typeof text === 'string') texts.set(digest, text);
    read.push({ kind, file, digest });
  }
  return { type: 'config', entry: { ...about, files: read } };
};

const readOutcome = (parsed: Record<string, unknown>, place: Place): Read => {
  const { component, target, strategy, outcome, cause, ended_at: endedAt } = parsed;
  if (
    typeof component !== 'string' ||
    typeof target !== 'string' ||
    typeof strategy !== 'string' ||
    typeof outcome !== 'string'
  )
    return bad('an outcome without component, target, strategy or outcome', EXPORT);
  return {
    type: 'outcome',
    entry: { ...place, component, target, strategy, outcome, cause: textOr(cause, ''), endedAt: timeOf(endedAt) },
  };
};

const readFact = (parsed: Record<string, unknown>, place: Place): Read => {
  const { asked, source, labels, state, query, value, problem } = parsed;
  if (asked === 'alertmanager' && isLabels(labels) && typeof state === 'string')
    return { type: 'fact', entry: { ...place, asked, source: textOr(source, 'alertmanager'), labels, state } };
  if (asked === 'prometheus' && typeof query === 'string') {
    const number = typeof value === 'number' ? value : null;
    return { type: 'fact', entry: { ...place, asked, query, value: number, problem: textOr(problem, '') } };
  }
  return bad('a fact that neither Alertmanager nor Prometheus gave', EXPORT);
};
