// How much memory a process takes: the baseline before a collection, and what it brought.
import { z } from 'zod';
import { defineAction } from '../../port/action.ts';
import { absolutePath, processNames } from '../inputs.ts';
import { offThread } from '../off-thread.ts';
import { runningProcess } from './finding.ts';
import type * as looking from './looking.ts';

const jobs = offThread<typeof looking>('./looking.ts', import.meta.url);

export default defineAction({
  summary: 'Measures the memory of a process.',
  effect: 'read',
  onlyTells: true,
  input: z.strictObject({
    pid_file: absolutePath,
    only: processNames,
    /** `rss_bytes` of an earlier look, for freed_bytes. */
    since_rss_bytes: z.int().nonnegative().optional(),
  }),
  outputs: {
    pid: 'the process id',
    name: 'its command name',
    start_time: 'when it was started, RFC 3339',
    rss_bytes: 'what of it is in memory',
    pss_bytes: 'the same with shared pages counted by share',
    anonymous_bytes: 'what is not backed by files: mostly its heap',
    swap_bytes: 'what of it is in swap',
    peak_bytes: 'the most it ever had in memory',
    available_bytes: 'what it can have at most: of the machine, or of its control group where that has less',
    memory_used_percent: 'rss_bytes of available_bytes, with one decimal',
    freed_bytes: 'how much less than since_rss_bytes, 0 without it; below zero when it has grown',
  },
  undo: 'nothing to undo: it only looks',
  defaultTimeout: 15_000,
  async run(input, { allow, clock, signal }) {
    signal.throwIfAborted();
    const found = await runningProcess(input.pid_file, input.only, allow, 'nothing was measured');
    const target = { pid: found.pid, startTicks: found.startTicks, exe: found.exe };
    const memory = await jobs('memoryOf', target, { key: `process ${found.pid}`, clock, signal });
    return {
      outputs: {
        pid: found.pid,
        name: found.name,
        start_time: found.startTime,
        rss_bytes: memory.rss,
        pss_bytes: memory.pss,
        anonymous_bytes: memory.anonymous,
        swap_bytes: memory.swap,
        peak_bytes: memory.peak,
        available_bytes: memory.available,
        memory_used_percent: memory.available === 0 ? 0 : Math.ceil((memory.rss / memory.available) * 1_000) / 10,
        freed_bytes: input.since_rss_bytes === undefined ? 0 : input.since_rss_bytes - memory.rss,
      },
    };
  },
});
