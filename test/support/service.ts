// Starts the test service under its supervisor, in a folder of its own.
import { fork, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { copyFileSync, existsSync, linkSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { eventually } from './action-context.ts';
import { endHolder } from './holder.ts';

const here = fileURLToPath(new URL('.', import.meta.url));
const SUPERVISOR = join(here, 'supervisor.mjs');

export type Settings = {
  readonly leakMegabytes?: number;
  readonly handles?: number;
  readonly batchSize?: number;
  readonly crashAfter?: number;
  /** It hears what it is asked and does nothing. */
  readonly deaf?: boolean;
  readonly port?: number;
};

export type Service = {
  readonly folder: string;
  readonly pidFile: string;
  /** As `connect.service` names it. */
  readonly connect: { status: string[]; start: string[]; stop: string[]; restart: string[] };
  /** What allow.commands has to name. */
  readonly command: string;
  pid(): number;
  port(): number;
  state(): Promise<{ batch_size: number | null; handles: number; garbage: number; collected: number; pid: number }>;
  configure(settings: Settings): void;
  end(): Promise<void>;
};

export const SERVICE_NAME = 'shop-service';

/** Resolves once the service listens (or at once when it is meant to crash). `program` is node's arguments, the folder last. */
export const startService = async (
  root: string,
  settings: Settings = {},
  program: readonly string[] = ['--expose-gc', join(here, 'service.mjs')],
  name: string = SERVICE_NAME,
): Promise<Service> => {
  const folder = join(root, `service-${Math.random().toString(36).slice(2, 8)}`);
  mkdirSync(folder);
  const executable = join(root, name);
  if (!existsSync(executable)) {
    try {
      linkSync(process.execPath, executable);
    } catch {
      copyFileSync(process.execPath, executable);
    }
  }
  const configure = (next: Settings): void => writeFileSync(join(folder, 'settings.json'), JSON.stringify(next));
  configure(settings);
  const socket = join(folder, 's');
  const daemon: ChildProcess = fork(SUPERVISOR, ['serve', socket, executable, ...program, folder], {
    execArgv: [],
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    detached: true,
  });
  await new Promise((resolve) => daemon.once('message', resolve));
  const pidFile = join(folder, 'service.pid');
  const ask = (verb: string): string[] => [process.execPath, SUPERVISOR, verb, socket];
  const port = (): number => Number(readFileSync(join(folder, 'port'), 'utf8'));
  const service: Service = {
    folder,
    pidFile,
    connect: { status: ask('status'), start: ask('start'), stop: ask('stop'), restart: ask('restart') },
    command: process.execPath,
    pid: () => Number(readFileSync(pidFile, 'utf8')),
    port,
    async state() {
      const response = await fetch(`http://127.0.0.1:${port()}/state`, { signal: AbortSignal.timeout(5_000) });
      return (await response.json()) as Awaited<ReturnType<Service['state']>>;
    },
    configure,
    async end() {
      const asked = spawn(process.execPath, [SUPERVISOR, 'shutdown', socket], { stdio: 'ignore' });
      await new Promise((resolve) => asked.once('exit', resolve));
      await endHolder(daemon);
    },
  };
  if (settings.crashAfter === undefined) await eventually(() => existsSync(pidFile));
  return service;
};
