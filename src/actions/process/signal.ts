// Ends or nudges a service that has no supervisor to ask.
import { z } from 'zod';
import { ActionError } from '../../base/failure.ts';
import { defineAction } from '../../port/action.ts';
import { endProcesses, signalProcess } from '../ending.ts';
import { absolutePath, duration, processNames } from '../inputs.ts';
import { findProcess } from './finding.ts';

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
    const { pid, info } = await findProcess(input.pid_file, input.only, allow, 'no signal was sent');
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
      tree: kills || input.escalate,
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
