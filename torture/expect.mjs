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
