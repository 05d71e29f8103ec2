// A journal: what happened, a line each, so that it can be decided again. Whatever cannot be read is said with its line,
// and the rest is still used.
import type { Problem } from '../base/failure.ts';
import { isObject } from '../base/json.ts';

/** A webhook post as it came in. `at` is milliseconds UTC, `line` where it stands. */
export type RecordedDelivery = {
  readonly type: 'delivery';
  readonly line: number;
  readonly at: number;
  readonly source: string;
  readonly body: Buffer;
};

/** How a run came out. `at` is when it was asked for. */
export type RecordedOutcome = {
  readonly type: 'outcome';
  readonly line: number;
  readonly at: number;
  readonly component: string;
  readonly target: string;
  readonly strategy: string;
  readonly recovered: boolean;
};

export type JournalEntry = RecordedDelivery | RecordedOutcome;

export type Journal = {
  /** By time; those of one moment as they stand in the file. */
  readonly deliveries: readonly RecordedDelivery[];
  readonly outcomes: readonly RecordedOutcome[];
  /** Lines that could not be read. */
  readonly problems: readonly Problem[];
  /** Lines of types that a backtest has no use for. */
  readonly unused: number;
};

const MOST_PROBLEMS = 20;
/** Written by amends for other readers, or for a later backtest. */
const OTHER_TYPES: ReadonlySet<unknown> = new Set(['control', 'retry', 'manual', 'approval', 'fact', 'config']);

/** Reads NDJSON as `amends journal export` writes it (DESIGN section 8). */
export const readJournal = async (lines: AsyncIterable<string>, file: string): Promise<Journal> => {
  const deliveries: RecordedDelivery[] = [];
  const outcomes: RecordedOutcome[] = [];
  const problems: Problem[] = [];
  let unused = 0;
  let bad = 0;
  let number = 0;
  for await (const text of lines) {
    number += 1;
    if (text.trim() === '') continue;
    const read = readLine(text, number);
    if (read === null) unused += 1;
    else if ('message' in read) {
      bad += 1;
      if (bad <= MOST_PROBLEMS) problems.push({ ...read, file, line: number });
    } else if (read.type === 'delivery') deliveries.push(read);
    else outcomes.push(read);
  }
  if (bad > MOST_PROBLEMS)
    problems.push({ code: 'more-bad-lines', message: `${bad - MOST_PROBLEMS} more lines could not be read`, file });
  deliveries.sort((left, right) => left.at - right.at || left.line - right.line);
  outcomes.sort((left, right) => left.at - right.at || left.line - right.line);
  return { deliveries, outcomes, problems, unused };
};

const bad = (message: string, mend: string): Problem => ({ code: 'bad-journal-line', message, mend });

const readLine = (text: string, line: number): JournalEntry | Problem | null => {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (error) {
    return bad(
      `no JSON: ${(error as Error).message}`,
      'a line was cut or is not from a journal; export it anew, or delete it',
    );
  }
  if (!isObject(parsed)) return bad('no JSON object', 'each line is one object with type and at');
  const at = typeof parsed['at'] === 'string' ? Date.parse(parsed['at']) : Number.NaN;
  if (!Number.isFinite(at)) return bad('at is no RFC 3339 time', 'for example 2026-11-01T12:00:00.000Z');
  if (OTHER_TYPES.has(parsed['type'])) return null;
  if (parsed['type'] === 'delivery') return readDelivery(parsed, at, line);
  if (parsed['type'] === 'outcome') return readOutcome(parsed, at, line);
  return bad(
    `type is ${JSON.stringify(parsed['type'])}`,
    'delivery, outcome, control, retry, manual, approval, fact or config',
  );
};

const readDelivery = (parsed: Record<string, unknown>, at: number, line: number): RecordedDelivery | Problem => {
  const { body, source } = parsed;
  if (!isObject(body)) return bad('body is no object', 'the body of the webhook post as it came in');
  return {
    type: 'delivery',
    line,
    at,
    source: typeof source === 'string' ? source : 'alertmanager',
    body: Buffer.from(JSON.stringify(body)),
  };
};

const readOutcome = (parsed: Record<string, unknown>, at: number, line: number): RecordedOutcome | Problem => {
  const { component, target, strategy, outcome } = parsed;
  if (
    typeof component !== 'string' ||
    typeof target !== 'string' ||
    typeof strategy !== 'string' ||
    typeof outcome !== 'string'
  )
    return bad('an outcome without component, target, strategy or outcome', 'export the journal anew');
  return { type: 'outcome', line, at, component, target, strategy, recovered: outcome === 'resolved' };
};
