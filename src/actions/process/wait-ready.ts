// Tells a process that runs from one that is just being started again and again.
import { z } from 'zod';
import { ActionError } from '../../base/failure.ts';
import { defineAction } from '../../port/action.ts';
import { absolutePath, duration, processNames } from '../inputs.ts';
import type { ProcessInfo } from '../kernel.ts';
import { offThread } from '../off-thread.ts';
import { findProcess } from './finding.ts';
import type * as looking from './looking.ts';

const jobs = offThread<typeof looking>('./looking.ts', import.meta.url);
const LOOK_EVERY_MS = 100;

export default defineAction({
  summary: 'Waits until the process of a pid file runs, listens, and has stayed the same for a while.',
  effect: 'read',
  input: z.strictObject({
    pid_file: absolutePath,
    only: processNames,
    /** A TCP port that it, or what it started, has to listen on. */
    listens_on: z.int().min(1).max(65_535).optional(),
    /** It has to be another process than this one: the one before the restart. */
    not_pid: z.int().positive().optional(),
    /** For so long it has to be the same process. */
    stable: duration.default(2_000),
    within: duration.default(30_000),
  }),
  outputs: {
    pid: 'the process id',
    name: 'its command name',
    start_time: 'when it was started, RFC 3339',
    restarts_seen: 'how often another process took its place while we waited',
    waited_seconds: 'how long it took',
  },
  undo: 'nothing to undo: it only waits',
  defaultTimeout: 60_000,
  async run(input, { allow, clock, signal }) {
    const start = clock.monotonic();
    let first: ProcessInfo | null = null;
    let since = start;
    let restarts = 0;
    let last = 'it does not run';
    for (;;) {
      signal.throwIfAborted();
      const now = clock.monotonic();
      const ready = await look();
      if (ready !== null && (first === null || first.pid !== ready.pid || first.startTicks !== ready.startTicks)) {
        if (first !== null) restarts += 1;
        first = ready;
        since = now;
      }
      if (ready === null) since = now;
      else if (now - since >= input.stable)
        return {
          outputs: {
            pid: ready.pid,
            name: ready.name,
            start_time: ready.startTime,
            restarts_seen: restarts,
            waited_seconds: Math.round(now - start) / 1_000,
          },
        };
      else last = `it has been the same process for ${Math.round(now - since)} ms only`;
      if (now - start >= input.within)
        throw new ActionError(
          'retryable',
          `${input.pid_file} is not ready after ${input.within} ms: ${last}${restarts > 0 ? `; it was started anew ${restarts} times meanwhile` : ''}`,
        );
      await clock.sleep(LOOK_EVERY_MS, signal);
    }

    async function look(): Promise<ProcessInfo | null> {
      let found: ProcessInfo | null;
      try {
        found = (await findProcess(input.pid_file, input.only, allow, 'not ready')).info;
      } catch (error) {
        // No pid file yet, or one of the process before: both pass while a service starts.
        if (!(error instanceof ActionError) || error.message.includes('not allowed')) throw error;
        last = error.message;
        return null;
      }
      if (found === null || found.pid === input.not_pid) {
        last = found === null ? 'it does not run' : `it is still process ${found.pid}`;
        return null;
      }
      if (input.listens_on === undefined) return found;
      const target = { pid: found.pid, startTicks: found.startTicks, exe: found.exe };
      const job = { target, port: input.listens_on };
      if (await jobs('listensOn', job, { key: `process ${found.pid}`, clock, signal })) return found;
      last = `process ${found.pid} does not listen on port ${input.listens_on}`;
      return null;
    }
  },
});
