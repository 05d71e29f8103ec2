// What amends itself knows around a run, kept on it as evidence: who is asked at three in the morning should not have to
// put it together from five places.
import { z } from 'zod';
import { ActionError } from '../../base/failure.ts';
import { defineAction } from '../../port/action.ts';

export default defineAction({
  summary:
    'Keeps what amends has on record around this run: recent events, the open inbox, earlier runs and the log of the last one.',
  effect: 'read',
  onlyTells: true,
  input: z.strictObject({}),
  outputs: {
    recent_events: 'incidents and decisions of the component within a day, newest first, at most 30',
    open_inbox: 'what waits for people now, newest first, at most 20',
    earlier_runs: 'the last 5 runs on this target before this one, newest first',
    last_log: 'the last 40 lines of the newest of them',
    degraded_modes: 'the names of those that are on',
  },
  undo: 'nothing to undo: it only reads',
  defaultTimeout: 5_000,
  async run(_input, context) {
    context.signal.throwIfAborted();
    if (context.recall === undefined) throw new ActionError('permanent', 'there is no record to look into here');
    return { outputs: await context.recall() };
  },
});
