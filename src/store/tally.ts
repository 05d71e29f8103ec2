// The two tallies that the hottest writes move: once for a whole transaction, since a trigger for each row would cost a
// third of what it takes to receive an alert. The others are kept by triggers (migrations/0005_tallies.ts).
import type { Statements } from './driver.ts';
import type { TallyName } from './tables.ts';

const ADD = `update tallies set value = value + ? where name = ? and part = '*'`;

type Moved = Extract<TallyName, 'alerts_undecided' | 'episodes_open'>;

/** Within the transaction that opened or closed the rows; `by` may be negative. */
export const addToTally = (statements: Pick<Statements, 'run'>, name: Moved, by: number): void => {
  if (by !== 0) statements.run(ADD, [by, name]);
};
