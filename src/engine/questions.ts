// What waits for an answer: brought up again, escalated, expired in time, and withdrawn when what it was asked about has
// changed. What was said already is read from the outbox, so a restart says nothing twice.
import { formatDuration } from '../base/duration.ts';
import type { OutboxRow, RunRow } from '../port/record.ts';
import type { RunView } from '../port/store.ts';
import { stepOf } from '../run/asked.ts';
import type { RunEvent } from '../run/events.ts';
import { haltedSince } from '../run/halted.ts';
import type { RunState } from '../run/state.ts';
import { mutated } from '../run/state.ts';
import type { Write } from '../run/writes.ts';
import { changedSince } from './bound.ts';
import type { EngineContext } from './context.ts';
import type { Addition } from './record.ts';
import { record } from './record.ts';
import { endNow } from './withdraw.ts';

const REMINDER = 'approval_reminder';
const ESCALATED = 'approval_escalated';
/** More than any run says while it waits. */
const MOST_TOLD = 200;

export const lookAtQuestions = async (context: EngineContext): Promise<void> => {
  for (const run of await context.store.activeRuns()) {
    if (run.state === 'awaiting_approval') await lookAtQuestion(context, run);
  }
};

const lookAtQuestion = async (context: EngineContext, run: RunRow): Promise<void> => {
  const told = await context.store.list('outbox', {
    limit: MOST_TOLD,
    cursor: null,
    filters: { runId: run.id },
    since: null,
  });
  await record(context, run.id, null, (view, state) => {
    const { asked } = state;
    if (state.name !== 'awaiting_approval' || asked === null) return null;
    const stoodStill = haltedSince(view.history.halt, asked.at, view.now);
    if (view.now - stoodStill >= asked.expiresAt) return expire(context, view, state, asked);
    const changed = changedSince(context.loaded(), view.plan);
    if (changed !== null) return withdrawChanged(context, view, state, asked, changed);
    return bringUp(context, view, asked, view.now - asked.at - stoodStill, told.items);
  });
};

type Asked = NonNullable<RunState['asked']>;

const expire = (context: EngineContext, view: RunView, state: RunState, asked: Asked): Addition => {
  const expired: RunEvent = { type: 'expired', step: asked.step };
  if (asked.step !== null) return { events: [expired], writes: [closed(view, 'expired')] };
  const why = `nobody answered within ${formatDuration(asked.expiresAt - asked.at)}`;
  return endNow(context, view, state, [expired], 'withdrawn', 'expired', why);
};

/** Nobody can say yes to it any more. What was done already is verified, and taken back if that fails. */
const withdrawChanged = (
  context: EngineContext,
  view: RunView,
  state: RunState,
  asked: Asked,
  why: string,
): Addition => {
  const stop: RunEvent = { type: 'stop_requested', by: 'amends', why };
  if (!mutated(state)) return endNow(context, view, state, [stop], 'withdrawn', 'stale', why);
  const denied: RunEvent = { type: 'denied', step: asked.step, by: 'amends', reason: why };
  return { events: [stop, denied], writes: [closed(view, why)] };
};

const closed = (view: RunView, comment: string): Write => ({
  type: 'inbox.close_for_run',
  runId: view.run.id,
  kind: 'approval',
  by: 'amends',
  comment,
});

const bringUp = (
  context: EngineContext,
  view: RunView,
  asked: Asked,
  age: number,
  told: readonly OutboxRow[],
): Addition | null => {
  const { remind, escalate } = view.plan.policy.approval;
  const topic = age >= escalate ? ESCALATED : age >= remind ? REMINDER : null;
  // Once escalated, the gentler word is not needed any more.
  const said = told.some(
    (row) => row.at >= asked.at && (row.topic === ESCALATED || (row.topic === REMINDER && topic === REMINDER)),
  );
  if (topic === null || said) return null;
  const { component, target } = view.run;
  const notify: Write = {
    type: 'notify',
    id: context.ids.next(),
    topic,
    receiver: null,
    severity: topic === ESCALATED ? 'SEV2' : view.plan.runbook.severity,
    component,
    target,
    runId: view.run.id,
    title: `Still waiting for an answer: ${asked.question}`,
    body: `${stepOf(asked)}; expires in ${formatDuration(asked.expiresAt - asked.at - age)}`,
  };
  return { events: [], writes: [notify] };
};
