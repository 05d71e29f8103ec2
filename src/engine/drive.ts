// A run in one worker's hands: its state as far as it is written, and how more is written while the lease holds.
import type { FailureKind } from '../base/failure.ts';
import type { JsonObject } from '../base/json.ts';
import type { RunEvent } from '../run/events.ts';
import type { Moment, Verdict } from '../run/guards.ts';
import { firstRefusal, verdictsOf } from '../run/guards.ts';
import type { EvaluateCondition } from '../run/next.ts';
import type { Plan } from '../run/plan.ts';
import type { RunState } from '../run/state.ts';
import { workedMs } from '../run/state.ts';
import { pageBlind } from '../run/admission.ts';
import type { Present } from '../run/present.ts';
import type { ActionStep } from '../runbook/runbook.ts';
import type { Lease, RunAlone, RunView } from '../port/store.ts';
import type { EngineContext } from './context.ts';
import type { Addition, Recorded } from './record.ts';
import { record, recordAlone } from './record.ts';

/** A run that one worker drives. */
export type Drive = {
  readonly runId: string;
  readonly plan: Plan;
  readonly view: RunAlone;
  readonly evaluate: EvaluateCondition;
  lease: Lease;
  state: RunState;
  readonly stop: AbortController;
  /** When the outside was last asked whether this is still wanted; monotonic milliseconds. */
  askedAt: number;
  /** A step whose intent is committed and whose effect comes next. */
  intended: Intended | null;
};

export type Intended = {
  readonly key: string;
  readonly step: ActionStep;
  readonly try: number;
  readonly input: JsonObject;
};

type Add = Parameters<typeof record>[3];
type AddAlone = Parameters<typeof recordAlone>[3];

export const append = async (context: EngineContext, drive: Drive, add: Add): Promise<Recorded | null> => {
  const recorded = await record(context, drive.runId, drive.lease, add);
  if (recorded !== null) drive.state = recorded.state;
  return recorded;
};

/** What depends on the run alone. */
export const extend = async (context: EngineContext, drive: Drive, add: AddAlone): Promise<void> => {
  const recorded = await recordAlone(context, drive.runId, drive.lease, add);
  if (recorded !== null) drive.state = recorded.state;
};

export const failure = (step: string, kind: FailureKind, error: string, began: boolean): RunEvent => ({
  type: 'step_failed',
  step,
  kind,
  error,
  outputs: {},
  ms: 0,
  retryAt: null,
  began,
});

/** The guards once more: time has passed since they were asked. */
export const verdictAt = (
  context: EngineContext,
  moment: Moment,
  view: RunView,
  state: RunState,
  present: Present,
): Verdict | null =>
  firstRefusal(
    verdictsOf({
      plan: view.plan,
      history: view.history,
      moment,
      asking: false,
      approved: state.approved,
      present,
      self: view.run.id,
      releasedAt: state.releasedAt,
      override: new Set(),
      haltFile: context.halt.reason(),
    }),
  );

/** What may be over in a moment is waited for, until it is stale; everything else withdraws the run, to be decided anew. */
export const waitsForBetter = ({ guard, inputs }: Verdict): boolean =>
  guard === 'halted' ||
  guard === 'concurrency' ||
  (guard === 'unconfirmed' && inputs['state'] === 'unreachable') ||
  (guard === 'unhealthy' && inputs['state'] === 'unknown');

const HELD_MS = 1_000;

/** Put down until what stands in the way may be over; whoever cannot see the outside is told once. */
export const heldBack = (
  context: EngineContext,
  view: RunView,
  refusal: Verdict,
  before: readonly RunEvent[],
): Addition => ({
  events: [...before, { type: 'parked', why: refusal.detail, notBefore: view.now + HELD_MS }],
  writes: pageBlind(
    { plan: view.plan, episodeId: view.run.episodeId, inboxId: context.ids.next(), notifyId: context.ids.next() },
    refusal,
  ),
  release: true,
});

export const remaining = (drive: Drive, now: number): number =>
  Math.max(1, drive.plan.runbook.timeout - workedMs(drive.state, now));
