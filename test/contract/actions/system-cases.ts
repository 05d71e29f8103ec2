// Samples of input for the actions on files, processes and services, for the contract of every action.
import { execFileSync, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import snapshot from '../../../src/actions/files/snapshot.ts';
import type { JsonObject } from '../../../src/base/json.ts';
import type { ActionContext } from '../../../src/port/action.ts';
import { HOUR, fileOfAge } from '../../support/small-disk.ts';

type Case = {
  readonly good: () => Promise<JsonObject> | JsonObject;
  readonly long?: () => Promise<JsonObject> | JsonObject;
};

let made = 0;
let lookedAt: ChildProcess | null = null;
const ended = (child: ChildProcess | null): void => void child?.kill('SIGKILL');

/** What has to be allowed beside the folder. */
export const systemCommands = (folder: string): readonly string[] => [join(folder, 'supervisor')];
export const endSystemCases = (): void => ended(lookedAt);

export const systemCases = (folder: string, context: () => ActionContext): Readonly<Record<string, Case>> => {
  const pidFile = join(folder, 'looked-at.pid');
  const script = join(folder, 'supervisor');
  const process = (): JsonObject => {
    ended(lookedAt);
    lookedAt = spawn('/usr/bin/sleep', ['1000'], { stdio: 'ignore' });
    writeFileSync(pidFile, `${lookedAt.pid}\n`);
    return { pid_file: pidFile, only: ['sleep', 'node'] };
  };
  /** A supervisor that only keeps a note of what it was told. */
  const service = (state: 'up' | 'down', hangs = false): JsonObject => {
    const note = `${script}.note`;
    writeFileSync(note, state);
    writeFileSync(
      script,
      `#!/bin/sh\ncase "$1" in start) ${hangs ? 'sleep 100;' : ''} echo up > ${note} ;; stop) ${hangs ? 'sleep 100;' : ''} echo down > ${note} ;; status) grep -q up ${note} || exit 3 ;; esac\n`,
    );
    chmodSync(script, 0o755);
    return { service: { status: [script, 'status'], start: [script, 'start'], stop: [script, 'stop'] } };
  };
  const below = (): string => join(folder, `system-${(made += 1)}`);
  return {
    'files.access': { good: () => ({ path: fileOfAge(below(), HOUR) }) },
    'files.clean': {
      good() {
        const root = below();
        fileOfAge(join(root, 'old'), 25 * HOUR);
        return { roots: [root] };
      },
    },
    'files.permissions': {
      good() {
        const path = fileOfAge(below(), HOUR);
        chmodSync(path, 0o600);
        return { path, mode: '0640' };
      },
    },
    'files.rotate': {
      good() {
        const logs = below();
        fileOfAge(join(logs, 'app.log'), HOUR, 11 * 2 ** 20);
        return { folders: [logs] };
      },
    },
    'files.restore': {
      async good() {
        const path = below();
        fileOfAge(join(path, 'data'), HOUR);
        const input = { path, snapshots: below() };
        await snapshot.run(snapshot.input.parse(input), context());
        return input;
      },
    },
    'files.snapshot': {
      good() {
        const path = below();
        fileOfAge(join(path, 'data'), HOUR);
        return { path, snapshots: below() };
      },
    },
    'process.handles': { good: process },
    'process.limits': {
      good() {
        const named = process();
        execFileSync('prlimit', ['--pid', String(lookedAt?.pid), '--nofile=100:']);
        return { ...named, raise_to: 200, max: 200 };
      },
    },
    'process.memory': { good: process },
    'process.wait-ready': { good: process, long: () => ({ ...process(), listens_on: 1 }) },
    'service.restart': { good: () => service('up'), long: () => service('up', true) },
    'service.start': { good: () => service('down'), long: () => service('down', true) },
    'service.status': { good: () => service('up') },
    'service.stop': { good: () => service('up'), long: () => service('up', true) },
    'files.usage': { good: () => ({ path: folder }) },
  };
};
