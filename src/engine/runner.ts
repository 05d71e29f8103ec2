// Claims the runs that may be worked on, and puts them down again when it has to.
import { LeaseLost } from '../base/failure.ts';
import type { RunState } from '../run/state.ts';
import { fold } from '../run/state.ts';
import { evaluatorOf } from '../runbook/expression.ts';
import type { Claimed, RunAlone, Taker } from '../port/store.ts';
import type { EngineContext } from './context.ts';
import type { Loop } from './loop.ts';
import { createLoop } from './loop.ts';
import type { Drive } from './drive.ts';
import { work, LEASE_MS } from './worker.ts';

export type Runner = Loop & {
  /** Claims and drives whatever may be worked on; resolves when nothing more can be claimed and all of it is put down. */
  tick(): Promise<void>;
  /** Takes up one run that may be worked on, and does not wait for its end. False: there is none, or nobody is free. */
  claim(): Promise<boolean>;
  /** Who would take up a run that is admitted now; null while nobody is free. */
  taker(): Taker | null;
  /** Drives a run that was claimed with its admission. */
  take(claimed: Claimed): void;
  /** Ends the running steps' processes at once; their runs go on as after a crash. */
  killSteps(why: string): void;
  /** Puts every run down as if another worker had it; resolves when all are. They are taken up again once their leases end. */
  loseLeases(why: string): Promise<void>;
  /** No new step; steps under way get `graceMs`, then they are ended. */
  drain(graceMs: number): Promise<void>;
  readonly working: number;
};

const POLL_MS = 1_000;

export const createRunner = (context: EngineContext, onRunEnded: (view: RunAlone, state: RunState) => void): Runner => {
  const drives = new Map<string, Promise<void>>();
  const stops = new Map<string, AbortController>();
  let started = false;
  let draining = false;

  const isFree = (): boolean => {
    const most = context.loaded().config.recovery.maxConcurrentTotal * 2;
    return !draining && drives.size < most && context.halt.reason() === null;
  };
  const claimOne = async (): Promise<boolean> => {
    if (!isFree()) return false;
    const claimed = await context.store.claim(context.owner, context.clock.now(), LEASE_MS);
    if (claimed === null) return false;
    take(claimed);
    return true;
  };
  const take = ({ lease, view }: Claimed): void => {
    const stop = new AbortController();
    const drive: Drive = {
      runId: view.run.id,
      plan: view.plan,
      view,
      evaluate: evaluatorOf(view.plan.runbook),
      lease,
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
    start() {
      started = true;
      loop.start();
    },
    taker: () => (started && isFree() ? { owner: context.owner, leaseMs: LEASE_MS } : null),
    take,
    claim: claimOne,
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
