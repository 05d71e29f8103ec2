// How a torment says that something did not hold: the invariant's id first, then the case.
import { check } from './check.ts';

export class Broken extends Error {
  name = 'Broken';
}

export const hold = (id, what, yes) => {
  if (!yes) throw new Broken(`${id}: ${what}`);
};

export const same = (id, what, found, wanted) =>
  hold(
    id,
    `${what}: ${JSON.stringify(found)}, not ${JSON.stringify(wanted)}`,
    JSON.stringify(found) === JSON.stringify(wanted),
  );

/** Every invariant that database and ledger can tell of. */
export const checked = (label, given) => {
  const breaches = check(given);
  if (breaches.length === 0) return;
  const shown = breaches.slice(0, 10).map(({ id, what }) => `  ${id}: ${what}`);
  throw new Broken(`${breaches[0].id}: ${label}, ${breaches.length} breaches\n${shown.join('\n')}`);
};

/** For k = 1, 2, 3, ... until a pass ends without its fault; `pass` sets `came` when it met it. Gives how many it met. */
export const everyK = async (given, pass, most = 1_000) => {
  for (let k = 1; k <= most; k += 1) {
    const fault = { ...given, k, came: null };
    await pass(fault);
    if (fault.came === null) return k - 1;
  }
  return most;
};
