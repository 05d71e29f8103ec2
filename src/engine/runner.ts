// The worker: claims a run under a lease, folds its events, asks what is next, does it, appends what came of it.
import type { Labels } from '../alert/alert.ts';
import { withTarget } from '../alert/select.ts';
import type { FailureKind } from '../base/failure.ts';
import { IllegalTransition, LeaseLost } from '../base/failure.ts';
import type { JsonObject } from '../base/json.ts';
import type { RunEvent } from '../run/events.ts';
import { conclude, judgeEnd } from '../run/conclusion.ts';
import type { Moment, Verdict } from '../run/guards.ts';
import { firstRefusal, verdictsOf } from '../run/guards.ts';
import type { Command } from '../run/next.ts';
import type { EvaluateCondition } from '../run/next.ts';
import { next } from '../run/next.ts';
import type { Plan } from '../run/plan.ts';
import type { RunState } from '../run/state.ts';
import { apply, fold, workedMs } from '../run/state.ts';
import type { Write } from '../run/writes.ts';
import { pageBlind, planDigest } from '../run/admission.ts';
import type { Present } from '../run/present.ts';
import { NOT_ASKED } from '../run/present.ts';
import { askPresent } from './present.ts';
import { formatDuration } from '../base/duration.ts';
import { evaluatorOf } from '../runbook/expression.ts';
import type { ActionStep } from '../runbook/runbook.ts';
import type { Lease, RunAlone, RunView } from '../port/store.ts';
import { StoreUnavailable } from '../port/store.ts';
import type { EngineContext } from './context.ts';
import type { Loop } from './loop.ts';
import { createLoop } from './loop.ts';
import type { Performance } from './perform.ts';
import type { Addition, Recorded } from './record.ts';
import { record, recordAlone } from './record.ts';
import { performStep, renderStep, requestWrites, lookAt } from './step.ts';
import { verify } from './verify.ts';

export type Runner = Loop & {
  /** Claims and drives whatever may be worked on; resolves when nothing more can be claimed and all of it is put down. */
  tick(): Promise<void>;
  /** Ends the running steps' processes at once; their runs go on as after a crash. */
  killSteps(why: string): void;
  /** Puts every run down as if another worker had it; resolves when all are. They are taken up again once their leases end. */
  loseLeases(why: string): Promise<void>;
  /** No new step; steps under way get `graceMs`, then they are ended. */
  drain(graceMs: number): Promise<void>;
  readonly working: number;
};

export const LEASE_MS = 30_000;
const RENEW_MS = 10_000;
const POLL_MS = 1_000;
const HELD_MS = 1_000;
/** A guard's word about the outside is good for this long. */
const ASK_AGAIN_MS = 15_000;

/** A run that one worker drives. */
type Drive = {
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

type Intended = { readonly key: string; readonly step: ActionStep; readonly try: number; readonly input: JsonObject };

export const createRunner = (context: EngineContext, onRunEnded: (view: RunAlone, state: RunState) => void): Runner => {
  const drives = new Map<string, Promise<void>>();
  const stops = new Map<string, AbortController>();
  let draining = false;

  const claimOne = async (): Promise<boolean> => {
    const most = context.loaded().config.recovery.maxConcurrentTotal * 2;
    if (draining || drives.size >= most || context.halt.reason() !== null) return false;
    const claimed = await context.store.claim(context.owner, context.clock.now(), LEASE_MS);
    if (claimed === null) return false;
    const stop = new AbortController();
    const { view } = claimed;
    const drive: Drive = {
      runId: view.run.id,
      plan: view.plan,
      view,
      evaluate: evaluatorOf(view.plan.runbook),
      lease: claimed.lease,
      state: fold(view.plan, view.events),
      stop,
      askedAt: Number.NEGATIVE_INFINITY,
      intended: null,
    };
    stops.set(drive.runId, stop);
    const done = work(context, drive, () => draining, onRunEnded)
      .catch((error: unknown) => {
        if (error instanceof LeaseLost)
          context.log.warn({ run_id: drive.runId, why: error.message }, 'the run was lost to its lease');
        else if (!stop.signal.aborted)
          context.log.error(
            { run_id: drive.runId, error },
            'a run was put down and is taken up again when its lease ends',
          );
      })
      .finally(() => {
        stops.delete(drive.runId);
        drives.delete(drive.runId);
        loop.wake();
      });
    drives.set(drive.runId, done);
    return true;
  };
  const claimAll = async (): Promise<void> => {
    while (await claimOne()) {
      // Each claim is a transaction of its own; go on until nothing is due.
    }
  };
  const loop = createLoop({ name: 'runner', clock: context.clock, everyMs: POLL_MS, log: context.log, tick: claimAll });
  const killSteps = (why: string): void => {
    for (const stop of stops.values()) stop.abort(new Error(why));
  };
  return {
    ...loop,
    async tick() {
      await claimAll();
      while (drives.size > 0) {
        await Promise.all(drives.values());
        await claimAll();
      }
    },
    killSteps,
    async loseLeases(why) {
      for (const stop of stops.values()) stop.abort(new LeaseLost(why));
      await Promise.all(drives.values());
    },
    async drain(graceMs) {
      draining = true;
      await loop.stop();
      const patience = new AbortController();
      await Promise.race([
        Promise.all(drives.values()),
        context.clock.sleep(graceMs, patience.signal).catch(() => undefined),
      ]);
      patience.abort(new Error('done'));
      killSteps('amends is stopping');
      await Promise.all(drives.values());
    },
    get working() {
      return drives.size;
    },
  };
};

const work = async (
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
  const next = (): void => {
    context.clock.after(RENEW_MS, () => {
      if (!on) return;
      context.store.renew(drive.runId, drive.lease, context.clock.now(), LEASE_MS).then(
        (lease) => {
          drive.lease = lease;
          if (on) next();
        },
        (error: unknown) => {
          if (error instanceof LeaseLost) drive.stop.abort(error);
          else if (on) next();
        },
      );
    });
  };
  next();
  return { stop: () => void (on = false) };
};

type Add = Parameters<typeof record>[3];
type AddAlone = Parameters<typeof recordAlone>[3];

const append = async (context: EngineContext, drive: Drive, add: Add): Promise<Recorded | null> => {
  const recorded = await record(context, drive.runId, drive.lease, add);
  if (recorded !== null) drive.state = recorded.state;
  return recorded;
};

/** What depends on the run alone. */
const extend = async (context: EngineContext, drive: Drive, add: AddAlone): Promise<void> => {
  const recorded = await recordAlone(context, drive.runId, drive.lease, add);
  if (recorded !== null) drive.state = recorded.state;
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
      await append(context, drive, (view) =>
        askWrites(context, drive, key, step.approve.question, view.now + step.approve.expires),
      );
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

const failure = (step: string, kind: FailureKind, error: string, began: boolean): RunEvent => ({
  type: 'step_failed',
  step,
  kind,
  error,
  outputs: {},
  ms: 0,
  retryAt: null,
  began,
});

export const concluding = (
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

/** The guards once more: time has passed since they were asked. */
const verdictAt = (
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

/** Claimed, asked once more, begun, and the first step intended: one commit, since an alert waits for it. */
const start = async (context: EngineContext, drive: Drive, claimed: RunEvent): Promise<boolean> => {
  let goOn = true;
  const present = await askPresent(context, drive.plan);
  const recorded = await append(context, drive, (view, state) => {
    if (state.stop !== null || state.refusal !== null) return { events: [claimed], writes: [] };
    const refusal = verdictAt(context, 'start', view, state, present);
    if (refusal === null) return begin(context, drive, view, state, [claimed, { type: 'started' }]);
    goOn = false;
    if (waitsForBetter(refusal)) {
      return {
        events: [claimed, { type: 'parked', why: refusal.detail, notBefore: view.now + HELD_MS }],
        writes: pageBlind(
          { plan: view.plan, episodeId: view.run.episodeId, inboxId: context.ids.next(), notifyId: context.ids.next() },
          refusal,
        ),
        release: true,
      };
    }
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

/** What may be over in a moment is waited for, until it is stale; everything else withdraws the run, to be decided anew. */
const waitsForBetter = ({ guard, inputs }: Verdict): boolean =>
  guard === 'halted' ||
  guard === 'concurrency' ||
  (guard === 'unconfirmed' && inputs['state'] === 'unreachable') ||
  (guard === 'unhealthy' && inputs['state'] === 'unknown');

const remaining = (drive: Drive, now: number): number =>
  Math.max(1, drive.plan.runbook.timeout - workedMs(drive.state, now));

const bounds = (drive: Drive, key: string, step: ActionStep, now: number): number => {
  const forward = key.startsWith('before/') || key.startsWith('steps/');
  return forward ? Math.min(step.timeout, remaining(drive, now)) : step.timeout;
};

/** The intent is committed before the effect, the result after it. */
const runStep = async (
  context: EngineContext,
  drive: Drive,
  key: string,
  step: ActionStep,
  attempt: number,
): Promise<boolean> => {
  const rendered = renderStep(drive.plan, drive.runId, drive.state, key, step);
  if (!rendered.ok) {
    await extend(context, drive, () => ({ events: [failure(key, 'permanent', rendered.error, false)], writes: [] }));
    return true;
  }
  let held: string | null = null;
  const forward = step.effect !== 'read' && drive.state.undoing === null && drive.state.outcome === null;
  const waited = context.clock.monotonic() - drive.askedAt > ASK_AGAIN_MS;
  const present = forward && waited ? await askPresent(context, drive.plan) : NOT_ASKED;
  if (forward && waited) drive.askedAt = context.clock.monotonic();
  const recorded = await append(context, drive, (view, state) => {
    // After an approval in the middle every guard is asked again, as at a start.
    const refusal = verdictAt(context, forward && state.approvedAnew ? 'start' : 'step', view, state, present);
    if (refusal?.guard === 'halted' || (forward && refusal !== null && waitsForBetter(refusal))) {
      held = refusal.detail;
      drive.askedAt = Number.NEGATIVE_INFINITY;
      return {
        events: [{ type: 'parked', why: held, notBefore: view.now + HELD_MS }],
        writes: pageBlind(
          { plan: view.plan, episodeId: view.run.episodeId, inboxId: context.ids.next(), notifyId: context.ids.next() },
          refusal,
        ),
        release: true,
      };
    }
    if (forward && refusal !== null && state.stop === null) {
      const why = refusal.guard === 'unconfirmed' ? 'resolved' : `${refusal.guard}: ${refusal.detail}`;
      return { events: [{ type: 'stop_requested', by: 'amends', why }], writes: [] };
    }
    // A stop or a resolution may have been written since the command was made.
    const fresh = next(view.plan, state, view.now, drive.evaluate);
    if (fresh.do !== 'step' || fresh.key !== key) return { events: [], writes: [] };
    return {
      events: [{ type: 'step_started', step: key, try: attempt, input: context.redactor.value(rendered.shown) }],
      writes: [],
    };
  });
  if (held !== null) return false;
  const intended = recorded?.added.some(({ event }) => event.type === 'step_started') === true;
  if (intended) drive.intended = { key, step, try: attempt, input: rendered.input };
  return true;
};

const performIntended = async (
  context: EngineContext,
  drive: Drive,
  { key, step, input, try: attempt }: Intended,
): Promise<void> => {
  drive.intended = null;
  const performance = await performStep(
    context,
    drive.plan,
    drive.runId,
    key,
    step,
    input,
    bounds(drive, key, step, context.clock.now()),
    drive.stop.signal,
  );
  drive.stop.signal.throwIfAborted();
  context.telemetry.step(
    step.uses,
    performance.ok ? 'succeeded' : performance.kind === 'indeterminate' ? 'unknown' : 'failed',
    performance.ms,
  );
  await keepResult(
    context,
    drive,
    attempt,
    (now) => resultEvent(key, step, attempt, performance, now),
    (view) => (performance.ok ? requestWrites(context, view, performance.requests) : []),
  );
};

const KEEP_AGAIN_MS = 1_000;

/** What happened is written down, come what may: in the emergency journal while the store cannot be written. */
const keepResult = async (
  context: EngineContext,
  drive: Drive,
  attempt: number,
  eventAt: (now: number) => StepResult,
  writesFor: (view: RunAlone) => readonly Write[],
): Promise<void> => {
  let kept = false;
  for (;;) {
    try {
      await extend(context, drive, (view) => ({ events: [eventAt(view.now)], writes: writesFor(view) }));
      if (kept) context.emergency.settled();
      return;
    } catch (error) {
      if (!(error instanceof StoreUnavailable)) throw error;
      if (!kept) context.emergency.keep({ runId: drive.runId, try: attempt, event: eventAt(context.clock.now()) });
      kept = true;
      await context.clock.sleep(KEEP_AGAIN_MS, drive.stop.signal);
    }
  }
};

type StepResult = Extract<RunEvent, { readonly type: 'step_succeeded' | 'step_failed' | 'step_unknown' }>;

const resultEvent = (
  key: string,
  step: ActionStep,
  attempt: number,
  performance: Performance,
  now: number,
): StepResult => {
  if (performance.ok)
    return {
      type: 'step_succeeded',
      step: key,
      outputs: performance.outputs,
      ms: performance.ms,
      undo: performance.undo,
    };
  const harmless = step.effect === 'read' || step.idempotent;
  const { kind, error, outputs, began, ms } = performance;
  if (kind === 'indeterminate' && !harmless && step.probe === null) return { type: 'step_unknown', step: key, error };
  const again = (kind === 'retryable' && (harmless || !began)) || (kind === 'indeterminate' && harmless);
  const retryAt =
    again && attempt < step.retry.attempts ? now + step.retry.delay * step.retry.factor ** (attempt - 1) : null;
  return { type: 'step_failed', step: key, kind, error, outputs, ms, retryAt, began };
};

/** A read-only look tells what became of a step that a crash left open. */
const settleUnknown = async (
  context: EngineContext,
  drive: Drive,
  key: string,
  probe: ActionStep,
): Promise<boolean> => {
  const rendered = renderStep(drive.plan, drive.runId, drive.state, key, probe);
  const result = rendered.ok
    ? await performStep(
        context,
        drive.plan,
        drive.runId,
        `${key}/probe`,
        probe,
        rendered.input,
        probe.timeout,
        drive.stop.signal,
      )
    : null;
  await append(context, drive, () => {
    if (result === null || !result.ok) {
      const failed = result === null || result.kind !== 'permanent' ? 'its probe could not tell' : null;
      return {
        events: [
          failed === null
            ? failure(key, 'permanent', 'interrupted; its probe says that it did not happen', false)
            : { type: 'step_unknown', step: key, error: `interrupted; ${failed}` },
        ],
        writes: [],
      };
    }
    return { events: [{ type: 'step_succeeded', step: key, outputs: result.outputs, ms: result.ms }], writes: [] };
  });
  return true;
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

/** A component that a reload took away has no target that anything could be about. */
const isAbout = (context: EngineContext, { component, target }: Plan, labels: Labels): boolean => {
  const declared = context.loaded().config.components.get(component.name);
  if (declared === undefined) return false;
  const found = withTarget(declared, labels);
  return found.found && found.target.name === target.name;
};

const runVerify = async (context: EngineContext, drive: Drive): Promise<boolean> => {
  const left = remaining(drive, context.clock.now());
  if (drive.state.verification === null) {
    await extend(context, drive, (view) => ({
      events: [{ type: 'verify_started', deadline: view.now + left }],
      writes: [],
    }));
  }
  const deadline = context.clock.monotonic() + left;
  const limit = new AbortController();
  const timer = context.clock.after(left, () =>
    limit.abort(new Error(`not verified within ${formatDuration(drive.plan.runbook.timeout)}`)),
  );
  const onStop = (): void => limit.abort(drive.stop.signal.reason);
  drive.stop.signal.addEventListener('abort', onStop, { once: true });
  try {
    const checks = await verify(
      {
        engine: context,
        signal: limit.signal,
        deadline,
        isTarget: (labels) => isAbout(context, drive.plan, labels),
        look: (check) => lookAt(context, drive.plan, drive.runId, drive.state, check, limit.signal),
      },
      drive.plan.runbook.verify,
    ).catch((error: unknown) => [
      { check: 'verify', passed: false, detail: error instanceof Error ? error.message : String(error) },
    ]);
    drive.stop.signal.throwIfAborted();
    const passed = checks.length > 0 && checks.every((check) => check.passed);
    await extend(context, drive, () => ({
      events: [{ type: 'verify_ended', passed, checks: context.redactor.value(checks) }],
      writes: [],
    }));
  } finally {
    timer.cancel();
    drive.stop.signal.removeEventListener('abort', onStop);
  }
  return true;
};
