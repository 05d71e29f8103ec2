// Why the holders of a lock may not be signalled: all of them have to be declared, few, and not ourselves.
import { goesBy, untouchable } from '../ending.ts';
import type { Holder } from './locking.ts';
import { nameHolders } from './shown-holder.ts';

/** Why these may not be signalled, or null; nothing at all is done when one of them may not. */
export const objection = (
  blocking: readonly Holder[],
  only: readonly string[],
  max: number,
  path: string,
): string | null => {
  if (blocking.length === 0) {
    return `${path} is locked, but no process here is seen to hold it; mend: look for it in another container or on another machine (NFS)`;
  }
  if (blocking.length > max)
    return `${blocking.length} processes hold ${path}, more than max (${max}): ${nameHolders(blocking.slice(0, 10))}`;
  const strangers = blocking.filter((holder) => !goesBy(holder, only));
  if (strangers.length > 0) {
    return `${path} is held by ${nameHolders(strangers)}, which \`only\` (${only.join(', ')}) does not name; nothing was signalled; mend: end it by hand, or add its name to \`only\``;
  }
  return blocking.map((holder) => untouchable(holder.pid)).find((reason) => reason !== null) ?? null;
};
