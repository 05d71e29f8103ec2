// What amends has on record around a run, for whoever has to understand it: gathered before anything is changed, and kept
// on the run as evidence. Bounded, since it is kept for good.
import { rfc3339 } from '../base/clock.ts';
import type { Json, JsonObject } from '../base/json.ts';
import type { ActionContext } from '../port/action.ts';
import { tell } from '../run/story.ts';
import type { EngineContext } from './context.ts';

const RECENT_MS = 86_400_000;
const MOST_EVENTS = 30;
const MOST_ENTRIES = 20;
const MOST_RUNS = 5;
const MOST_LINES = 40;
const LONGEST_TEXT = 300;

const cut = (text: string): string => (text.length > LONGEST_TEXT ? `${text.slice(0, LONGEST_TEXT)}...` : text);

/** `recent_events`, `open_inbox`, `earlier_runs`, `last_log` and `degraded_modes`, newest first but for the log. */
export const recall = async (
  { store, clock }: Pick<EngineContext, 'store' | 'clock'>,
  run: ActionContext['run'],
): Promise<JsonObject> => {
  const { component, target } = run;
  const query = (limit: number, filters: Readonly<Record<string, string>>, since: number | null = null) => ({
    limit,
    cursor: null,
    filters,
    since,
  });
  const since = clock.now() - RECENT_MS;
  const [episodes, decisions, inbox, runs, degraded] = await Promise.all([
    store.list('episodes', query(MOST_EVENTS, { component }, since)),
    store.list('decisions', query(MOST_EVENTS, { component }, since)),
    store.list('inbox', query(MOST_ENTRIES, { status: 'open' })),
    store.list('runs', query(MOST_RUNS + 1, { component, target })),
    store.degraded(),
  ]);
  const earlier = runs.items.filter(({ id }) => id !== run.id).slice(0, MOST_RUNS);
  const events: ReadonlyArray<{ readonly at: number; readonly what: Json }> = [
    ...episodes.items.map((row) => ({
      at: row.openedAt,
      what: {
        at: rfc3339(row.openedAt),
        alert: cut(row.labels['alertname'] ?? ''),
        target: row.target,
        state: row.state,
      },
    })),
    ...decisions.items
      .filter(({ reason }) => reason !== 'duplicate')
      .map((row) => ({
        at: row.at,
        what: {
          at: rfc3339(row.at),
          decided: row.reason,
          rule: row.rule,
          strategy: row.strategy,
          target: row.target,
          run_id: row.runId,
        },
      })),
  ];
  return {
    recent_events: events
      .toSorted((left, right) => right.at - left.at)
      .slice(0, MOST_EVENTS)
      .map(({ what }) => what),
    open_inbox: inbox.items.map((row) => ({
      at: rfc3339(row.at),
      kind: row.kind,
      severity: row.severity,
      component: row.component,
      target: row.target,
      title: cut(row.title),
    })),
    earlier_runs: earlier.map((row) => ({
      run_id: row.id,
      at: rfc3339(row.createdAt),
      strategy: row.strategy,
      state: row.state,
      outcome: row.outcome,
      cause: row.cause,
    })),
    last_log: earlier[0] === undefined ? [] : await logOf(store, earlier[0].id),
    degraded_modes: [...new Set(degraded.map(({ mode }) => mode))],
  };
};

const logOf = async (store: EngineContext['store'], id: string): Promise<readonly string[]> => {
  const found = await store.run(id);
  return (found?.events ?? []).slice(-MOST_LINES).map((stored) => `${rfc3339(stored.at)} ${cut(tell(stored).message)}`);
};
