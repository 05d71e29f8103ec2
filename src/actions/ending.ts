// Ends processes that were chosen by name: each is looked at again right before each signal, since a pid may have been
// given to another process in between.
import type { Clock } from '../base/clock.ts';
import { ActionError } from '../base/failure.ts';
import { describeProcess, identify, isPid, isSameProcess, processTree } from './kernel.ts';
import type { ProcessIdentity } from './kernel.ts';

/** A process that ends as it is asked to has often done so within milliseconds; one that does not is not asked about so often. */
const FIRST_LOOK_MS = 2;
const LOOK_EVERY_MS = 25;
/** The kernel needs a moment to take down a killed process that holds much memory. */
const AFTER_KILL_MS = 2_000;

/** Ourselves and all that we descend from: ending one of those would end this run. */
const ourLine = (): readonly number[] => {
  const line = [process.pid];
  for (let pid = process.ppid; pid > 1 && !line.includes(pid); pid = describeProcess(pid)?.parent ?? 0) line.push(pid);
  return line;
};

/** Why a pid is never signalled, or null. */
export const untouchable = (pid: unknown): string | null => {
  if (typeof pid !== 'number' || !isPid(pid)) return `${JSON.stringify(pid)} is not a process id`;
  if (pid === 1) return 'pid 1 is the init process';
  return ourLine().includes(pid) ? `pid ${pid} is amends itself or one of its parents` : null;
};

/** An executable's base name or its command name (which the kernel cuts at 15 characters). */
export const goesBy = (
  process: { readonly name: string; readonly exe: string | null },
  names: readonly string[],
): boolean => {
  const exe = process.exe
    ?.replace(/ \(deleted\)$/, '')
    .split('/')
    .at(-1);
  return names.some(
    (name) => name === exe || name === process.name || (process.name.length === 15 && name.startsWith(process.name)),
  );
};

/** False: it is gone already. Throws `permanent` when it may not be signalled. */
export const signalProcess = (target: ProcessIdentity, name: NodeJS.Signals): boolean => {
  const reason = untouchable(target.pid);
  if (reason !== null) throw new ActionError('permanent', `no signal was sent: ${reason}`);
  if (!isSameProcess(target)) return false;
  try {
    process.kill(target.pid, name);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
    throw new ActionError(
      'permanent',
      `pid ${target.pid} could not be signalled (${(error as NodeJS.ErrnoException).code ?? 'unknown'}); mend: run amends as the user of that process, or go through its supervisor`,
      { cause: error },
    );
  }
};

export type EndOptions = {
  readonly graceMs: number;
  /** After the grace, KILL what is left and all that descends from it. */
  readonly kill: boolean;
  /** What descends from the targets has to end as well: a parent that goes at once may leave its children behind. */
  readonly tree?: boolean;
  readonly clock: Clock;
  readonly signal: AbortSignal;
};
export type Ended = {
  readonly ended: readonly number[];
  readonly killed: readonly number[];
  readonly left: readonly number[];
};

const waitUntilGone = async (
  targets: readonly ProcessIdentity[],
  ms: number,
  { clock, signal }: EndOptions,
): Promise<readonly ProcessIdentity[]> => {
  const until = clock.monotonic() + ms;
  for (let every = FIRST_LOOK_MS; ; every = Math.min(every * 2, LOOK_EVERY_MS)) {
    const left = targets.filter(isSameProcess);
    if (left.length === 0 || clock.monotonic() >= until) return left;
    if (signal.aborted) throw new Error('called off while processes were being ended', { cause: signal.reason });
    await clock.sleep(every);
  }
};

/** All that descends from them, themselves left out. */
const descendants = (targets: readonly ProcessIdentity[]): readonly ProcessIdentity[] =>
  [...new Set(targets.flatMap((target) => processTree(target.pid)))]
    .filter((pid) => untouchable(pid) === null && !targets.some((target) => target.pid === pid))
    .map(identify)
    .filter((member) => member !== null);

/** TERM, then KILL if asked for. The caller has said `began()`. */
export const endProcesses = async (targets: readonly ProcessIdentity[], options: EndOptions): Promise<Ended> => {
  // Once their parent is gone they descend from init, so they are looked up while it is there.
  const family = options.tree === true ? descendants(targets) : [];
  const signalled = targets.filter((target) => signalProcess(target, 'SIGTERM'));
  // A stopped process sees TERM only when it goes on.
  for (const target of signalled) signalProcess(target, 'SIGCONT');
  let left = await waitUntilGone([...signalled, ...family], options.graceMs, options);
  const killed: number[] = [];
  if (left.length > 0 && options.kill) {
    const members = descendants(left);
    for (const member of [...left, ...members])
      if (signalProcess(member, 'SIGKILL') && !killed.includes(member.pid)) killed.push(member.pid);
    left = await waitUntilGone([...left, ...members], AFTER_KILL_MS, options);
  }
  const leftPids = [...new Set(left.map((target) => target.pid))];
  return {
    ended: signalled.map((target) => target.pid).filter((pid) => !leftPids.includes(pid)),
    killed,
    left: leftPids,
  };
};
