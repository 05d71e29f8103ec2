// Tasks that fail and are tried again for ever make an outage worse, and cost money: they wait until it is over.
import { z } from 'zod';
import { ActionError } from '../../base/failure.ts';
import { defineAction } from '../../port/action.ts';
import { afterChange } from '../http/service.ts';
import { change, listAffected, listInput, readTasks, taskId, tasksInput } from './api.ts';

export default defineAction({
  summary: 'Pauses the tasks that a filtered list of a task service shows, if they are not more than expected.',
  effect: 'change',
  input: z
    .strictObject({
      ...tasksInput,
      ...listInput,
      /** In place of a list that is asked for: these and no others. */
      ids: z.array(taskId).min(1).max(10_000).optional(),
    })
    .refine((input) => (input.ids === undefined) !== (input.list_url === undefined), {
      message: 'either list_url or ids says which tasks are meant',
    }),
  outputs: {
    paused: 'ids of the tasks that were paused by this step',
    already: 'ids of those that were paused before',
    count: 'how many were paused by this step',
  },
  undo: 'tasks.resume-subset with the ids of `undo.paused`',
  defaultTimeout: 60_000,
  async run(input, context) {
    const { ids: given, list_url: listUrl } = input;
    const tasks =
      listUrl === undefined
        ? [...new Set(given)].map((id) => ({ id, status: '' }))
        : await listAffected({ ...input, list_url: listUrl }, context);
    const already = tasks.filter(({ status }) => status === 'paused').map(({ id }) => id);
    const ids = tasks.map(({ id }) => id).filter((id) => !already.includes(id));
    const outputs = (paused: readonly string[]) => ({ paused, already, count: paused.length });
    await change('pause', ids, input, context, outputs);
    if (listUrl === undefined) return { outputs: outputs(ids), undo: { paused: ids } };
    // A filter may not show a paused task any more: whoever it does show, and not as paused, still runs.
    const { tasks: after } = await afterChange('they were paused', outputs(ids), () =>
      readTasks({ ...input, list_url: listUrl }, context),
    );
    const running = after.filter(({ id, status }) => status !== 'paused' && ids.includes(id)).map(({ id }) => id);
    if (running.length > 0)
      throw new ActionError('indeterminate', `${running.join(', ')} still run although the pause was taken`, {
        outputs: outputs(ids.filter((id) => !running.includes(id))),
      });
    return { outputs: outputs(ids), undo: { paused: ids } };
  },
});
