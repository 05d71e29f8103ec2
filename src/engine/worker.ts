// Drives one claimed run to where it rests: asks what is next, does it, writes down what came of it.
import type { Timer } from '../base/clock.ts';
import { IllegalTransition, LeaseLost } from '../base/failure.ts';
import type { RunEvent } from '../run/events.ts';
import { conclude, judgeEnd } from '../run/conclusion.ts';
import type { Command } from '../run/next.ts';
import { next } from '../run/next.ts';
import type { RunState } from '../run/state.ts';
import { apply } from '../run/state.ts';
import type { Write } from '../run/writes.ts';
import { planDigest } from '../run/admission.ts';
import type { RunAlone, RunView } from '../port/store.ts';
import { askPresent } from './present.ts';
import type { EngineContext } from './context.ts';
import type { Addition } from './record.ts';
import { renderQuestion, renderStep } from './step.ts';
import type { Drive } from './drive.ts';
import { append, extend, failure, verdictAt, waitsForBetter, heldBack } from './drive.ts';
import { runStep, performIntended, settleUnknown } from './effect.ts';
import { runVerify } from './verifying.ts';

export const LEASE_MS = 30_000;
const RENEW_MS = 10_000;

export const work = async (
  context: EngineContext,
  drive: Drive,
  draining: () => boolean,
  onRunEnded: (view: RunAlone, state: RunState) => void,
): Promise<void> => {
  const heartbeat = beat(context, drive);
  try {
    const recovery = drive.view.run.recoveries > drive.state.recoveries;
    const claimed: RunEvent = { type: 'claimed', owner: context.owner, fence: drive.lease.fence, recovery };
    if (drive.state.name === 'queued') {
      if (!(await start(context, drive, claimed))) return;
    } else {
      await extend(context, drive, () => ({ events: [claimed], writes: [] }));
      if (recovery) await sweepInterrupted(context, drive);
    }
    for (;;) {
      drive.stop.signal.throwIfAborted();
      if (drive.intended !== null) {
        await performIntended(context, drive, drive.intended);
        continue;
      }
      if (draining()) return await park(context, drive, 'amends is stopping', 0);
      const command = next(drive.plan, drive.state, context.clock.now(), drive.evaluate);
      const goOn = await carryOut(context, drive, command);
      if (!goOn) break;
    }
    if (drive.state.name === 'done') onRunEnded(drive.view, drive.state);
  } finally {
    heartbeat.stop();
  }
};

/** What a dead worker left running is ended before anything is done again. */
const sweepInterrupted = async (context: EngineContext, drive: Drive): Promise<void> => {
  for (const [key, step] of drive.state.steps) {
    if (step.interrupted) await context.spawner.sweep(`${drive.runId}/${key}`);
  }
};

const beat = (context: EngineContext, drive: Drive): { stop(): void } => {
  let on = true;
  let timer: Timer | null = null;
  const renewSoon = (): void => {
    timer = context.clock.after(RENEW_MS, () => {
      if (!on) return;
      context.store.renew(drive.runId, drive.lease, context.clock.now(), LEASE_MS).then(
        (lease) => {
          drive.lease = lease;
          if (on) renewSoon();
        },
        (error: unknown) => {
          if (error instanceof LeaseLost) drive.stop.abort(error);
          else if (on) renewSoon();
        },
      );
    });
  };
  renewSoon();
  return {
    stop() {
      on = false;
      // It would hold the whole run in memory until its time.
      timer?.cancel();
    },
  };
};

const park = async (context: EngineContext, drive: Drive, why: string, forMs: number): Promise<void> => {
  await extend(context, drive, (view) => ({
    events: [{ type: 'parked', why, notBefore: view.now + forMs }],
    writes: [],
    release: true,
  }));
};

/** False: the run is done, or put down for now. */
const carryOut = async (context: EngineContext, drive: Drive, command: Command): Promise<boolean> => {
  switch (command.do) {
    case 'start':
      throw new IllegalTransition('a run is started where it is claimed');
    case 'step':
      return runStep(context, drive, command.key, command.step, command.try);
    case 'skip':
      await extend(context, drive, () => ({
        events: [{ type: 'step_skipped', step: command.key, why: command.why }],
        writes: [],
      }));
      return true;
    case 'fail':
      await extend(context, drive, () => ({
        events: [failure(command.key, 'permanent', command.error, false)],
        writes: [],
      }));
      return true;
    case 'probe':
      return settleUnknown(context, drive, command.key, command.probe);
    case 'unknown':
      await extend(context, drive, () => ({
        events: [{ type: 'step_unknown', step: command.key, error: command.error }],
        writes: [],
      }));
      return true;
    case 'ask': {
      const { step, key } = command;
      const asked = renderQuestion(drive.plan, drive.runId, drive.state, step);
      if (!asked.ok) {
        await extend(context, drive, () => ({ events: [failure(key, 'permanent', asked.error, false)], writes: [] }));
        return true;
      }
      const question = context.redactor.text(asked.question);
      await append(context, drive, (view) => askWrites(context, drive, key, question, view.now + step.approve.expires));
      return false;
    }
    case 'wait':
      await context.clock.sleep(Math.max(0, command.until - context.clock.now()), drive.stop.signal);
      return true;
    case 'verify':
      return runVerify(context, drive);
    case 'undo':
      await extend(context, drive, () => ({
        events: [{ type: 'undo_started', rollback: command.rollback }],
        writes: [],
      }));
      return true;
    case 'judge':
      await append(context, drive, (view, state) => {
        const { exhausted, why } = judgeEnd(concluding(context, view, state), command.outcome, command.cause);
        return { events: [{ type: 'judged', exhausted, why }], writes: [] };
      });
      return true;
    case 'conclude':
      await append(context, drive, (view, state) => ({
        ...conclude(concluding(context, view, state), command.outcome, command.cause, command.detail),
        release: true,
      }));
      return false;
    case 'finish_aftermath':
      await extend(context, drive, () => ({ events: [{ type: 'aftermath_ended' }], writes: [], release: true }));
      return false;
    default:
      return command satisfies never;
  }
};

const concluding = (
  context: Pick<EngineContext, 'ids' | 'halt'>,
  view: RunView,
  state: RunState,
): Parameters<typeof conclude>[0] => ({
  runId: view.run.id,
  episodeId: view.run.episodeId,
  plan: view.plan,
  state,
  history: view.history,
  now: view.now,
  haltFile: context.halt.reason(),
  nextId: () => context.ids.next(),
});

/** Claimed, asked once more, begun, and the first step intended: one commit, since an alert waits for it. */
const start = async (context: EngineContext, drive: Drive, claimed: RunEvent): Promise<boolean> => {
  let goOn = true;
  const present = await askPresent(context, drive.plan);
  const recorded = await append(context, drive, (view, state) => {
    if (state.stop !== null || state.refusal !== null) return { events: [claimed], writes: [] };
    const refusal = verdictAt(context, 'start', view, state, present);
    if (refusal === null) return begin(context, drive, view, state, [claimed, { type: 'started' }]);
    goOn = false;
    if (waitsForBetter(refusal)) return heldBack(context, view, refusal, [claimed]);
    const cause = refusal.guard === 'unconfirmed' ? 'resolved' : 'stale';
    const ended = conclude(concluding(context, view, state), 'withdrawn', cause, `${refusal.guard}: ${refusal.detail}`);
    return { events: [claimed, ...ended.events], writes: ended.writes, release: true };
  });
  drive.askedAt = context.clock.monotonic();
  if (goOn && recorded !== null) context.telemetry.runStarted(drive.plan.component.name, drive.plan.runbook.strategy);
  return goOn;
};

const begin = (
  context: EngineContext,
  drive: Drive,
  view: RunView,
  state: RunState,
  events: readonly RunEvent[],
): Addition => {
  const begun = events.reduce((at, event) => apply(view.plan, at, { seq: 0, at: view.now, event }), state);
  const command = next(view.plan, begun, view.now, drive.evaluate);
  const rendered = command.do === 'step' ? renderStep(view.plan, drive.runId, begun, command.key, command.step) : null;
  if (command.do !== 'step' || rendered?.ok !== true) return { events, writes: [] };
  drive.intended = { key: command.key, step: command.step, try: command.try, input: rendered.input };
  const intent: RunEvent = {
    type: 'step_started',
    step: command.key,
    try: command.try,
    input: context.redactor.value(rendered.shown),
  };
  return { events: [...events, intent], writes: [] };
};

const askWrites = (
  context: EngineContext,
  drive: Drive,
  key: string,
  question: string,
  expiresAt: number,
): { events: RunEvent[]; writes: Write[]; release: boolean } => {
  const { plan, runId } = drive;
  const place = { severity: plan.runbook.severity, component: plan.component.name, target: plan.target.name, runId };
  return {
    events: [{ type: 'approval_requested', step: key, question, expiresAt, planDigest: planDigest(plan) }],
    writes: [
      {
        type: 'inbox.open',
        id: context.ids.next(),
        kind: 'approval',
        dedup: null,
        ...place,
        episodeId: drive.view.run.episodeId,
        title: question,
        body: { runbook: plan.runbook.name, step: key, expires_at: expiresAt },
      },
      {
        type: 'notify',
        id: context.ids.next(),
        topic: 'approval',
        receiver: null,
        ...place,
        title: `Approval needed: ${question}`,
        body: `amends approve ${runId} --step ${key}`,
      },
    ],
    release: true,
  };
};
