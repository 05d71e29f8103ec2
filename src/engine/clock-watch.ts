// Sees to it that a jump of the wall clock loosens nothing: it is written down and paged before its time is believed, and
// for one window of the caps a human decides.
import { formatDuration } from '../base/duration.ts';
import type { ClockJump } from '../base/clock.ts';
import type { EngineContext, Loaded } from './context.ts';
import type { Loop } from './loop.ts';
import { createLoop } from './loop.ts';
import type { Runner } from './runner.ts';
import { LEASE_MS } from './worker.ts';

/** The clock itself holds its time back from the moment of a jump. */
const EVERY_MS = 1_000;

export const createClockWatch = (
  context: EngineContext,
  runner: Pick<Runner, 'loseLeases' | 'wake'>,
): Loop & { tick(): Promise<void> } => {
  const { store, clock, ids, jumps } = context;

  const tick = async (): Promise<void> => {
    const jump = jumps?.jump() ?? null;
    if (jump === null) return;
    // A machine that was suspended for longer than a lease held it in name only: what it was doing is put down, and is
    // taken up as after a crash, with every guard asked anew. Before the jump is settled no lease looks over, so nothing
    // is taken up while it is still being put down.
    if (jump.by > LEASE_MS) await runner.loseLeases(`the clock jumped ${formatDuration(jump.by)} ahead`);
    const told = clock.now();
    const now = told + Math.max(0, jump.by);
    const { clockSuspectUntil } = await store.controls();
    const until = Math.max(now + windowOf(context.loaded()), clockSuspectUntil ?? 0);
    const title = `The wall clock jumped ${directionOf(jump)}: only what a human approves is done`;
    const why = `for ${formatDuration(until - now)}; windows and cooldowns are counted by time that passed`;
    await store.write(
      [
        { type: 'clock.suspect', until },
        { type: 'audit', actor: 'amends', action: 'clock.jumped', subject: 'all', detail: { by_ms: jump.by, until } },
        {
          type: 'inbox.open',
          id: ids.next(),
          kind: 'escalation',
          dedup: 'clock',
          severity: 'SEV2',
          component: null,
          target: null,
          runId: null,
          episodeId: null,
          title,
          body: { by_ms: jump.by, until, why },
          page: { id: ids.next(), topic: 'clock', body: why },
        },
      ],
      told,
    );
    context.log.error({ by_ms: jump.by, until }, 'the wall clock jumped');
    jumps?.settleJump();
    runner.wake();
  };

  return { ...createLoop({ name: 'clock-watch', clock, everyMs: EVERY_MS, log: context.log, tick }), tick };
};

const SECOND_MS = 1_000;
const directionOf = ({ by }: ClockJump): string =>
  `${formatDuration(Math.round(Math.abs(by) / SECOND_MS) * SECOND_MS)} ${by > 0 ? 'ahead' : 'back'}`;

/** One window of the caps: of the component whose first is the longest. */
const windowOf = ({ config }: Loaded): number =>
  Math.max(
    0,
    ...[config.recovery, ...[...config.components.values()].map(({ policy }) => policy)].map(
      ({ attempts }) => attempts[0]?.per ?? 0,
    ),
  );
