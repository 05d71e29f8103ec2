// What a process has open, so that a leak shows what leaks.
import { z } from 'zod';
import { defineAction } from '../../port/action.ts';
import { absolutePath, processNames } from '../inputs.ts';
import { offThread } from '../off-thread.ts';
import { runningProcess } from './finding.ts';
import type * as looking from './looking.ts';

const jobs = offThread<typeof looking>('./looking.ts', import.meta.url);

export default defineAction({
  summary: 'Counts what a process has open, by kind, against its limit.',
  effect: 'read',
  onlyTells: true,
  input: z.strictObject({
    pid_file: absolutePath,
    only: processNames,
    /** `open_handles` of an earlier look, for released_handles. */
    since_handles: z.int().nonnegative().optional(),
  }),
  outputs: {
    pid: 'the process id',
    name: 'its command name',
    start_time: 'when it was started, RFC 3339',
    open_handles: 'how many files, sockets, pipes and the like it has open',
    soft_limit: 'how many it may have open now, -1 without a limit',
    hard_limit: 'up to which its owner may raise that, -1 without a limit',
    handles_used_percent: 'open_handles of soft_limit, 0 without a limit',
    kinds: 'how many of each kind: file, deleted, socket, pipe, anonymous, device, other',
    most: 'the ten paths that are open most often: path, count',
    released_handles: 'how many fewer than since_handles, 0 without it',
  },
  undo: 'nothing to undo: it only looks',
  defaultTimeout: 15_000,
  async run(input, { allow, clock, signal }) {
    signal.throwIfAborted();
    const found = await runningProcess(input.pid_file, input.only, allow, 'nothing was counted');
    const target = { pid: found.pid, startTicks: found.startTicks, exe: found.exe };
    const handles = await jobs('handlesOf', target, { key: `process ${found.pid}`, clock, signal });
    const { soft, hard } = handles.limit;
    return {
      outputs: {
        pid: found.pid,
        name: found.name,
        start_time: found.startTime,
        open_handles: handles.total,
        soft_limit: soft,
        hard_limit: hard,
        handles_used_percent: soft <= 0 ? 0 : Math.ceil((handles.total / soft) * 1_000) / 10,
        kinds: handles.kinds,
        most: handles.most.map(({ path, count }) => ({ path: path.slice(0, 300), count })),
        released_handles: input.since_handles === undefined ? 0 : input.since_handles - handles.total,
      },
    };
  },
});
