// All loops of the engine as one thing that starts, stops and can be asked to do one round.
import type { Desk } from '../port/desk.ts';
import type { Write } from '../run/writes.ts';
import { createClockWatch } from './clock-watch.ts';
import type { EngineContext } from './context.ts';
import type { Decider } from './decider.ts';
import { createDecider } from './decider.ts';
import { createDesk } from './desk.ts';
import type { Intake } from './intake.ts';
import { createIntake } from './intake.ts';
import { createJanitor } from './janitor.ts';
import type { Loop } from './loop.ts';
import { createLoop } from './loop.ts';
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

/** Whoever begins something looks at the file himself: this only puts it on record. */
const HALT_WATCH_MS = 1_000;

export const createEngine = (context: EngineContext): Engine => {
  const runner = createRunner(context, (view, state) => {
    const { run } = view;
    if (state.outcome === null || state.endedAt === null) return;
    const verified = state.outcome === 'resolved' ? state.endedAt : null;
    context.telemetry.runEnded({
      component: run.component,
      strategy: run.strategy,
      outcome: state.outcome,
      fromAlertMs: verified === null || run.alertStartedAt === null ? null : verified - run.alertStartedAt,
      fromStartMs: verified === null || state.startedAt === null ? null : verified - state.startedAt,
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

const BY_FILE = 'the halt file';
const haltedByFile = (reason: string): readonly Write[] => [
  { type: 'halt', on: true, hard: false, by: BY_FILE, reason },
  { type: 'audit', actor: BY_FILE, action: 'halt', subject: 'all', detail: { reason } },
];
const liftedByFile = (at: number): readonly Write[] => [
  { type: 'halt', on: false, hard: false, by: BY_FILE, reason: 'the file is gone' },
  { type: 'episodes.wake', component: null, at, heldBy: 'halted' },
  { type: 'audit', actor: BY_FILE, action: 'resume', subject: 'all', detail: {} },
];

/** The file is put on record as a halt, so that it is seen, and its time counted, like any other; a file that goes lifts what it began. */
const createHaltWatch = (context: EngineContext, runner: Runner): Loop => {
  let before: string | null = null;
  return createLoop({
    name: 'halt-watch',
    clock: context.clock,
    everyMs: HALT_WATCH_MS,
    log: context.log,
    async tick() {
      const reason = context.halt.reason();
      if (reason === before) return;
      before = reason;
      const at = context.clock.now();
      const { halt } = await context.store.controls();
      if (reason !== null && !halt.on) await context.store.write(haltedByFile(reason), at);
      // Somebody's own halt outlives the file.
      if (reason === null && halt.on && halt.by === BY_FILE) {
        await context.store.write(liftedByFile(at), at);
        runner.wake();
      }
    },
  });
};
