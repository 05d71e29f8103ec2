// What the present does to runs: an alert that resolved withdraws what waits for it, one that came back makes a verified
// run a failure after all.
import type { Alert } from '../alert/alert.ts';
import { createSelector } from '../alert/select.ts';
import type { Standing } from '../run/conclusion.ts';
import { conclude, ineffective } from '../run/conclusion.ts';
import type { Outcome, OutcomeCause, RunEvent } from '../run/events.ts';
import type { Plan } from '../run/plan.ts';
import type { RunState } from '../run/state.ts';
import { apply, mutated } from '../run/state.ts';
import type { RunView, SettlingRun } from '../port/store.ts';
import type { Item } from './backlog.ts';
import type { EngineContext, Loaded } from './context.ts';
import { remember } from './intake.ts';
import type { Addition } from './record.ts';
import { record } from './record.ts';

const selectorOf = remember((loaded: Loaded) => createSelector(loaded.config.components));

const concluding = (context: EngineContext, view: RunView, state: RunState): Parameters<typeof conclude>[0] => ({
  runId: view.run.id,
  episodeId: view.run.episodeId,
  plan: view.plan,
  state,
  history: view.history,
  now: view.now,
  haltFile: context.halt.reason(),
  nextId: () => context.ids.next(),
});

/** Ends a run that no worker holds: first what led to it, then the conclusion that follows. */
export const endNow = (
  context: EngineContext,
  view: RunView,
  state: RunState,
  first: readonly RunEvent[],
  outcome: Outcome,
  cause: OutcomeCause,
  detail: string,
): Addition => {
  const after = first.reduce((at, event) => apply(view.plan, at, { seq: 0, at: view.now, event }), state);
  const conclusion = conclude(concluding(context, view, after), outcome, cause, detail);
  return { events: [...first, ...conclusion.events], writes: conclusion.writes, release: true };
};

const waits = (view: RunView, state: RunState): boolean =>
  state.name === 'awaiting_approval' || (state.name === 'queued' && view.run.leaseOwner === null);

/** Before the first mutating step the run is withdrawn; after it, it goes to its end and says so. */
export const withdrawResolved = async (context: EngineContext, episodeId: string, why: string): Promise<void> => {
  for (const run of await context.store.activeRuns()) {
    if (run.episodeId !== episodeId) continue;
    await record(context, run.id, null, (view, state) => {
      if (state.name === 'done' || state.resolvedDuringRun || state.stop !== null) return null;
      if (mutated(state))
        return state.name === 'awaiting_approval'
          ? stopAsking(view, state)
          : { events: [{ type: 'resolved_during_run' }], writes: [] };
      const stop: RunEvent = { type: 'stop_requested', by: 'alertmanager', why: 'resolved' };
      return waits(view, state)
        ? endNow(context, view, state, [stop], 'withdrawn', 'resolved', why)
        : { events: [stop], writes: [] };
    });
  }
};

/** Asked in the middle of a run: nobody needs to answer any more. */
const stopAsking = (view: RunView, state: RunState): Addition => ({
  events: [
    { type: 'resolved_during_run' },
    { type: 'denied', step: state.asked?.step ?? null, by: 'alertmanager', reason: 'resolved' },
  ],
  writes: [
    { type: 'inbox.close_for_run', runId: view.run.id, kind: 'approval', by: 'amends', comment: 'the alert resolved' },
  ],
});

/** The settling runs that any of these entries might contradict. */
export const settlingNear = async (context: EngineContext, items: readonly Item[]): Promise<readonly SettlingRun[]> => {
  const select = selectorOf(context.loaded());
  const targets = new Set<string>();
  const episodes = new Set<string>();
  for (const { entry, received } of items) {
    if (!entry.valid || entry.alert.status !== 'firing') continue;
    const selection = select(entry.alert.labels);
    if (selection.found) targets.add(selection.target.name);
    // What it opened has had no run.
    if (received.episodeId !== null && received.change !== 'opened') episodes.add(received.episodeId);
  }
  return targets.size + episodes.size === 0
    ? []
    : context.store.settlingRuns({ targets: [...targets], episodes: [...episodes] });
};

/** The settling runs that this firing entry contradicts: it began after their verification, on the same target. */
export const contradicted = (
  context: EngineContext,
  settling: readonly SettlingRun[],
  alert: Alert,
  episodeId: string | null,
): readonly SettlingRun[] => {
  const began = settling.filter((run) => alert.startsAt > run.verifiedAt && alert.startsAt <= run.settleUntil);
  if (began.length === 0) return [];
  const selection = selectorOf(context.loaded())(alert.labels);
  return began.filter(
    (run) =>
      isOf(run, episodeId) ||
      (selection.found && selection.component.kind === run.kind && selection.target.name === run.target),
  );
};

const isOf = (run: SettlingRun, episodeId: string | null): boolean =>
  run.episodeId !== null && run.episodeId === episodeId;

export const markIneffective = async (
  context: EngineContext,
  runs: readonly SettlingRun[],
  alert: Alert,
  episodeId: string | null,
): Promise<void> => {
  for (const run of runs) {
    await declareIneffective(
      context,
      run,
      'the alert fired again while the run was settling',
      (plan) => isOf(run, episodeId) || plan.alert?.labels['alertname'] === alert.labels['alertname'],
    );
  }
};

const DAY_MS = 86_400_000;

/** Of a rule over all components; what is of the run's own component is read again inside the transaction. */
const standingOf = async ({ store, clock }: EngineContext, rule: string | null): Promise<Standing> => {
  if (rule === null) return { attempts: [], demoted: false };
  const [attempts, controls] = await Promise.all([
    store.attempts({ component: null, ledger: 'live', since: clock.now() - 2 * DAY_MS }),
    store.controls(),
  ]);
  return { attempts, demoted: controls.demotions.has(rule) };
};

export const declareIneffective = async (
  context: EngineContext,
  run: SettlingRun,
  why: string,
  applies: (plan: Plan) => boolean,
): Promise<void> => {
  const standing = await standingOf(context, run.rule);
  const recorded = await record(context, run.id, null, (view, state) => {
    if (state.outcome !== 'resolved' || state.settleUntil === null || !applies(view.plan)) return null;
    return ineffective(concluding(context, view, state), why, standing);
  });
  if (recorded !== null) context.telemetry.runIneffective(run.component, run.strategy);
};
