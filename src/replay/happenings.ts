// What happened to amends itself, and decides all the same: its clock jumped, a halt file was seen before it was on record,
// it was started anew.
import type { Clock } from '../base/clock.ts';
import type { EngineContext } from '../engine/context.ts';
import type { Store } from '../port/store.ts';
import type { RecordedAct } from './journal.ts';

/** Milliseconds; `until` when a human decides, UTC. */
export type Jump = { readonly by: number; readonly until: number };

export const jumpOf = ({ type, what }: RecordedAct): Jump | null => {
  if (type !== 'control' || what['action'] !== 'clock_jump') return null;
  const { by_ms: by, until } = what;
  const end = typeof until === 'string' ? Date.parse(until) : Number.NaN;
  return typeof by === 'number' && Number.isFinite(end) ? { by, until: end } : null;
};

export type Happenings = Pick<EngineContext, 'halt'> & {
  readonly jumps: NonNullable<EngineContext['jumps']>;
  /** False when it is nothing of this sort. */
  take(act: RecordedAct): Promise<boolean>;
};

export const createHappenings = (
  clock: Pick<Clock, 'now'> & { leapTo(at: number): void },
  store: Pick<Store, 'write'>,
): Happenings => {
  let gains: Array<{ readonly at: number; readonly by: number }> = [];
  /** Somebody saw the file at this time: whoever decided later may have found it gone. */
  let seen: { readonly until: number; readonly file: string } | null = null;
  return {
    halt: { reason: () => (seen !== null && clock.now() <= seen.until ? seen.file : null) },
    // As the clock of amends counts them (src/base/clock.ts).
    jumps: {
      jump: () => null,
      settleJump: () => undefined,
      gainedSince: (since) => gains.reduce((sum, { at, by }) => (at > since ? sum + by : sum), 0),
    },
    async take(act) {
      const jump = jumpOf(act);
      if (jump !== null) {
        await store.write([{ type: 'clock.suspect', until: jump.until }], clock.now());
        if (jump.by <= 0) return true;
        const at = clock.now() + jump.by;
        gains.push({ at, by: jump.by });
        clock.leapTo(at);
        return true;
      }
      if (act.type !== 'control') return false;
      if (act.what['action'] === 'halt_file') {
        const { reason, until } = act.what;
        const last = typeof until === 'string' ? Date.parse(until) : Number.NaN;
        seen = {
          until: Number.isFinite(last) ? last : act.at,
          file: typeof reason === 'string' ? reason : 'the halt file is there',
        };
        return true;
      }
      // What a process knew of its clock went with it.
      if (act.what['action'] === 'start') gains = [];
      return act.what['action'] === 'start';
    },
  };
};
