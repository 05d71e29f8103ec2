// Puts the halt file on record as a halt, so that it is seen, and its time counted, like any other.
import type { Write } from '../run/writes.ts';
import type { EngineContext } from './context.ts';
import type { Loop } from './loop.ts';
import { createLoop } from './loop.ts';
import type { Runner } from './runner.ts';

/** Whoever begins something looks at the file himself: this only puts it on record. */
const HALT_WATCH_MS = 1_000;

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

/** A file that goes lifts what it began. */
export const createHaltWatch = (
  context: Pick<EngineContext, 'store' | 'clock' | 'log' | 'halt'>,
  runner: Pick<Runner, 'wake'>,
): Loop & { tick(): Promise<void> } => {
  const { clock, log } = context;
  let before: string | null = null;
  const tick = async (): Promise<void> => {
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
  };
  return { ...createLoop({ name: 'halt-watch', clock, everyMs: HALT_WATCH_MS, log, tick }), tick };
};
