// Appends to a run: reads it, asks a pure function what is to be written, writes it, and answers with the state after.
import type { RunEvent, StoredEvent } from '../run/events.ts';
import { project } from '../run/projection.ts';
import type { RunState } from '../run/state.ts';
import { apply, fold } from '../run/state.ts';
import type { Write } from '../run/writes.ts';
import type { Lease, RunView } from '../port/store.ts';
import type { EngineContext } from './context.ts';

export type Addition = {
  readonly events: readonly RunEvent[];
  readonly writes: readonly Write[];
  readonly release?: boolean;
};
export type Recorded = { readonly state: RunState; readonly added: readonly StoredEvent[]; readonly view: RunView };

/** Null when the run is not there or `add` has nothing to say. Throws LeaseLost, and IllegalTransition for an event that must not be. */
export const record = (
  context: Pick<EngineContext, 'store' | 'clock'>,
  runId: string,
  lease: Lease | null,
  add: (view: RunView, state: RunState) => Addition | null,
): Promise<Recorded | null> =>
  context.store.changeRun<Recorded>(runId, lease, context.clock.now(), (view) => {
    const before = fold(view.plan, view.events);
    const addition = add(view, before);
    if (addition === null) return null;
    const added = addition.events.map((event, index): StoredEvent => ({
      seq: view.events.length + 1 + index,
      at: view.now,
      event,
    }));
    const state = added.reduce((at, event) => apply(view.plan, at, event), before);
    return {
      events: addition.events,
      projection: added.length === 0 ? null : project(state),
      writes: addition.writes,
      release: addition.release ?? false,
      answer: { state, added, view },
    };
  });
