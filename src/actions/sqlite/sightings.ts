// How long a lock has been held. The kernel does not say, so it is counted from when this process first saw the holder
// with it: never more than the truth.
import type { Clock } from '../../base/clock.ts';
import type { Holder } from './locking.ts';

const FORGET_MS = 3_600_000;
const seen = new Map<string, { readonly since: number; last: number }>();

/** Seconds since the oldest of those that block was first seen holding this file; 0 when none does. */
export const lockAge = (path: string, holders: readonly Holder[], clock: Clock): number => {
  const now = clock.monotonic();
  const present = new Set<string>();
  let age = 0;
  for (const holder of holders) {
    if (!holder.blocking) continue;
    const key = `${path}\0${holder.pid}@${holder.startTicks}`;
    present.add(key);
    const entry = seen.get(key) ?? { since: now, last: now };
    entry.last = now;
    seen.set(key, entry);
    age = Math.max(age, now - entry.since);
  }
  for (const [key, entry] of seen) {
    if ((key.startsWith(`${path}\0`) && !present.has(key)) || now - entry.last > FORGET_MS) seen.delete(key);
  }
  return Math.round(age / 1_000);
};

/** A probe comes twice within it. */
const FRESH_MS = 90_000;
type Wait = { readonly ms: number; readonly written: string };
const stuck = new Map<string, Wait & { readonly at: number }>();
const stuckKey = (path: string, holder: string): string => `${path}\0${holder}`;

/** Somebody waited `ms` for the lock in vain while these held it, before the wait and after it; `written` is from before it. */
export const noteStuck = (
  path: string,
  { holders, ms, written }: Wait & { readonly holders: readonly string[] },
  clock: Clock,
): void => {
  const at = clock.monotonic();
  for (const [key, entry] of stuck) if (key.startsWith(`${path}\0`) || at - entry.at > FRESH_MS) stuck.delete(key);
  for (const holder of holders) stuck.set(stuckKey(path, holder), { ms, written, at });
};

/**
 * For how long it was lately waited in vain for every one of them: milliseconds, 0 when for one of them nobody did, or when
 * something was written since: then the lock was let go, and who holds it is at work.
 */
export const stuckFor = (path: string, holders: readonly string[], written: string, clock: Clock): number => {
  const now = clock.monotonic();
  const waits = holders.map((holder) => {
    const entry = stuck.get(stuckKey(path, holder));
    return entry === undefined || entry.written !== written || now - entry.at > FRESH_MS ? 0 : entry.ms;
  });
  return waits.length === 0 ? 0 : Math.min(...waits);
};
