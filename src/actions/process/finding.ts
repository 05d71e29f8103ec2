// Which process is meant: the one that a pid file names, made sure of by the time it started and by its name, so that a
// pid that was given to another process is never touched.
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { ActionError } from '../../base/failure.ts';
import type { Allow } from '../../port/action.ts';
import { allowedPath } from '../allowed.ts';
import { goesBy, untouchable } from '../ending.ts';
import { describeProcess } from '../kernel.ts';
import type { ProcessInfo } from '../kernel.ts';

/** A daemon writes its pid file after it has started; the times of the two come from different clocks. */
const SLACK_MS = 2_000;

/** The pid in a pid file, with when it was written; throws `permanent` for anything but one plain number. */
const readPidFile = async (file: string): Promise<{ readonly pid: number; readonly writtenAt: number }> => {
  const handle = await open(file, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK).catch(
    (error: NodeJS.ErrnoException) => {
      throw new ActionError(
        'permanent',
        `the pid file ${file} cannot be read (${error.code ?? 'unknown'}); mend: is the service running, and is this its pid file?`,
        { cause: error },
      );
    },
  );
  try {
    const stat = await handle.stat();
    const text = stat.isFile() && stat.size <= 32 ? (await handle.readFile('utf8')).trim() : '';
    if (!/^[1-9]\d{0,6}$/.test(text))
      throw new ActionError(
        'permanent',
        `the pid file ${file} holds ${JSON.stringify(text)}, which is not a process id`,
      );
    return { pid: Number(text), writtenAt: stat.mtimeMs };
  } finally {
    await handle.close();
  }
};

export type FoundProcess = { readonly pid: number; readonly info: ProcessInfo | null };

/** `info` is null when it does not run. `nothing` begins what is said when it is not the one that is meant. */
export const findProcess = async (
  pidFile: string,
  only: readonly string[],
  allow: Allow,
  nothing: string,
): Promise<FoundProcess> => {
  const file = await allowedPath(pidFile, allow, 'the pid file');
  const { pid, writtenAt } = await readPidFile(file);
  const reason = untouchable(pid);
  if (reason !== null) throw new ActionError('permanent', `${nothing}: ${file} says ${pid}, and ${reason}`);
  const info = describeProcess(pid);
  if (info === null) return { pid, info };
  if (Date.parse(info.startTime) > writtenAt + SLACK_MS) {
    throw new ActionError(
      'permanent',
      `${nothing}: ${file} is older than process ${pid} (${info.name}), so that pid now belongs to another; mend: remove the stale pid file`,
    );
  }
  if (!goesBy(info, only)) {
    throw new ActionError(
      'permanent',
      `${nothing}: process ${pid} is ${info.name}, which \`only\` (${only.join(', ')}) does not name`,
    );
  }
  return { pid, info };
};

/** As findProcess; one that does not run is a failure. */
export const runningProcess = async (
  pidFile: string,
  only: readonly string[],
  allow: Allow,
  nothing: string,
): Promise<ProcessInfo> => {
  const { pid, info } = await findProcess(pidFile, only, allow, nothing);
  if (info === null) throw new ActionError('permanent', `${nothing}: process ${pid} of ${pidFile} does not run`);
  return info;
};
