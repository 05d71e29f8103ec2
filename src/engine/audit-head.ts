// Tells the log, every minute, where the audit's chain ends: a chain alone cannot show that its end was cut off.
import type { Clock } from '../base/clock.ts';
import type { Log } from '../base/log.ts';
import type { Loop } from './loop.ts';
import { createLoop } from './loop.ts';

const EVERY_MS = 60_000;

export const createAuditHead = (given: {
  readonly clock: Clock;
  readonly log: Log;
  readonly head: () => Promise<{ readonly seq: number; readonly hash: string }>;
}): Loop & { tick(): Promise<void> } => {
  const { clock, log, head } = given;
  let told = 0;
  const tick = async (): Promise<void> => {
    const { seq, hash } = await head();
    if (seq === told) return;
    told = seq;
    log.info({ head: `${seq}:${hash}` }, 'audit head');
  };
  return { ...createLoop({ name: 'audit-head', clock, everyMs: EVERY_MS, log, tick }), tick };
};
