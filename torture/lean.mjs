// A lean amends (torture/lean-child.mjs) as a process: started before it is needed, told what to open, killed.
import { spawn } from 'node:child_process';

export const startLean = (start) => {
  const child = spawn(process.execPath, [start], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  const waiting = new Map();
  let calls = 0;
  const gone = new Promise((resolve) => {
    child.once('exit', () => {
      for (const { reject } of waiting.values()) reject(new Error('it is dead'));
      waiting.clear();
      resolve();
    });
  });
  child.on('message', ({ id, answer, error }) => {
    const { resolve, reject } = waiting.get(id) ?? {};
    waiting.delete(id);
    if (error === undefined) resolve?.(answer);
    else reject?.(new Error(error));
  });
  const call = (folder, verb, given) =>
    new Promise((resolve, reject) => {
      calls += 1;
      waiting.set(calls, { resolve, reject });
      child.send({ id: calls, folder, verb, given }, (error) => {
        if (error !== null) reject(error);
      });
    });
  return {
    gone,
    hasEnded: () => child.exitCode !== null || child.signalCode !== null,
    /** Opens the store of the folder and begins to work there. */
    async open(folder, fault) {
      await call(folder, 'open', fault);
      return {
        /** True only for what was kept. */
        post: (body) => call(folder, 'post', body).catch(() => false),
        asked: () => call(folder, 'list', ['runs', { state: 'awaiting_approval' }]),
        escalations: () => call(folder, 'list', ['inbox', { status: 'open', kind: 'escalation' }]),
        disabled: () => call(folder, 'disabled'),
        desk: (name, act) => call(folder, 'desk', [name, act]),
      };
    },
    /** What it holds, all folders together (torture/resources.ts). */
    held: () => call(null, 'held'),
    /** Ends and leaves what V8 has compiled to the next ones (torture/pack.mjs). */
    async keepCode() {
      child.kill('SIGUSR2');
      await gone;
    },
    async kill() {
      child.kill('SIGKILL');
      await gone;
    },
  };
};
