// How a torment says that something did not hold: the invariant's id first, then the case.
import { check, checkHeld } from './check.ts';

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

const broken = (label, breaches) => {
  if (breaches.length === 0) return;
  const shown = breaches.slice(0, 10).map(({ id, what }) => `  ${id}: ${what}`);
  throw new Broken(`${breaches[0].id}: ${label}, ${breaches.length} breaches\n${shown.join('\n')}`);
};

/** Every invariant that database and ledger can tell of: I1 to I13. */
export const checked = (label, given) => broken(label, check(given));

/** I14, as soon as all is given back, at the latest after five seconds; `now` says what is held. */
export const givenBack = async (label, before, now) => {
  for (const end = performance.now() + 5_000; ;) {
    const held = { before, after: await now() };
    if (checkHeld(held).length === 0 || performance.now() > end) return checkedHeld(label, held);
    await new Promise((resolve) => void setTimeout(resolve, 20));
  }
};
export const checkedHeld = (label, held) => broken(label, checkHeld(held));

/**
 * For k = 1, 2, 3, ... until a pass ends without its fault; `pass` sets `came` when it met it. Gives how many it met. The
 * first pass goes without: the effects that it leaves as `effects` are the `reference` of all others.
 */
export const everyK = async (given, pass, most = 1_000) => {
  const plain = { ...given, k: 0, came: null };
  await pass(plain);
  for (let k = 1; k <= most; k += 1) {
    const fault = { ...given, k, came: null, reference: plain.effects };
    await pass(fault);
    if (fault.came === null) return k - 1;
  }
  return most;
};
