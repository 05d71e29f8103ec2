// I14: what a process holds, so that a case can be asked whether it gave everything back: processes, file descriptors,
// timers, temporary files, and memory.
import { spawn } from 'node:child_process';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { Clock } from '../src/base/clock.ts';

export type Resources = {
  /** What it has started, by pid, and what those have. */
  readonly processes: readonly string[];
  readonly descriptors: number;
  /** What they lead to, for whoever has to find out whose they are. */
  readonly open?: readonly string[];
  /** Those that keep the process alive, and those that wait on a clock of the case's own. */
  readonly timers: number;
  /** Of amends, in the folders for temporary files, by path. */
  readonly files: readonly string[];
  /** Bytes in use after a collection; null where that was not looked at. */
  readonly memory: number | null;
};

/** The parent of each process on this machine. */
const parents = (): ReadonlyMap<string, string> =>
  new Map(
    readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .flatMap((pid): Array<[string, string]> => {
        try {
          const [state, parent] = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ').at(-1)?.split(' ') ?? [];
          // One that has ended and waits to be taken note of holds nothing.
          return state === 'Z' ? [] : [[pid, parent ?? '']];
        } catch {
          return [];
        }
      }),
  );

const below = (pid: string, of: ReadonlyMap<string, string>): readonly string[] =>
  [...of].flatMap(([child, parent]) => (parent === pid ? [child, ...below(child, of)] : []));

const processesOf = (pid: number): readonly string[] => below(String(pid), parents());

const openBy = (pid: number): readonly string[] =>
  names(`/proc/${pid}/fd`).map((descriptor) => {
    try {
      return readlinkSync(`/proc/${pid}/fd/${descriptor}`);
    } catch {
      // The one by which the folder itself is read.
      return 'gone';
    }
  });

const names = (folder: string): readonly string[] => {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
};

const descriptorsOf = (pid: number): { descriptors: number; open: readonly string[] } => {
  const open = openBy(pid);
  return { descriptors: open.length, open };
};

/** Files in memory that another process has open are its own: another amends may be at work on this machine. */
const isForeign = (path: string, ours: ReadonlySet<string>): boolean =>
  names('/proc').some(
    (pid) =>
      /^\d+$/.test(pid) &&
      !ours.has(pid) &&
      names(`/proc/${pid}/fd`).some((descriptor) => {
        try {
          return readlinkSync(`/proc/${pid}/fd/${descriptor}`).startsWith(path);
        } catch {
          return false;
        }
      }),
  );

const SHARED_MEMORY = '/dev/shm';
/** What a run of the torture calls its folder for temporary files; all that is in there is its own. */
const OWN_FOLDER = 'amends-torture-run-';
const temporary = (): readonly string[] => {
  const folder = tmpdir();
  const shared = names(SHARED_MEMORY).filter((name) => name.startsWith('amends'));
  const ours = shared.length === 0 ? new Set<string>() : new Set([String(process.pid), ...processesOf(process.pid)]);
  return [
    ...(basename(folder).startsWith(OWN_FOLDER) ? names(folder).map((name) => join(folder, name)) : []),
    ...shared.map((name) => join(SHARED_MEMORY, name)).filter((path) => !isForeign(path, ours)),
  ];
};

let collect: (() => void) | null = null;
/** What is in use once nothing is left that nobody holds. */
const used = (): number => {
  if (collect === null) {
    setFlagsFromString('--expose-gc');
    collect = runInNewContext('gc') as () => void;
  }
  // What the first one lets go of outside the heap is only gone with the second.
  collect();
  collect();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
};

/** Between two looks, since a collection takes a tenth of a second. */
const LOOK_EVERY_MS = 1_000;
/** Fewer say nothing about a direction. */
const FEWEST_LOOKS = 9;

export type MemoryWatch = {
  /** Whoever is at rest says so; it is looked at now and then. */
  look(): void;
  /** What was in use each time, in bytes. */
  readonly seen: readonly number[];
};

/** Looks from now on; `every` milliseconds lie between two of them. */
export const createMemoryWatch = (every = LOOK_EVERY_MS, inUse: () => number = used): MemoryWatch => {
  const seen: number[] = [];
  let last = Number.NEGATIVE_INFINITY;
  return {
    seen,
    look() {
      if (performance.now() - last < every) return;
      seen.push(inUse());
      last = performance.now();
    },
  };
};

let watch = createMemoryWatch();
/** Of this process, through one torment; each rig that is closed looks. */
export const memory = {
  begin: (): void => void (watch = createMemoryWatch()),
  look: (): void => watch.look(),
  seen: (): readonly number[] => watch.seen,
};

/** Where a straight line through what was seen after the first third begins and ends; null when that was too little. */
export const course = (seen: readonly number[]): { readonly from: number; readonly to: number } | null => {
  if (seen.length < FEWEST_LOOKS) return null;
  const rest = seen.slice(Math.ceil(seen.length / 3));
  const middle = (rest.length - 1) / 2;
  const mean = rest.reduce((sum, one) => sum + one, 0) / rest.length;
  const slope =
    rest.reduce((sum, one, index) => sum + (index - middle) * (one - mean), 0) /
    rest.reduce((sum, _, index) => sum + (index - middle) ** 2, 0);
  return { from: mean - slope * middle, to: mean + slope * middle };
};

/** Null: it does not grow, or it cannot be said. */
export const growing = (seen: readonly number[]): string | null => {
  const found = course(seen);
  if (found === null || found.to <= found.from * MORE + LINE_SLACK_BYTES) return null;
  return `memory goes up from ${mib(found.from)} to ${mib(found.to)} MiB over ${seen.length} looks, the first third left out`;
};

/** How long the main thread of a process was ready and had no processor, in milliseconds: what others took from it. */
export const waitedForProcessor = (pid: number): number =>
  Number(readFileSync(`/proc/${pid}/schedstat`, 'latin1').split(' ')[1]) / 1_000_000;

/** A clock whose timers can be counted, those too that keep no process alive. */
export const countedClock = <Real extends Clock>(clock: Real): Real & { waiting(): number } => {
  const timers = new Set<object>();
  return {
    ...clock,
    waiting: () => timers.size,
    after(ms, run) {
      const mark = {};
      timers.add(mark);
      const timer = clock.after(ms, () => {
        timers.delete(mark);
        run();
      });
      return {
        cancel() {
          timers.delete(mark);
          timer.cancel();
        },
      };
    },
  };
};

let kept: Promise<void> | null = null;
/**
 * What a process keeps for good from its first child and its first socket on, it has from now on: the pipe by which the
 * loop hears of signals, and /dev/null, which libuv holds open for the moment in which there are no descriptors left.
 */
export const keepForGood = (): Promise<void> =>
  (kept ??= (async () => {
    await new Promise((resolve) => void spawn('true', { stdio: 'ignore' }).once('exit', resolve));
    const server = createServer();
    await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
    await new Promise((resolve) => void server.close(resolve));
  })());

/** Of this process. `held` are timers on a clock of the case's own. A collection takes a tenth of a second. */
export const resources = (held = 0, withMemory = false): Resources => ({
  processes: processesOf(process.pid),
  ...descriptorsOf(process.pid),
  timers: process.getActiveResourcesInfo().filter((type) => type === 'Timeout').length + held,
  files: temporary(),
  memory: withMemory ? used() : null,
});

/** The helper for commands is kept for a while once it was needed, and a socket to it. */
const isHelper = (pid: string): boolean => {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes('spawner-child');
  } catch {
    return false;
  }
};

/** Room for what cannot be written otherwise: it is taken a minute after the start, and kept. */
const RESERVED = 'emergency.ndjson';

/** Of another process, as far as can be seen from outside, with the files of its record. */
export const heldBy = (pid: number, folder: string): Resources => {
  const [helpers, processes] = [processesOf(pid).filter(isHelper), processesOf(pid).filter((one) => !isHelper(one))];
  const files = readdirSync(folder).filter((name) => name !== RESERVED);
  const { descriptors, open } = descriptorsOf(pid);
  return { processes, descriptors: descriptors - helpers.length, open, timers: 0, files, memory: null };
};

/** Of 10 %, as it is allowed; what is measured itself takes some. */
const MORE = 1.1;
const SLACK_BYTES = 1_048_576;
/** A line swings more: code is loaded late, and one look finds half a case at work. */
const LINE_SLACK_BYTES = 4 * SLACK_BYTES;

/** What was there before may be gone, nothing may be there that was not. */
export const notGivenBack = (before: Resources, after: Resources): readonly string[] => {
  const fresh = (what: 'processes' | 'files'): readonly string[] =>
    after[what].filter((one) => !before[what].includes(one));
  const found: string[] = [];
  const [processes, files] = [fresh('processes'), fresh('files')];
  if (processes.length > 0) found.push(`${processes.length} processes are left: ${processes.join(', ')}`);
  if (files.length > 0) found.push(`${files.length} temporary files are left: ${files.slice(0, 5).join(', ')}`);
  for (const what of ['descriptors', 'timers'] as const)
    if (after[what] > before[what])
      found.push(`${after[what]} ${what}, ${before[what]} before${what === 'timers' ? '' : namesOf(before, after)}`);
  const more = notMore({ before: before.memory, after: after.memory });
  return more === null ? found : [...found, more];
};

/** Of memory alone; null: no more than is allowed, or it was not looked at. */
export const notMore = ({ before, after }: { before: number | null; after: number | null }): string | null =>
  before === null || after === null || after <= before * MORE + SLACK_BYTES
    ? null
    : `${mib(after)} MiB of memory, ${mib(before)} MiB before`;

/** Several may lead to the same: each that was there before takes one away. */
const namesOf = ({ open: old = [] }: Resources, { open: now = [] }: Resources): string => {
  const left = [...old];
  const fresh = now.filter((one) => {
    const at = left.indexOf(one);
    if (at >= 0) left.splice(at, 1);
    return at < 0;
  });
  return fresh.length === 0 ? '' : `; new are ${fresh.slice(0, 12).join(', ')}`;
};

export const mib = (bytes: number): number => Math.round(bytes / 104_857.6) / 10;
