// A task service's API as its runbook documents it: POST <url>/<id>/pause and POST <url>/<id>/resume, and a list that
// says which tasks there are.
import { z } from 'zod';
import { ActionError } from '../../base/failure.ts';
import type { Json, JsonObject } from '../../base/json.ts';
import { isObject } from '../../base/json.ts';
import type { ActionContext } from '../../port/action.ts';
import type { Credential } from '../http/service.ts';
import { address, at, callService, credentialInput, jsonPointer } from '../http/service.ts';

export const taskId = z
  .union([z.string(), z.int().nonnegative()])
  .transform(String)
  .refine((id) => /^[A-Za-z0-9_-]{1,128}$/.test(id), { message: 'the id of a task: letters, digits, _ and -' });

export const tasksInput = {
  ...credentialInput,
  /** `https://host/api/v1/tasks` */
  tasks_url: address,
};

export const listInput = {
  /** Which tasks are affected, with the filter in it: `https://host/api/v1/tasks?run_status=retry_scheduled` */
  list_url: address.optional(),
  items: jsonPointer.default('/items'),
  /** More than so many are not touched at all: then it is another matter, and a human's. */
  max: z.int().min(1).max(10_000).default(100),
};

export type Task = { readonly id: string; readonly status: string };

type Listing = { readonly list_url: string; readonly items: string } & Credential;

/** What the list shows now, be it empty; `more` says that it is not all. */
export const readTasks = async (
  given: Listing,
  context: ActionContext,
): Promise<{ readonly tasks: readonly Task[]; readonly more: boolean }> => {
  const { list_url: url, items } = given;
  const { json } = await callService({ method: 'GET', url }, given, context);
  const list: Json | undefined = at(json, items);
  if (!Array.isArray(list))
    throw new ActionError(
      'permanent',
      `${url} has no list at ${items === '' ? 'its top' : items}; mend: give \`items\``,
    );
  const tasks = list.map((entry: unknown) => {
    const task = isObject(entry) ? entry : {};
    const id = taskId.safeParse(task['id'] ?? task['task_id']);
    if (!id.success) throw new ActionError('permanent', `${url} lists a task without a usable id: nothing was done`);
    const status = task['status'];
    return { id: id.data, status: typeof status === 'string' ? status : '' };
  });
  return { tasks, more: isObject(json) && typeof json['next'] === 'string' && json['next'] !== '' };
};

/** Throws `permanent` when there are none, more than `max`, or more than one page. */
export const listAffected = async (
  given: Listing & { readonly max: number },
  context: ActionContext,
): Promise<readonly Task[]> => {
  const { list_url: url, max } = given;
  const { tasks, more } = await readTasks(given, context);
  if (tasks.length === 0)
    throw new ActionError('permanent', `${url} lists no task, so nothing was done; mend: is its filter right?`);
  if (tasks.length > max || more)
    throw new ActionError(
      'permanent',
      `${url} lists ${more ? 'more than one page of' : tasks.length} tasks, and ${max} at most may be touched: nothing was done; mend: narrow the filter, or raise \`max\``,
    );
  return tasks;
};

/** One after the other. What failed is told with what was done by then. */
export const change = async (
  verb: 'pause' | 'resume',
  ids: readonly string[],
  given: { readonly tasks_url: string } & Credential,
  context: ActionContext,
  outputs: (done: readonly string[]) => JsonObject,
): Promise<void> => {
  const done: string[] = [];
  for (const id of ids) {
    const url = `${given.tasks_url.replace(/\/+$/, '')}/${encodeURIComponent(id)}/${verb}`;
    try {
      await callService({ method: 'POST', url, changes: true }, given, context);
    } catch (error) {
      if (!(error instanceof ActionError)) throw error;
      // Some are done: that is not nothing.
      const kind = done.length > 0 ? 'indeterminate' : error.kind;
      throw new ActionError(
        kind,
        `${verb} of task ${id} failed after ${done.length} of ${ids.length}: ${error.message}`,
        {
          cause: error,
          outputs: outputs(done),
        },
      );
    }
    done.push(id);
  }
};
