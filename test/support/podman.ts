// A real container engine for one test file: podman's service with a store of its own, and a small image that holds a
// shell and a Redis.
import { execFileSync, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { binaryOf } from './requires.ts';
import { until } from './servers.ts';

export type Podman = {
  readonly socket: string;
  readonly folder: string;
  /** The podman command on this store; its output. */
  run(...args: readonly string[]): string;
  /** The process ids inside of a container, the first process first. */
  pids(container: string): readonly number[];
  stop(): Promise<void>;
};

/** What a sandbox without the right to set resource limits needs; elsewhere it does no harm. */
const CONF = `
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
`;

const copyWithLibraries = (binary: string, root: string): void => {
  mkdirSync(join(root, 'bin'), { recursive: true });
  copyFileSync(binary, join(root, 'bin', 'redis-server'));
  const libraries = execFileSync('ldd', [binary], { encoding: 'utf8' }).matchAll(/(\/[^\s]+)\s+\(0x/g);
  for (const [, library] of libraries) {
    const to = join(root, library ?? '');
    mkdirSync(dirname(to), { recursive: true });
    copyFileSync(library ?? '', to);
  }
};

const makeRoot = (folder: string, version: string): string => {
  const root = join(folder, `rootfs-${version}`);
  copyWithLibraries(binaryOf('redis-server') ?? 'redis-server', root);
  copyFileSync('/usr/bin/busybox', join(root, 'bin', 'busybox'));
  for (const name of ['sh', 'sleep', 'cat', 'echo', 'false', 'touch', 'kill'])
    symlinkSync('busybox', join(root, 'bin', name));
  for (const name of ['data', 'etc', 'tmp']) mkdirSync(join(root, name), { recursive: true });
  writeFileSync(join(root, 'etc', 'version'), version);
  return root;
};

export const startPodman = async (): Promise<Podman> => {
  const folder = mkdtempSync(join(tmpdir(), 'amends-podman-'));
  const socket = join(folder, 'podman.sock');
  const conf = join(folder, 'containers.conf');
  writeFileSync(conf, CONF);
  const env = { ...process.env, CONTAINERS_CONF: conf };
  const store = ['--root', join(folder, 'root'), '--runroot', join(folder, 'run')];
  const podman = binaryOf('podman') ?? 'podman';
  const run = (...args: readonly string[]): string =>
    execFileSync(podman, [...store, ...args], {
      env,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: 60_000,
    });
  for (const version of ['1', '2']) {
    const root = makeRoot(folder, version);
    const archive = join(folder, `image-${version}.tar`);
    execFileSync('tar', ['-C', root, '-cf', archive, '.']);
    run('import', archive, `localhost/tiny:${version}`);
    rmSync(archive);
    rmSync(root, { recursive: true });
  }
  const service: ChildProcess = spawn(podman, [...store, 'system', 'service', '-t', '0', `unix://${socket}`], {
    env,
    stdio: ['ignore', 'ignore', 'ignore'],
  });
  const gone = new Promise<void>((resolve) => void service.once('exit', () => resolve()));
  await until('podman listens', () => existsSync(socket) && listens(socket));
  return {
    socket,
    folder,
    run,
    pids: (container) =>
      run('top', container, 'hpid')
        .split('\n')
        .slice(1)
        .map(Number)
        .filter((pid) => pid > 0),
    async stop() {
      // A frozen one, too.
      run('rm', '--all', '--force', '--time', '0');
      service.kill('SIGTERM');
      await gone;
      try {
        execFileSync('umount', ['-R', '-l', join(folder, 'root', 'overlay')], { stdio: 'ignore' });
      } catch {
        // Not mounted: its driver does without.
      }
      rmSync(folder, { recursive: true, force: true });
    },
  };
};

const listens = (socket: string): Promise<boolean> =>
  new Promise((resolve) => {
    const made = connect(socket);
    made.once('connect', () => {
      made.destroy();
      resolve(true);
    });
    made.once('error', () => resolve(false));
  });
