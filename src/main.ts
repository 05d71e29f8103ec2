// The process edge: arguments in, signals in, exit code out. What the commands do stands in src/cli.
import { systemClock } from './base/clock.ts';
import { runCommandLine } from './cli/terminal/program.ts';
import type { Edge, StopSignal } from './cli/terminal/edge.ts';
import { EXIT_BUG } from './cli/terminal/edge.ts';

const on = (signal: NodeJS.Signals, listener: () => void): (() => void) => {
  process.on(signal, listener);
  return () => void process.off(signal, listener);
};

const edge: Edge = {
  clock: systemClock,
  colors: process.stdout.isTTY && process.stdout.hasColors(),
  out: (line) => void process.stdout.write(`${line}\n`),
  err: (line) => void process.stderr.write(`${line}\n`),
  onStop(stop) {
    const offs = (['SIGINT', 'SIGTERM'] as const).map((signal: StopSignal) => on(signal, () => stop(signal)));
    return () => offs.forEach((off) => off());
  },
  onReload: (reload) => on('SIGHUP', reload),
  exitNow: (code) => process.exit(code),
};

// A reader that went away (`amends runs | head`) is no failure of ours.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
});

try {
  process.exitCode = await runCommandLine(process.argv.slice(2), edge);
} catch (error) {
  edge.err(error instanceof Error ? (error.stack ?? error.message) : String(error));
  process.exitCode = EXIT_BUG;
}
