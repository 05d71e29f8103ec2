// Gives a running process room for more open files, as far as its component declares, without a restart.
import { existsSync } from 'node:fs';
import { z } from 'zod';
import { ActionError } from '../../base/failure.ts';
import { defineAction } from '../../port/action.ts';
import { absolutePath, processNames } from '../inputs.ts';
import { isSameProcess } from '../kernel.ts';
import { runningProcess } from './finding.ts';
import { limitOf } from './looking.ts';

const PRLIMIT = ['/usr/bin/prlimit', '/bin/prlimit'].find((path) => existsSync(path)) ?? null;

/** -1 is without a limit. */
const atLeast = (limit: number, wanted: number): boolean => limit === -1 || limit >= wanted;
const shown = (limit: number): string => (limit === -1 ? 'unlimited' : String(limit));

export default defineAction({
  summary: 'Raises a limit of a running process, never beyond the declared maximum and never down.',
  effect: 'change',
  input: z.strictObject({
    pid_file: absolutePath,
    only: processNames,
    resource: z.enum(['nofile', 'nproc']).default('nofile'),
    /** What it may have afterwards. */
    raise_to: z.int().min(1).max(1_048_576),
    /** The declared bound: more than this is refused. */
    max: z.int().min(1).max(1_048_576),
  }),
  outputs: {
    pid: 'the process id',
    name: 'its command name',
    raised: 'the limit was raised; false: it was as high already',
    soft_before: 'what it might have before, -1 without a limit',
    hard_before: 'up to which its owner might raise that, -1 without a limit',
    soft_limit: 'what it may have now',
    hard_limit: 'up to which its owner may raise that now',
  },
  undo: 'not needed: it ends with the process, which starts with its own limits again',
  defaultTimeout: 15_000,
  async run(input, context) {
    const { allow, clock, deadline, marker, signal, spawner } = context;
    signal.throwIfAborted();
    if (input.raise_to > input.max)
      throw new ActionError(
        'permanent',
        `the limit was left as it is: ${input.raise_to} is more than the declared maximum (${input.max})`,
      );
    const found = await runningProcess(input.pid_file, input.only, allow, 'the limit was left as it is');
    const before = limitOf(found.pid, input.resource);
    const outputs = {
      pid: found.pid,
      name: found.name,
      raised: false,
      soft_before: before.soft,
      hard_before: before.hard,
      soft_limit: before.soft,
      hard_limit: before.hard,
    };
    if (atLeast(before.soft, input.raise_to)) return { outputs };
    if (PRLIMIT === null)
      throw new ActionError('permanent', 'prlimit is missing here; mend: install util-linux', { outputs });
    const hard = atLeast(before.hard, input.raise_to) ? shown(before.hard) : String(input.raise_to);
    if (!isSameProcess(found)) throw new ActionError('retryable', `process ${found.pid} ended in between`, { outputs });
    context.began();
    const result = await spawner.run(
      {
        file: PRLIMIT,
        args: ['--pid', String(found.pid), `--${input.resource}=${input.raise_to}:${hard}`],
        env: {},
        cwd: '/',
        stdin: null,
        timeoutMs: Math.max(1, Math.min(5_000, deadline - clock.monotonic())),
        graceMs: 100,
      },
      marker,
      signal,
    );
    if (signal.aborted) throw new Error('called off while the limit was raised');
    if (!isSameProcess(found))
      throw new ActionError('indeterminate', `process ${found.pid} ended while its limit was raised`, { outputs });
    const after = limitOf(found.pid, input.resource);
    const now = { ...outputs, soft_limit: after.soft, hard_limit: after.hard };
    if (!atLeast(after.soft, input.raise_to))
      throw new ActionError(
        'permanent',
        `the limit of process ${found.pid} was not raised: ${result.error ?? (result.stderr.text.trim().slice(0, 200) || 'no reason given')}; mend: amends needs CAP_SYS_RESOURCE for more than the hard limit (${shown(before.hard)}), and the user of the process for the rest`,
        { outputs: now },
      );
    return { outputs: { ...now, raised: true } };
  },
});
