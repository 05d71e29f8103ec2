// A real systemd for one test: the manager of namespaces of its own, so that this machine's own services, mounts and
// settings are not touched. It needs root; nothing but the units of the test is started.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { it } from '@jest/globals';
import type { Servers } from './servers.ts';
import { until } from './servers.ts';

const SYSTEMD = '/lib/systemd/systemd';
const UNSHARE = ['--mount', '--pid', '--cgroup', '--fork', '--kill-child'];

const available =
  process.getuid?.() === 0 &&
  existsSync(SYSTEMD) &&
  spawnSync('unshare', [...UNSHARE, 'true'], { stdio: 'ignore' }).status === 0;

/** Skipped where there is no systemd, or no right to make namespaces. */
export const itOnSystemd: typeof it = available ? it : (it.skip as typeof it);

// Its own /run, so that neither side sees the other's sockets and units; /tmp stays the same folder for both.
const BEGIN = `
mount --make-rprivate /
mount -t tmpfs tmpfs /run
mount -t proc proc /proc
mkdir -p /run/systemd/system
for unit in "$@"; do cp "$unit" /run/systemd/system/; done
printf '[Unit]\\nDefaultDependencies=no\\n' > /run/systemd/system/amends-test.target
export container=oci
exec ${SYSTEMD} --system --unit=amends-test.target --log-target=null --show-status=no
`;

export type Systemd = {
  /** What a command has to begin with to run beside it, where systemctl finds it. */
  readonly inside: readonly string[];
  systemctl(...args: readonly string[]): string;
};

/** `units` by name, as their files' texts. Ended, with all that it runs, by the servers that started it. */
export const startSystemd = async (
  servers: Servers,
  folder: string,
  units: Readonly<Record<string, string>>,
): Promise<Systemd> => {
  const files = Object.entries(units).map(([name, text]) => {
    const file = join(folder, name);
    writeFileSync(file, text);
    return file;
  });
  const unshare = servers.process({
    name: 'systemd',
    file: 'unshare',
    args: [...UNSHARE, 'sh', '-euc', BEGIN, 'sh', ...files],
  });
  const pid = await until('systemd is the first process of its namespace', () => {
    const [child] = readFileSync(`/proc/${unshare.pid}/task/${unshare.pid}/children`, 'utf8').trim().split(' ');
    return (
      child !== undefined && child !== '' && readFileSync(`/proc/${child}/comm`, 'utf8').trim() === 'systemd' && child
    );
  });
  const inside = ['/usr/bin/nsenter', `--target=${pid}`, '--mount', '--pid', '--'];
  const systemctl = (...args: readonly string[]): string => {
    const [file = '', ...rest] = [...inside, '/usr/bin/systemctl', ...args];
    const ran = spawnSync(file, rest, { encoding: 'utf8' });
    if (ran.status !== 0) throw new Error(`systemctl ${args.join(' ')}: ${ran.status} ${ran.stderr}`);
    return ran.stdout;
  };
  await until('systemd answers', () => systemctl('show', '--property=Version').startsWith('Version='));
  return { inside, systemctl };
};
