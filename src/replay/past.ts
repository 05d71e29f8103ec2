// What a journal knows beside the deliveries: what Alertmanager and Prometheus answered, how runs ended, when our own clock
// looked again. What it does not know is answered by what is written here, counted, and named.
import { episodeKey } from '../alert/episode.ts';
import type { Result } from '../base/failure.ts';
import { ok, refused } from '../base/failure.ts';
import type { Config } from '../config.ts';
import type { Sample } from '../port/sources.ts';
import { PROMETHEUS_FAILED } from '../port/sources.ts';
import type { AlertState, Present } from '../run/present.ts';
import { jumpOf } from './happenings.ts';
import type { Journal, RecordedOutcome } from './journal.ts';
import type { AssumedRun, Ending } from './virtual.ts';

export const ASSUMPTIONS = ['success', 'failure', 'recorded'] as const;
/** What is taken for the outcome of a run that never happened. `recorded`: the journal's own, else success. */
export type Assumption = (typeof ASSUMPTIONS)[number];

/** Facts that decisions depended on and the journal does not have, and how often: by alert name, and by query. */
export type Unknown = {
  readonly alerts: Readonly<Record<string, number>>;
  readonly queries: Readonly<Record<string, number>>;
};

export type Past = {
  /** `quiet`: the run that was to help it is taken to have done so. */
  alert(labels: Readonly<Record<string, string>>, source: string, now: number, quiet: boolean): Present['alert'];
  query(promql: string, now: number): Result<readonly Sample[]>;
  ending(run: AssumedRun): Ending;
  /** When somebody looked at what was due at `due`; live looks once a second. */
  lookedAt(episodeKey: string, due: number): number;
  /** When the question about a run was seen to have expired, due at `due`. */
  expiredAt(run: AssumedRun, due: number): number;
  /** Runs whose outcome was assumed for want of a recorded one. */
  assumedRuns(): number;
  unknown(): Unknown;
};

/** A decision is written down this much after what led to it, at most: a storm is decided in slices. */
const LATE_MS = 10_000;
/** An answer this old is asked for no second time, as live keeps it. */
const KEPT_MS = 15_000;
/** Our own clock ticks once a second, and has other things to do. */
const TICK_MS = 5_000;

type Known<T> = ReadonlyMap<string, readonly T[]>;
const gathered = <T>(all: readonly T[], keyOf: (one: T) => string): Known<T> => {
  const groups = new Map<string, T[]>();
  for (const one of all) {
    const key = keyOf(one);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [one]);
    else group.push(one);
  }
  return groups;
};

/** The first at or after `from`, by binary search. */
const indexFrom = (all: ReadonlyArray<{ readonly at: number }>, from: number): number => {
  let [low, high] = [0, all.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((all[middle]?.at ?? 0) < from) low = middle + 1;
    else high = middle;
  }
  return low;
};

/** What was said then, or a moment later, or was kept from a moment before. */
const saidAt = <T extends { readonly at: number }>(all: readonly T[] | undefined, now: number): T | undefined => {
  if (all === undefined) return undefined;
  const index = indexFrom(all, now);
  const after = all[index];
  if (after !== undefined && after.at <= now + LATE_MS) return after;
  const before = all[index - 1];
  return before !== undefined && before.at >= now - KEPT_MS ? before : undefined;
};

type PastOptions = {
  readonly assume: Assumption;
  readonly config: Config;
  /** Where it changes on the way. */
  readonly configAt?: (at: number) => Config;
};

export const createPast = (
  {
    outcomes,
    facts,
    retries,
    acts = [],
  }: Pick<Journal, 'outcomes' | 'facts' | 'retries'> & Partial<Pick<Journal, 'acts'>>,
  { assume, config, configAt = () => config }: PastOptions,
): Past => {
  const keyOf = (source: string, labels: Readonly<Record<string, string>>, at: number): string =>
    episodeKey(source, labels, configAt(at).ignoreLabels);
  const alerts = gathered(
    facts.filter((fact) => fact.asked === 'alertmanager'),
    ({ source, labels, at }) => keyOf(source, labels, at),
  );
  const queries = gathered(
    facts.filter((fact) => fact.asked === 'prometheus'),
    ({ query }) => query,
  );
  const looks = gathered(retries, ({ source, labels, at }) => keyOf(source, labels, at));
  const leaps = leapsOf(acts);
  const runs = createRuns(assume === 'recorded' ? outcomes : []);
  const unknownAlerts = new Map<string, number>();
  const unknownQueries = new Map<string, number>();
  let assumed = 0;
  return {
    alert(labels, source, now, quiet) {
      const said = saidAt(alerts.get(keyOf(source, labels, now)), now);
      if (said !== undefined) return { state: said.state as AlertState, detail: 'as the journal says' };
      if (quiet) return { state: 'absent', detail: 'the run is taken to have helped' };
      if (configAt(now).alertmanagers.length > 0) count(unknownAlerts, labels['alertname'] ?? '');
      return { state: 'firing', detail: 'not in the journal; it had not resolved' };
    },
    query(promql, now) {
      const said = saidAt(queries.get(promql), now);
      if (said?.value !== null && said !== undefined) return ok([{ labels: {}, value: said.value }]);
      if (said === undefined) count(unknownQueries, promql);
      const message = said?.problem ?? 'what Prometheus would have answered is not in the journal';
      return refused([{ code: PROMETHEUS_FAILED, message }]);
    },
    ending(run) {
      if (assume !== 'recorded') return { how: assume === 'success' ? 'helped' : 'failed', endsAt: null };
      const recorded = runs.take(run);
      if (recorded !== null) return recorded;
      assumed += 1;
      return { how: 'helped', endsAt: null };
    },
    lookedAt(key, due) {
      const all = looks.get(key);
      const look = all?.[indexFrom(all, due)];
      // What came due while the wall clock leapt was looked at behind it.
      const seen = leaps.find(({ from, to }) => from <= due && due < to)?.to ?? due;
      return look !== undefined && look.at <= seen + TICK_MS ? look.at : due;
    },
    expiredAt: (run, due) => runs.expiredAt(run) ?? due,
    assumedRuns: () => assumed,
    unknown: () => ({ alerts: Object.fromEntries(unknownAlerts), queries: Object.fromEntries(unknownQueries) }),
  };
};

/** Where the wall clock jumped ahead, milliseconds UTC. */
const leapsOf = (acts: Journal['acts']): ReadonlyArray<{ readonly from: number; readonly to: number }> =>
  acts.flatMap((act) => {
    const jump = jumpOf(act);
    return jump === null || jump.by <= 0 ? [] : [{ from: act.at, to: act.at + jump.by }];
  });

const count = (into: Map<string, number>, key: string): void => void into.set(key, (into.get(key) ?? 0) + 1);

/** A run of the record is one of the backtest when it was asked for at about the same time. */
const SAME_RUN_MS = 10_000;

type Runs = { take(run: AssumedRun): Ending | null; expiredAt(run: AssumedRun): number | null };

const createRuns = (outcomes: readonly RecordedOutcome[]): Runs => {
  const keyOf = ({ component, target, strategy }: Pick<AssumedRun, 'component' | 'target' | 'strategy'>): string =>
    JSON.stringify([component, target, strategy]);
  const isThen = ({ at, endedAt }: RecordedOutcome, run: AssumedRun): boolean =>
    at - SAME_RUN_MS <= run.at && run.at <= (endedAt ?? at) + SAME_RUN_MS;
  const tried = outcomes.filter(({ outcome }) => outcome !== 'withdrawn');
  const left = new Map([...gathered(tried, keyOf)].map(([key, all]) => [key, [...all]]));
  const expired = gathered(
    outcomes.filter(({ cause }) => cause === 'expired'),
    keyOf,
  );
  return {
    take(run) {
      const all = left.get(keyOf(run));
      const same = all?.find((one) => isThen(one, run));
      const recorded = same ?? all?.[0];
      if (all === undefined || recorded === undefined) return null;
      all.splice(all.indexOf(recorded), 1);
      const { outcome, cause, endedAt } = recorded;
      // That its alert came back shows by itself, later.
      const how =
        cause === 'undo_failed'
          ? 'undo_failed'
          : outcome === 'stuck'
            ? 'stuck'
            : outcome === 'resolved' || cause === 'ineffective'
              ? 'helped'
              : 'failed';
      return { how, endsAt: same === undefined ? null : endedAt };
    },
    expiredAt: (run) => expired.get(keyOf(run))?.find((one) => isThen(one, run))?.endedAt ?? null,
  };
};
