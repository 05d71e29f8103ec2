// `amends <command>` as a process of its own, with what it said and the code it ended with.
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { root } from './servers.ts';

export type Ended = { readonly code: number | null; readonly out: string; readonly err: string };
export type Launched = {
  readonly pid: number;
  /** Both streams so far, in the order in which they came. */
  output(): string;
  exited(): boolean;
  readonly ended: Promise<Ended>;
};
export type Launcher = {
  launch(
    args: readonly string[],
    options: { readonly cwd: string; readonly env?: Readonly<Record<string, string>> },
  ): Launched;
  /** Ends, by KILL, what a failed test has left. */
  endAll(): Promise<void>;
};

/** Settings of the terminal that the tests run in must not reach what is tested. */
const environment = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('AMENDS_')));

export const createLauncher = (): Launcher => {
  const running: Array<{ readonly child: ChildProcess; readonly ended: Promise<Ended> }> = [];
  return {
    launch(args, { cwd, env = {} }) {
      const child = spawn(process.execPath, [join(root, 'bin/amends'), ...args], {
        cwd,
        env: { ...environment, ...env },
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      let [out, err, both] = ['', '', ''];
      child.stdout.on('data', (chunk: Buffer) => {
        out += chunk.toString();
        both += chunk.toString();
      });
      child.stderr.on('data', (chunk: Buffer) => {
        err += chunk.toString();
        both += chunk.toString();
      });
      const ended = new Promise<Ended>((resolve, reject) => {
        child.once('error', reject);
        child.once('close', (code) => resolve({ code, out, err }));
      });
      running.push({ child, ended });
      return {
        pid: child.pid ?? -1,
        output: () => both,
        exited: () => child.exitCode !== null || child.signalCode !== null,
        ended,
      };
    },
    async endAll() {
      for (const { child, ended } of running.splice(0)) {
        if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
        await ended;
      }
    },
  };
};
