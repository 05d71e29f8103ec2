// Ends or nudges a service that has no supervisor to ask.
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { z } from 'zod';
import { ActionError } from '../../base/failure.ts';
import type { Allow } from '../../port/action.ts';
import { defineAction } from '../../port/action.ts';
import { allowedPath } from '../allowed.ts';
import { endProcesses, goesBy, signalProcess, untouchable } from '../ending.ts';
import { absolutePath, duration, processNames } from '../inputs.ts';
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

/** Null: it does not run. */
const findProcess = async (
  pidFile: string,
  only: readonly string[],
  allow: Allow,
): Promise<{ readonly pid: number; readonly info: ProcessInfo | null }> => {
  const file = await allowedPath(pidFile, allow, 'the pid file');
  const { pid, writtenAt } = await readPidFile(file);
  const reason = untouchable(pid);
  if (reason !== null) throw new ActionError('permanent', `no signal was sent: ${file} says ${pid}, and ${reason}`);
  const info = describeProcess(pid);
  if (info === null) return { pid, info };
  if (Date.parse(info.startTime) > writtenAt + SLACK_MS) {
    throw new ActionError(
      'permanent',
      `no signal was sent: ${file} is older than process ${pid} (${info.name}), so that pid now belongs to another; mend: remove the stale pid file`,
    );
  }
  if (!goesBy(info, only)) {
    throw new ActionError(
      'permanent',
      `no signal was sent: process ${pid} is ${info.name}, which \`only\` (${only.join(', ')}) does not name`,
    );
  }
  return { pid, info };
};

export default defineAction({
  summary: 'Signals the process that a pid file names, after making sure that it is the one that is meant.',
  effect: 'change',
  input: z.strictObject({
    pid_file: absolutePath,
    only: processNames,
    signal: z.enum(['TERM', 'HUP', 'USR1', 'USR2', 'KILL']).default('TERM'),
    /** With TERM: KILL it and all that descends from it after `grace`. */
    escalate: z.boolean().default(false),
    grace: duration.default(5_000),
  }),
  outputs: {
    pid: 'the process id',
    name: 'its command name, empty when it did not run',
    signalled: 'a signal was sent',
    ended: 'it does not run any more (after TERM and KILL; after the others always false)',
    escalated: 'KILL was needed',
  },
  undo: 'it cannot be undone: a supervisor starts the process again',
  defaultTimeout: 30_000,
  async run(input, context) {
    const { allow, clock, signal } = context;
    const { pid, info } = await findProcess(input.pid_file, input.only, allow);
    const ends = input.signal === 'TERM' || input.signal === 'KILL';
    if (info === null) {
      if (!ends)
        throw new ActionError('permanent', `process ${pid} does not run, so there is none to send ${input.signal} to`);
      return { outputs: { pid, name: '', signalled: false, ended: true, escalated: false } };
    }
    signal.throwIfAborted();
    context.began();
    if (!ends) {
      const signalled = signalProcess(info, `SIG${input.signal}`);
      if (!signalled) throw new ActionError('permanent', `process ${pid} ended before it could be signalled`);
      return { outputs: { pid, name: info.name, signalled, ended: false, escalated: false } };
    }
    const kills = input.signal === 'KILL';
    const result = await endProcesses([info], {
      graceMs: kills ? 0 : input.grace,
      kill: kills || input.escalate,
      clock,
      signal,
    });
    const outputs = {
      pid,
      name: info.name,
      signalled: true,
      ended: result.left.length === 0,
      escalated: result.killed.length > 0,
    };
    if (result.left.length === 0) return { outputs };
    const mend = input.escalate ? 'it may be waiting for a disk (state D)' : 'say `escalate: true`, or end it by hand';
    throw new ActionError(
      'permanent',
      `process ${pid} (${info.name}) did not end within ${input.grace} ms; mend: ${mend}`,
      { outputs },
    );
  },
});
