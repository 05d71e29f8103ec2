// The columns by which runs are found, from the state their events fold to.
import type { Outcome, OutcomeCause } from './events.ts';
import type { RunState } from './state.ts';

export type Projection = {
  readonly state: 'awaiting_approval' | 'queued' | 'running' | 'verifying' | 'undoing' | 'done';
  readonly outcome: Outcome | null;
  readonly cause: OutcomeCause | null;
  readonly notBefore: number;
  readonly startedAt: number | null;
  readonly firstStepAt: number | null;
  readonly verifiedAt: number | null;
  readonly endedAt: number | null;
  readonly settleUntil: number | null;
};

export const project = (state: RunState): Projection => ({
  state: state.name === 'new' ? 'queued' : state.name,
  outcome: state.outcome,
  cause: state.cause,
  notBefore: state.notBefore,
  startedAt: state.startedAt,
  firstStepAt: state.firstStepAt,
  verifiedAt: state.verifiedAt,
  endedAt: state.endedAt,
  settleUntil: state.settleUntil,
});
