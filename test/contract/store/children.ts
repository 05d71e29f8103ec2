// Starts processes that run child.mjs, and listens to what they tell.
import { fork } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterEach } from '@jest/globals';

export type Told = Readonly<Record<string, unknown>>;
export type Child = {
  readonly process: ChildProcess;
  readonly told: readonly Told[];
  /** The first message, also of those that came before, that has this member. */
  hears(member: string, matches?: (told: Told) => boolean): Promise<Told>;
  /** How it ended. */
  readonly ended: Promise<{ readonly code: number | null; readonly signal: string | null }>;
};

const script = fileURLToPath(new URL('child.mjs', import.meta.url));
const built = fileURLToPath(new URL('../../../dist/store/sqlite.js', import.meta.url));

const running = new Set<ChildProcess>();
afterEach(() => {
  for (const child of running) child.kill('SIGKILL');
});

/** With `execPath` as a shell script in place of node, to set limits before. */
export const startChild = (args: readonly (string | number)[], execPath?: string): Child => {
  if (!existsSync(built)) throw new Error(`${built} is missing: npm run build`);
  const child = fork(script, args.map(String), { execArgv: [], ...(execPath === undefined ? {} : { execPath }) });
  running.add(child);
  const told: Told[] = [];
  const listeners = new Set<() => void>();
  const ended = new Promise<{ code: number | null; signal: string | null }>((resolve) => {
    child.once('exit', (code, signal) => {
      running.delete(child);
      resolve({ code, signal });
    });
  });
  child.on('message', (message) => {
    told.push(message as Told);
    for (const listener of listeners) listener();
  });
  return {
    process: child,
    told,
    ended,
    hears: (member, matches = () => true) =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          const found = told.find((message) => member in message && matches(message));
          if (found === undefined) return;
          listeners.delete(look);
          resolve(found);
        };
        listeners.add(look);
        void ended.then(({ code, signal }) =>
          reject(new Error(`the child ended (${code ?? signal}) before it told '${member}'`)),
        );
        look();
      }),
  };
};
