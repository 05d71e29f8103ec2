// What the kernel knows of processes, open files and locks, read from /proc. Everything here is synchronous and may take
// a while on a machine with many open files: call it from a worker thread or a helper process.
import { readFileSync, readdirSync, readlinkSync, statSync } from 'node:fs';
import { rfc3339 } from '../base/clock.ts';

/** Linux reports process times in hundredths of a second on every architecture that Node runs on. */
const TICKS_PER_SECOND = 100;
const LONGEST_COMMAND_LINE = 512;

/** The same pid with another start is another process. */
export type ProcessIdentity = { readonly pid: number; readonly startTicks: number; readonly exe: string | null };

export type ProcessInfo = ProcessIdentity & {
  /** The command name, as `ps` shows it. */
  readonly name: string;
  readonly user: string;
  readonly commandLine: string;
  /** RFC 3339. */
  readonly startTime: string;
  readonly ageSeconds: number;
  readonly state: string;
  readonly parent: number;
  readonly group: number;
};

const readText = (path: string): string | null => {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null;
  }
};

const readLink = (path: string): string | null => {
  try {
    return readlinkSync(path);
  } catch {
    return null;
  }
};

export type ProcessStat = {
  readonly name: string;
  readonly state: string;
  readonly parent: number;
  readonly group: number;
  readonly startTicks: number;
};

/** The name stands in brackets and may hold brackets and blanks itself. */
export const parseStat = (text: string): ProcessStat | null => {
  const open = text.indexOf('(');
  const close = text.lastIndexOf(')');
  if (open < 0 || close < open) return null;
  const rest = text.slice(close + 2).split(' ');
  const startTicks = Number(rest[19]);
  if (!Number.isSafeInteger(startTicks)) return null;
  return {
    name: text.slice(open + 1, close),
    state: rest[0] ?? '?',
    parent: Number(rest[1]),
    group: Number(rest[2]),
    startTicks,
  };
};

export const isPid = (pid: number): boolean => Number.isSafeInteger(pid) && pid > 0 && pid <= 4_194_304;

const statOf = (pid: number): ProcessStat | null => {
  const text = isPid(pid) ? readText(`/proc/${pid}/stat`) : null;
  return text === null ? null : parseStat(text);
};

/** Null when it is gone; a zombie has ended and counts as gone. */
export const identify = (pid: number): ProcessIdentity | null => {
  const stat = statOf(pid);
  if (stat === null || stat.state === 'Z' || stat.state === 'X') return null;
  return { pid, startTicks: stat.startTicks, exe: readLink(`/proc/${pid}/exe`) };
};

export const isSameProcess = (known: ProcessIdentity): boolean => {
  const now = identify(known.pid);
  return now !== null && now.startTicks === known.startTicks && now.exe === known.exe;
};

/** `--password=x`, `--token x` and `scheme://user:password@host` are shown without the secret. */
export const withoutSecrets = (commandLine: string): string =>
  commandLine
    .replace(
      /((?:^|[\s-])[\w-]*(?:pass(?:word|wd|phrase)?|secret|token|api[-_]?key|credential)[\w-]*)(=|\s+)(?!-)\S+/gi,
      '$1$2[redacted]',
    )
    .replace(/(\w:\/\/[^\s:/@]*):[^\s/@]+@/g, '$1:[redacted]@');

const users = (): ReadonlyMap<string, string> => {
  const names = new Map<string, string>();
  for (const line of (readText('/etc/passwd') ?? '').split('\n')) {
    const [name, , uid] = line.split(':');
    if (name !== undefined && uid !== undefined) names.set(uid, name);
  }
  return names;
};

const bootTime = (): number => Number(/^btime (\d+)$/m.exec(readText('/proc/stat') ?? '')?.[1] ?? 0) * 1_000;
const uptimeSeconds = (): number => Number((readText('/proc/uptime') ?? '0').split(' ')[0]);

export const describeProcess = (pid: number): ProcessInfo | null => {
  const stat = statOf(pid);
  const identity = identify(pid);
  if (stat === null || identity === null) return null;
  const uid = /^Uid:\s+(\d+)/m.exec(readText(`/proc/${pid}/status`) ?? '')?.[1] ?? '?';
  const commandLine = (readText(`/proc/${pid}/cmdline`) ?? '').replace(/\0+$/, '').replaceAll('\0', ' ');
  return {
    ...identity,
    name: stat.name,
    user: users().get(uid) ?? uid,
    commandLine: withoutSecrets(commandLine).slice(0, LONGEST_COMMAND_LINE),
    startTime: rfc3339(bootTime() + (stat.startTicks * 1_000) / TICKS_PER_SECOND),
    ageSeconds: Math.max(0, Math.round(uptimeSeconds() - stat.startTicks / TICKS_PER_SECOND)),
    state: stat.state,
    parent: stat.parent,
    group: stat.group,
  };
};

export const pids = (): readonly number[] => {
  try {
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .map(Number);
  } catch {
    return [];
  }
};

/** `pid` and all that descend from it, parents first. */
export const processTree = (pid: number): readonly number[] => {
  const children = new Map<number, number[]>();
  for (const candidate of pids()) {
    const parent = statOf(candidate)?.parent;
    if (parent !== undefined) children.set(parent, [...(children.get(parent) ?? []), candidate]);
  }
  const found: number[] = [];
  const visit = (at: number): void => {
    if (found.includes(at)) return;
    found.push(at);
    for (const child of children.get(at) ?? []) visit(child);
  };
  visit(pid);
  return found;
};

/** Processes that were started with `name=value` in their environment and still run. */
export const pidsWithEnvironment = (name: string, value: string): readonly number[] => {
  const entry = `\0${name}=${value}\0`;
  return pids().filter((pid) => {
    if (pid === process.pid) return false;
    const text = readText(`/proc/${pid}/environ`);
    return text !== null && `\0${text}\0`.includes(entry) && identify(pid) !== null;
  });
};

/** Device and inode, in the form that /proc/locks shows. */
export type FileKey = { readonly device: string; readonly inode: string };

const deviceName = (device: bigint): string => {
  const major = ((device >> 8n) & 0xfffn) | ((device >> 32n) & ~0xfffn);
  const minor = (device & 0xffn) | ((device >> 12n) & ~0xffn);
  return `${major.toString(16).padStart(2, '0')}:${minor.toString(16).padStart(2, '0')}`;
};

export const fileKey = (path: string): FileKey | null => {
  try {
    const stat = statSync(path, { bigint: true });
    return { device: deviceName(stat.dev), inode: String(stat.ino) };
  } catch {
    return null;
  }
};

const sameFile = (left: FileKey, right: FileKey | null): boolean =>
  right !== null && left.device === right.device && left.inode === right.inode;

export type KernelLock = {
  readonly access: 'READ' | 'WRITE';
  readonly pid: number;
  readonly file: FileKey;
  readonly start: number;
  readonly end: number;
};

/** Lines of processes that wait for a lock (`->`) are left out: they hold nothing. */
export const parseLocks = (text: string): readonly KernelLock[] => {
  const locks: KernelLock[] = [];
  for (const line of text.split('\n')) {
    const match =
      /^\d+: (?:POSIX|OFDLCK)\s+\S+\s+(READ|WRITE)\s+(-?\d+) ([0-9a-f]+:[0-9a-f]+):(\d+) (\d+) (\d+|EOF)$/.exec(
        line.trim(),
      );
    if (match === null) continue;
    const [, access, pid, device, inode, start, end] = match;
    locks.push({
      access: access === 'WRITE' ? 'WRITE' : 'READ',
      pid: Number(pid),
      file: { device: device ?? '', inode: inode ?? '' },
      start: Number(start),
      end: end === 'EOF' ? Number.MAX_SAFE_INTEGER : Number(end),
    });
  }
  return locks;
};

export const readLocks = (): readonly KernelLock[] => parseLocks(readText('/proc/locks') ?? '');

/** Whether this kernel tells about locks at all; without it nothing may be concluded from an empty list. */
export const knowsLocks = (): boolean => readText('/proc/locks') !== null;

/** Which of `files` a process has open, by their place in the list. Unreadable processes have none. */
export const openFilesOf = (pid: number, files: readonly FileKey[]): readonly number[] => {
  let names: string[];
  try {
    names = readdirSync(`/proc/${pid}/fd`);
  } catch {
    return [];
  }
  const found = new Set<number>();
  for (const name of names) {
    const link = readLink(`/proc/${pid}/fd/${name}`);
    // Sockets, pipes and the like need no second look.
    if (link === null || !link.startsWith('/')) continue;
    const key = fileKey(`/proc/${pid}/fd/${name}`);
    if (key === null) continue;
    files.forEach((file, index) => {
      if (sameFile(file, key)) found.add(index);
    });
  }
  return [...found];
};

/** Locks on a file. On stacked file systems /proc/locks shows another device, so an open file with that inode counts too. */
export const locksOn = (file: FileKey, locks: readonly KernelLock[] = readLocks()): readonly KernelLock[] =>
  locks.filter((lock) => {
    if (lock.file.inode !== file.inode) return false;
    return lock.file.device === file.device || (lock.pid > 0 && openFilesOf(lock.pid, [file]).length > 0);
  });
