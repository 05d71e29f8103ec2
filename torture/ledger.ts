// What targets felt, as they wrote it down themselves: the truth that amends' own record is held against.
import { existsSync, readFileSync } from 'node:fs';

/** One effect as its target felt it. `left` is when it was over, null when that was never seen. */
export type Felt = {
  readonly run: string;
  /** `<phase>/<id>` */
  readonly step: string;
  readonly target: string;
  readonly at: number;
  readonly left: number | null;
};

type Line = Omit<Felt, 'left'> & { readonly phase: 'in' | 'out'; readonly left?: number };

/** The ledger's lines, each beginning with the end that belongs to it. */
export const readLedger = (file: string): readonly Felt[] => {
  if (!existsSync(file)) return [];
  const lines = readFileSync(file, 'utf8').split('\n');
  const felt: Felt[] = [];
  for (const line of lines) {
    if (line === '') continue;
    const { phase, left = null, ...entry } = JSON.parse(line) as Line;
    if (phase === 'in') felt.push({ ...entry, left: null });
    else {
      const at = felt.findLastIndex((other) => other.run === entry.run && other.step === entry.step);
      if (felt[at] !== undefined) felt[at] = { ...felt[at], left };
    }
  }
  return felt;
};
