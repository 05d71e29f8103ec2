// Appends to a run: reads it, asks a pure function what is to be written, writes it, and answers with the state after.
import { withChange } from '../run/audited.ts';
import type { RunEvent, StoredEvent } from '../run/events.ts';
import { project } from '../run/projection.ts';
import type { RunState } from '../run/state.ts';
import { apply, fold } from '../run/state.ts';
import type { Write } from '../run/writes.ts';
import type { Lease, RunAlone, RunChange, RunView } from '../port/store.ts';
import type { EngineContext } from './context.ts';
import { historyByTimePassed } from './time-passed.ts';

export type Addition = {
  readonly events: readonly RunEvent[];
  readonly writes: readonly Write[];
  readonly release?: boolean;
};
export type Recorded<View extends RunAlone = RunAlone> = {
  readonly state: RunState;
  readonly added: readonly StoredEvent[];
  readonly view: View;
};

type Recording = Pick<EngineContext, 'store' | 'clock' | 'jumps'>;

/** Null when the run is not there or `add` has nothing to say. Throws LeaseLost, and IllegalTransition for an event that must not be. */
export const record = (
  context: Recording,
  runId: string,
  lease: Lease | null,
  add: (view: RunView, state: RunState) => Addition | null,
): Promise<Recorded<RunView> | null> =>
  context.store.changeRun<Recorded<RunView>>(runId, lease, context.clock.now(), (view) =>
    changeOf({ ...view, history: historyByTimePassed(context, view.history) }, add),
  );

/** The same for what does not depend on the component's past: the result of a step, the start of a verification. */
export const recordAlone = (
  { store, clock }: Recording,
  runId: string,
  lease: Lease | null,
  add: (view: RunAlone, state: RunState) => Addition | null,
): Promise<Recorded | null> => store.extendRun<Recorded>(runId, lease, clock.now(), (view) => changeOf(view, add));

const changeOf = <View extends RunAlone>(
  view: View,
  add: (view: View, state: RunState) => Addition | null,
): RunChange<Recorded<View>> | null => {
  const before = fold(view.plan, view.events);
  const addition = add(view, before);
  if (addition === null) return null;
  const added = addition.events.map((event, index): StoredEvent => ({
    seq: view.events.length + 1 + index,
    at: view.now,
    event,
  }));
  const state = added.reduce((at, event) => apply(view.plan, at, event), before);
  const after = project(state);
  return {
    events: addition.events,
    projection: added.length === 0 ? null : after,
    writes: added.length === 0 ? addition.writes : withChange(addition.writes, view.run.id, project(before), after),
    release: addition.release ?? false,
    answer: { state, added, view },
  };
};
