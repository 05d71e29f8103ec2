// What amends logged about a run, kept in memory for a while beside where it goes: people ask for it by the run.
import type { Clock } from '../base/clock.ts';
import type { Log, LogFields } from '../base/log.ts';
import type { Redactor } from '../base/secret.ts';

export type Level = 'debug' | 'info' | 'warn' | 'error';
export type LogLine = {
  readonly at: number;
  readonly level: Level;
  readonly message: string;
  readonly fields: LogFields;
};
export type RunLog = {
  /** The same log; lines that carry `run_id` are kept too. */
  around(log: Log): Log;
  /** Oldest first. Empty for a run of before the last start: its events are on record. */
  of(runId: string): readonly LogLine[];
};

const MOST_LINES = 5_000;
const LONGEST_FIELD = 2_048;
const MOST_FIELDS = 20;

export const createRunLog = (clock: Pick<Clock, 'now'>, redactor: Redactor): RunLog => {
  const kept: Array<LogLine & { readonly runId: string }> = [];
  const keep = (level: Level, fields: LogFields, message: string): void => {
    const runId = fields['run_id'];
    if (typeof runId !== 'string') return;
    if (kept.length >= MOST_LINES) kept.splice(0, MOST_LINES / 10);
    kept.push({
      runId,
      at: clock.now(),
      level,
      message: redactor.text(message).slice(0, LONGEST_FIELD),
      fields: Object.fromEntries(
        Object.entries(fields)
          .filter(([name]) => name !== 'run_id')
          .slice(0, MOST_FIELDS)
          .map(([name, value]) => [name, shown(value, redactor)]),
      ),
    });
  };
  const around = (log: Log, bound: LogFields): Log => {
    const line =
      (level: Level) =>
      (fields: LogFields, message: string): void => {
        log[level](fields, message);
        keep(level, { ...bound, ...fields }, message);
      };
    return {
      debug: line('debug'),
      info: line('info'),
      warn: line('warn'),
      error: line('error'),
      child: (fields) => around(log.child(fields), { ...bound, ...fields }),
    };
  };
  return {
    around: (log) => around(log, {}),
    of: (runId) =>
      kept
        .filter((line) => line.runId === runId)
        .map(({ at, level, message, fields }) => ({ at, level, message, fields })),
  };
};

/** Small, and without what must not be seen. */
const shown = (value: unknown, redactor: Redactor): unknown => {
  if (value instanceof Error) return redactor.text(value.message).slice(0, LONGEST_FIELD);
  if (typeof value === 'string') return redactor.text(value).slice(0, LONGEST_FIELD);
  if (typeof value !== 'object' || value === null) return value;
  const text = JSON.stringify(redactor.value(value)) ?? '';
  return text.length <= LONGEST_FIELD ? (JSON.parse(text) as unknown) : text.slice(0, LONGEST_FIELD);
};
