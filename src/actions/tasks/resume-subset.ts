// After an outage the first few tasks go ahead and show whether it is over; the others follow when they went well.
import { z } from 'zod';
import { defineAction } from '../../port/action.ts';
import { change, taskId, tasksInput } from './api.ts';

export default defineAction({
  summary: 'Resumes the first few of the given tasks of a task service, and leaves the others as they are.',
  effect: 'change',
  input: z.strictObject({
    ...tasksInput,
    /** In this order; an empty list means none, and is refused. */
    ids: z.array(taskId).min(1).max(10_000),
    /** The first so many; without it all. */
    count: z.int().min(1).max(10_000).optional(),
  }),
  outputs: {
    resumed: 'ids of the tasks that were resumed by this step',
    left: 'ids of those that were left as they are',
    count: 'how many were resumed by this step',
  },
  undo: 'tasks.pause with the ids of `undo.resumed`',
  defaultTimeout: 60_000,
  async run(input, context) {
    const chosen = [...new Set(input.ids)];
    const ids = chosen.slice(0, input.count);
    const outputs = (resumed: readonly string[]) => ({
      resumed,
      left: chosen.filter((id) => !resumed.includes(id)),
      count: resumed.length,
    });
    await change('resume', ids, input, context, outputs);
    return { outputs: outputs(ids), undo: { resumed: ids } };
  },
});
