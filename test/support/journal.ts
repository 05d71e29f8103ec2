// A live engine's record as the journal that `amends journal export` makes of it, and that journal decided again.
import { openScratchStore } from '../../src/app.ts';
import { createLog } from '../../src/base/log.ts';
import { createRedactor } from '../../src/base/secret.ts';
import type { Loaded } from '../../src/engine/context.ts';
import { outside } from '../../src/http/outside.ts';
import type { Fact } from '../../src/port/fact.ts';
import { loadByName } from '../../src/port/loader.ts';
import type { Page, Rows } from '../../src/port/record.ts';
import type { Store } from '../../src/port/store.ts';
import { backtest } from '../../src/replay/backtest.ts';
import type { BacktestResult } from '../../src/replay/backtest.ts';
import { readJournal } from '../../src/replay/journal.ts';
import type { Journal, JournalText } from '../../src/replay/journal.ts';
import type { Assumption } from '../../src/replay/past.ts';
import { createRecording } from '../../src/replay/recording.ts';
import type { Line } from '../../src/replay/recording.ts';
import { createIncidents, createTally } from '../../src/replay/summary.ts';
import type { Incidents, Summary } from '../../src/replay/summary.ts';
import { createOrderedIds } from '../../src/replay/virtual.ts';
import { createVirtualClock } from '../../src/replay/virtual-clock.ts';
import type { Judged } from '../../src/replay/witness.ts';

export async function* texts(...lines: readonly string[]): AsyncGenerator<JournalText> {
  for (const text of lines) yield { text, again: () => text };
}

/** Oldest first. */
export const everything = async <K extends keyof Rows>(store: Store, kind: K): Promise<readonly Rows[K][]> => {
  const rows: Rows[K][] = [];
  let cursor: string | null = null;
  do {
    const page: Page<Rows[K]> = await store.list(kind, { limit: 500, cursor, filters: {}, since: null });
    rows.push(...page.items);
    cursor = page.next;
  } while (cursor !== null);
  return rows.toReversed();
};

const asAnswered = (row: unknown): Readonly<Record<string, unknown>> =>
  JSON.parse(JSON.stringify(outside(row))) as Readonly<Record<string, unknown>>;

/** The lines that a running amends with this store would export. */
export const linesOf = async (store: Store): Promise<readonly string[]> => {
  const recording = createRecording();
  const lines: Line[] = [];
  const seen = new Set<string>();
  for (const { deliveryId } of await everything(store, 'alerts')) {
    const delivery = seen.has(deliveryId) ? null : await store.delivery(deliveryId);
    seen.add(deliveryId);
    if (delivery === null) continue;
    const { at, source, body } = delivery;
    lines.push({
      type: 'delivery',
      at: new Date(at).toISOString(),
      source,
      body: JSON.parse(body.toString()) as unknown,
    });
  }
  for (const row of await everything(store, 'decisions')) lines.push(...recording.decision(asAnswered(row)));
  for (const row of await everything(store, 'inbox')) recording.inbox(asAnswered(row));
  for (const row of await everything(store, 'runs')) lines.push(...recording.run(asAnswered(row)));
  for (const row of await everything(store, 'audit')) lines.push(...recording.audit(asAnswered(row)));
  return lines
    .toSorted((left, right) => (left.at < right.at ? -1 : left.at > right.at ? 1 : 0))
    .map((line) => JSON.stringify(line));
};

export type Again = {
  readonly result: BacktestResult;
  readonly decisions: readonly Judged[];
  readonly incidents: Incidents;
  readonly summary: Summary;
};

export const decideAgain = async (
  journal: Pick<Journal, 'deliveries' | 'acts' | 'outcomes' | 'facts' | 'retries'>,
  loaded: Loaded,
  assume: Assumption = 'recorded',
): Promise<Again> => {
  const clock = createVirtualClock(journal.deliveries[0]?.at ?? 0);
  const ids = createOrderedIds();
  const log = createLog('silent', createRedactor());
  const facts = await loadByName<Fact>(new URL('../../src/facts/', import.meta.url), false);
  const store = openScratchStore(clock, ids, log);
  const decisions: Judged[] = [];
  const [incidents, tally] = [createIncidents(), createTally()];
  const decided = (judged: Judged): void => {
    decisions.push(judged);
    incidents.add(judged);
    tally.add(judged);
  };
  try {
    const result = await backtest({ journal, loaded, facts, assume, store, clock, ids, log, decided });
    return { result, decisions, incidents: incidents.found, summary: tally.summary(result) };
  } finally {
    await store.close();
  }
};

export const readLines = (lines: readonly string[]): Promise<Journal> => readJournal(texts(...lines), 'journal.ndjson');
