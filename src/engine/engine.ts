// All loops of the engine as one thing that starts, stops and can be asked to do one round.
import type { LogFields } from '../base/log.ts';
import { traceIdOf } from '../base/trace.ts';
import type { Desk } from '../port/desk.ts';
import type { RunAlone } from '../port/store.ts';
import { createClockWatch } from './clock-watch.ts';
import type { EngineContext } from './context.ts';
import type { Decider } from './decider.ts';
import { createDecider } from './decider.ts';
import { createDesk } from './desk.ts';
import { createHaltWatch } from './halt-watch.ts';
import type { Intake } from './intake.ts';
import { createIntake } from './intake.ts';
import { createJanitor } from './janitor.ts';
import type { Loop } from './loop.ts';
import { createOutbox } from './outbox.ts';
import { createProber } from './prober.ts';
import type { Runner } from './runner.ts';
import { mergeEmergency } from './emergency.ts';
import { createStoreWatch } from './store-watch.ts';
import { createRunner } from './runner.ts';

export type Engine = {
  readonly intake: Intake;
  readonly desk: Desk;
  readonly decider: Decider;
  readonly runner: Runner;
  /** Puts what the emergency journal kept where it belongs; before `start`. */
  recover(): Promise<number>;
  start(): void;
  /** Decides, runs, tidies and tells until nothing is due: for tests, which have no timers. */
  settle(): Promise<void>;
  /** No new admissions; running steps get `graceMs`, then they are ended and their runs go on at the next start. */
  stop(graceMs: number): Promise<void>;
};

/** What its lines in the log are found by. */
const aboutRun = ({ run, plan }: RunAlone): LogFields => ({
  run_id: run.id,
  ...(run.episodeId === null ? {} : { episode_id: run.episodeId }),
  ...(plan.traceparent === undefined ? {} : { trace_id: traceIdOf(plan.traceparent) }),
  component: run.component,
  target: run.target,
  strategy: run.strategy,
});

export const createEngine = (context: EngineContext): Engine => {
  const runner = createRunner(context, (view, state) => {
    const { run } = view;
    if (state.outcome === null || state.endedAt === null) return;
    const verified = state.outcome === 'resolved' ? state.endedAt : null;
    context.log.info({ ...aboutRun(view), outcome: state.outcome, cause: state.cause }, 'a run ended');
    context.telemetry.runEnded({
      component: run.component,
      strategy: run.strategy,
      outcome: state.outcome,
      fromAlertMs: verified === null || run.alertStartedAt === null ? null : verified - run.alertStartedAt,
      fromStartMs: verified === null || state.startedAt === null ? null : verified - state.startedAt,
      durationMs: state.startedAt === null ? null : state.endedAt - state.startedAt,
    });
    decider.wake();
    outbox.wake();
  });
  const decider = createDecider(context, {
    taker: () => runner.taker(),
    admitted(runId, claimed) {
      if (claimed !== null) runner.take(claimed);
      if (claimed?.view.run.id !== runId) runner.wake();
      // An alert waits for the first step; people are told of it a moment later.
      setImmediate(() => outbox.wake());
    },
  });
  const janitor = createJanitor(context);
  const outbox = createOutbox(context);
  const prober = createProber(context);
  const desk = createDesk(context, { decider, runner });
  const intake = createIntake(context, (kept) => decider.offer(kept));
  const haltWatch = createHaltWatch(context, runner);
  const clockWatch = createClockWatch(context, runner);
  const loops: readonly Loop[] = [
    clockWatch,
    decider,
    runner,
    janitor,
    outbox,
    prober,
    haltWatch,
    createStoreWatch(context),
  ];
  return {
    intake,
    desk,
    decider,
    runner,
    recover: () => mergeEmergency(context),
    start() {
      for (const loop of loops) loop.start();
    },
    async settle() {
      await clockWatch.tick();
      await decider.tick();
      await runner.tick();
      await janitor.tick();
      await decider.tick();
      await runner.tick();
      await outbox.tick();
    },
    async stop(graceMs) {
      intake.close();
      await Promise.all([decider.stop(), janitor.stop(), prober.stop(), haltWatch.stop(), clockWatch.stop()]);
      await runner.drain(graceMs);
      await outbox.stop();
    },
  };
};
