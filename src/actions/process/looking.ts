// What a process has open, how much memory it takes, and on which ports it listens, as the kernel tells. For worker
// threads: a process may have a hundred thousand files open.
import { readFileSync, readdirSync, readlinkSync } from 'node:fs';
import { ActionError } from '../../base/failure.ts';
import { isSameProcess, processTree } from '../kernel.ts';
import type { ProcessIdentity } from '../kernel.ts';

const MOST_SHOWN = 10;

const readText = (path: string, pid: number): string => {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'unknown';
    if (code === 'ENOENT' || code === 'ESRCH')
      throw new ActionError('retryable', `process ${pid} ended while it was looked at`);
    throw new ActionError(
      'permanent',
      `process ${pid} may not be looked into (${code}); mend: run amends as the user of that process`,
    );
  }
};

export type Limit = { readonly soft: number; readonly hard: number };
/** -1 is without a limit. */
const numberOf = (text: string | undefined): number => (text === undefined || text === 'unlimited' ? -1 : Number(text));

const LIMIT_NAMES: Readonly<Record<string, string>> = {
  nofile: 'Max open files',
  nproc: 'Max processes',
  memlock: 'Max locked memory',
};

export const limitOf = (pid: number, resource: string): Limit => {
  const name = LIMIT_NAMES[resource] ?? '';
  const line = readText(`/proc/${pid}/limits`, pid)
    .split('\n')
    .find((candidate) => candidate.startsWith(`${name} `));
  const [soft, hard] = line?.slice(name.length).trim().split(/\s+/) ?? [];
  return { soft: numberOf(soft), hard: numberOf(hard) };
};

const kindOf = (link: string): string => {
  if (link.endsWith(' (deleted)')) return 'deleted';
  if (link.startsWith('socket:')) return 'socket';
  if (link.startsWith('pipe:')) return 'pipe';
  if (link.startsWith('anon_inode:')) return 'anonymous';
  if (link.startsWith('/dev/')) return 'device';
  return link.startsWith('/') ? 'file' : 'other';
};

export type Handles = {
  readonly total: number;
  readonly kinds: Readonly<Record<string, number>>;
  /** What is open most often. */
  readonly most: ReadonlyArray<{ readonly path: string; readonly count: number }>;
  readonly limit: Limit;
};

export const handlesOf = (target: ProcessIdentity): Handles => {
  const kinds: Record<string, number> = { file: 0, deleted: 0, socket: 0, pipe: 0, anonymous: 0, device: 0, other: 0 };
  const paths = new Map<string, number>();
  let total = 0;
  let names: readonly string[];
  try {
    names = readdirSync(`/proc/${target.pid}/fd`);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'unknown';
    throw new ActionError(
      code === 'ENOENT' ? 'retryable' : 'permanent',
      `the open files of process ${target.pid} cannot be seen (${code}); mend: run amends as the user of that process`,
    );
  }
  for (const name of names) {
    let link: string;
    try {
      link = readlinkSync(`/proc/${target.pid}/fd/${name}`);
    } catch {
      // Closed in between.
      continue;
    }
    total += 1;
    const kind = kindOf(link);
    kinds[kind] = (kinds[kind] ?? 0) + 1;
    if (link.startsWith('/')) paths.set(link, (paths.get(link) ?? 0) + 1);
  }
  const limit = limitOf(target.pid, 'nofile');
  if (!isSameProcess(target)) throw new ActionError('retryable', `process ${target.pid} ended while it was looked at`);
  const most = [...paths]
    .toSorted((left, right) => right[1] - left[1])
    .slice(0, MOST_SHOWN)
    .map(([path, count]) => ({ path, count }));
  return { total, kinds, most, limit };
};

export type Memory = {
  readonly rss: number;
  readonly pss: number;
  readonly anonymous: number;
  readonly swap: number;
  readonly peak: number;
  /** Of the machine, or of the process' control group where that has less. */
  readonly available: number;
};

const kilobytes = (text: string, name: string): number =>
  Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(text)?.[1] ?? 0) * 1024;

/** The least memory limit of the control groups above a process; null without one. */
const groupLimit = (pid: number): number | null => {
  try {
    const path = /^0::(\/.*)$/m.exec(readFileSync(`/proc/${pid}/cgroup`, 'utf8'))?.[1];
    if (path === undefined) return null;
    const parts = path.split('/').filter(Boolean);
    const limits = parts.map((_, index) => {
      try {
        return Number(readFileSync(`/sys/fs/cgroup/${parts.slice(0, index + 1).join('/')}/memory.max`, 'utf8'));
      } catch {
        return Number.NaN;
      }
    });
    const known = limits.filter((limit) => Number.isSafeInteger(limit));
    return known.length === 0 ? null : Math.min(...known);
  } catch {
    return null;
  }
};

export const memoryOf = (target: ProcessIdentity): Memory => {
  const { pid } = target;
  const status = readText(`/proc/${pid}/status`, pid);
  // Exact where the kernel has it; `status` may lag behind by some pages a processor.
  let rollup = '';
  try {
    rollup = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
  } catch {
    // An older kernel, or a process of another user.
  }
  const machine = kilobytes(readText('/proc/meminfo', pid), 'MemTotal');
  const rss = kilobytes(rollup, 'Rss') || kilobytes(status, 'VmRSS');
  if (!isSameProcess(target)) throw new ActionError('retryable', `process ${pid} ended while it was looked at`);
  return {
    rss,
    pss: kilobytes(rollup, 'Pss') || rss,
    anonymous: kilobytes(rollup, 'Anonymous') || kilobytes(status, 'RssAnon'),
    swap: kilobytes(status, 'VmSwap'),
    peak: kilobytes(status, 'VmHWM'),
    available: Math.min(machine, groupLimit(pid) ?? machine),
  };
};

const LISTENING = '0A';

/** Whether the process, or one that descends from it, listens on a TCP port of any address. */
export const listensOn = ({ target, port }: { readonly target: ProcessIdentity; readonly port: number }): boolean => {
  const inodes = new Set<string>();
  for (const table of ['tcp', 'tcp6']) {
    let text = '';
    try {
      text = readFileSync(`/proc/${target.pid}/net/${table}`, 'utf8');
    } catch {
      // No IPv6, or the process is gone.
    }
    for (const line of text.split('\n').slice(1)) {
      const fields = line.trim().split(/\s+/);
      const [, local, , state] = fields;
      if (state === LISTENING && Number.parseInt(local?.split(':')[1] ?? '', 16) === port) inodes.add(fields[9] ?? '');
    }
  }
  if (inodes.size === 0) return false;
  return processTree(target.pid).some((pid) => {
    try {
      return readdirSync(`/proc/${pid}/fd`).some((name) => {
        try {
          return inodes.has(/^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${name}`))?.[1] ?? '-');
        } catch {
          return false;
        }
      });
    } catch {
      return false;
    }
  });
};
