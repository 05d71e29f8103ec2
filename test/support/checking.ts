// `amends check`, and other commands that need no server, run in this process: what they said and how they ended.
import { systemClock } from '../../src/base/clock.ts';
import type { Edge } from '../../src/cli/terminal/edge.ts';
import { runCommandLine } from '../../src/cli/terminal/program.ts';

export type Said = { readonly code: number; readonly out: string; readonly err: string };

export const runHere = async (argv: readonly string[]): Promise<Said> => {
  const out: string[] = [];
  const err: string[] = [];
  const edge: Edge = {
    clock: systemClock,
    colors: false,
    out: (line) => void out.push(line),
    err: (line) => void err.push(line),
    onStop: () => () => undefined,
    onReload: () => () => undefined,
    exitNow: () => undefined,
  };
  const code = await runCommandLine(argv, edge);
  return { code, out: out.join('\n'), err: err.join('\n') };
};
