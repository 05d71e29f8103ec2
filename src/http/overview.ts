// What somebody who was just woken has to know, in one answer: what stands still, what waits, what runs, what was decided.
import type { Clock } from '../base/clock.ts';
import type { DecisionRow } from '../port/record.ts';
import type { Store } from '../port/store.ts';
import { explain } from '../replay/explain.ts';
import type { FiguresContext } from './figures.ts';
import { readDegradedModes } from './degraded.ts';
import { readHalt } from './halt.ts';
import { progressOf } from './run-progress.ts';
import type { RunProgress } from './run-progress.ts';

const MOST_OPEN = 100;
const MOST_RUNS = 50;
const NEWEST_DECISIONS = 200;
const MOST_GROUPS = 20;
const MOST_TARGETS = 5;

/** Repeats and the ends of incidents are many and ask nothing of anybody. */
const QUIET: ReadonlySet<string> = new Set(['duplicate', 'resolved']);

/** Decisions that came out alike, told once. */
export type DecisionGroup = {
  /** Of the newest. */
  readonly id: string;
  readonly at: number;
  readonly count: number;
  /** When the oldest of them was. */
  readonly since: number;
  readonly reason: string;
  readonly why: string;
  readonly alertname: string | null;
  readonly component: string | null;
  readonly targets: readonly string[];
  readonly rule: string | null;
  readonly strategy: string | null;
  readonly runId: string | null;
};

export type Overview = {
  readonly now: number;
  readonly halt: unknown;
  readonly storms: readonly string[];
  readonly approvalOnlyUntil: number | null;
  readonly clockSuspectUntil: number | null;
  readonly inbox: readonly unknown[];
  readonly inboxOpen: number;
  readonly degradedModes: readonly unknown[];
  readonly rules: {
    readonly count: number;
    readonly disabled: readonly unknown[];
    readonly demoted: readonly unknown[];
  };
  readonly runs: readonly RunProgress[];
  readonly runsUnderWay: number;
  readonly ended: readonly unknown[];
  readonly decisions: readonly DecisionGroup[];
  /** When the newest alert came in; null: none ever did. */
  readonly lastAlert: { readonly at: number } | null;
};

export const readOverview = async (context: FiguresContext): Promise<Overview> => {
  const { store, loaded } = context;
  const newest = { cursor: null, filters: {}, since: null };
  const [controls, figures, active, inbox, modes, decisions, ended, alerts, halt] = await Promise.all([
    store.controls(),
    store.figures(),
    store.activeRuns(),
    store.list('inbox', { ...newest, limit: MOST_OPEN, filters: { status: 'open' } }),
    readDegradedModes(context),
    store.list('decisions', { ...newest, limit: NEWEST_DECISIONS }),
    store.list('runs', { ...newest, limit: 10, filters: { state: 'done' } }),
    store.list('alerts', { ...newest, limit: 1 }),
    readHalt(context),
  ]);
  const runs = await Promise.all(
    active.slice(0, MOST_RUNS).map(async ({ id }) => {
      const found = await store.run(id);
      return found === null || found.run.state === 'done' ? [] : [progressOf(found, controls)];
    }),
  );
  const declared = new Map(loaded().catalog.rules.rules.map((rule) => [rule.name, rule]));
  const { clockSuspectUntil, approvalOnlyUntil, now } = controls;
  const ahead = (until: number | null): number | null => (until !== null && until > now ? until : null);
  return {
    now,
    halt,
    storms: figures.storms,
    approvalOnlyUntil: ahead(approvalOnlyUntil),
    clockSuspectUntil: ahead(clockSuspectUntil),
    inbox: inbox.items,
    inboxOpen: figures.inboxOpen,
    degradedModes: modes.filter((mode) => mode.active),
    rules: {
      count: declared.size,
      disabled: [...controls.rules]
        .filter(([name, { until }]) => declared.has(name) && (until === null || until > now))
        .map(([name, disabled]) => ({ name, ...disabled })),
      demoted: [...controls.demotions]
        .filter(([name]) => declared.has(name))
        .map(([name, demotion]) => ({ name, ...demotion })),
    },
    runs: runs.flat(),
    runsUnderWay: active.length,
    ended: ended.items,
    decisions: await grouped(store, decisions.items),
    lastAlert: alerts.items[0] === undefined ? null : { at: alerts.items[0].at },
  };
};

/**
 * One answer for all who ask while it is not begun yet, begun at most every so often. What happened before somebody asked
 * is in what they are told.
 */
export const shared = <T>(
  clock: Pick<Clock, 'monotonic' | 'sleep'>,
  everyMs: number,
  work: () => Promise<T>,
): (() => Promise<T>) => {
  let next: Promise<T> | null = null;
  let begunAt = -Infinity;
  const begin = async (): Promise<T> => {
    const wait = begunAt + everyMs - clock.monotonic();
    // Always a turn later: until then `next` is this one.
    await (wait > 0 ? clock.sleep(wait) : null);
    next = null;
    begunAt = clock.monotonic();
    return work();
  };
  return () => (next ??= begin());
};

/** Newest first. A thousand targets that fail at once are one line. */
const grouped = async (store: Store, rows: readonly DecisionRow[]): Promise<readonly DecisionGroup[]> => {
  const groups = new Map<string, { row: DecisionRow; count: number; since: number; targets: Set<string> }>();
  for (const row of rows) {
    if (QUIET.has(row.reason)) continue;
    const { reason, rule, component, strategy, runId, target } = row;
    const key = JSON.stringify([reason, rule, component, strategy, runId, target === null ? row.episodeId : null]);
    const group = groups.get(key);
    if (group === undefined && groups.size >= MOST_GROUPS) continue;
    const { count, targets } = group ?? { count: 0, targets: new Set<string>() };
    if (target !== null) targets.add(target);
    groups.set(key, { row: group?.row ?? row, count: count + 1, since: row.at, targets });
  }
  const found = [...groups.values()];
  const told = await explained(
    store,
    found.map(({ row }) => row),
  );
  return found.map(({ row, count, since, targets }, index) => ({
    id: row.id,
    at: row.at,
    count,
    since,
    reason: row.reason,
    why: told[index]?.why ?? '',
    alertname: told[index]?.alertname ?? null,
    component: row.component,
    targets: [...targets].slice(0, MOST_TARGETS),
    rule: row.rule,
    strategy: row.strategy,
    runId: row.runId,
  }));
};

type Explained = DecisionRow & { readonly why: string; readonly alertname: string | null };

/** Each with why it came out so, in a sentence, and with the name of its alert. */
export const explained = async (store: Store, rows: readonly DecisionRow[]): Promise<readonly Explained[]> => {
  const episodes = await store.episodesById([...new Set(rows.flatMap(({ episodeId }) => episodeId ?? []))]);
  return rows.map((row) => ({
    ...row,
    why: explain(row).why,
    alertname: episodes.get(row.episodeId ?? '')?.labels['alertname'] ?? null,
  }));
};
