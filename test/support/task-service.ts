// A task service with the endpoints that its recovery procedure documents: pause and resume of a task, a list by the
// state of its runs, the summary of runs, logs. Running tasks are scheduled for retry while the provider is out.
import type { JsonServer, Reply } from './json-server.ts';
import { startJsonServer } from './json-server.ts';

export type Task = { readonly id: string; status: 'running' | 'paused'; run_status: 'running' | 'retry_scheduled' };
export type TaskService = JsonServer & {
  tasks: Task[];
  /** Of running tasks: they fail while this is true, and recover when it is not. */
  failing: boolean;
  /** Ids whose pause or resume is answered with 500. */
  readonly stubborn: Set<string>;
};

export const startTaskService = async (count: number): Promise<TaskService> => {
  const settle = (): void => {
    for (const task of server.tasks)
      if (task.status === 'running') task.run_status = server.failing ? 'retry_scheduled' : 'running';
  };
  const answer = ({ method, path, query }: { method: string; path: string; query: URLSearchParams }): Reply => {
    settle();
    const [, id, verb] = /^\/api\/v1\/tasks\/([\w-]+)\/(pause|resume)$/.exec(path) ?? [];
    if (id !== undefined && method === 'POST') {
      const task = server.tasks.find((one) => one.id === id);
      if (task === undefined) return { status: 404, json: { detail: 'no such task' } };
      if (server.stubborn.has(id)) return { status: 500, json: { detail: 'database is locked' } };
      task.status = verb === 'pause' ? 'paused' : 'running';
      settle();
      return { json: { id, status: task.status } };
    }
    if (path === '/api/v1/tasks') {
      const wanted = query.get('run_status');
      const items = server.tasks.filter((task) => wanted === null || task.run_status === wanted);
      return { json: { items, next: null } };
    }
    if (path === '/api/v1/metrics/runs-summary') {
      const of = (status: string): number =>
        server.tasks.filter((task) => task.status === 'running' && task.run_status === status).length;
      const paused = server.tasks.filter((task) => task.status === 'paused').length;
      return { json: { running: of('running'), retry_scheduled: of('retry_scheduled'), paused } };
    }
    if (path === '/api/v1/logs')
      return {
        json: {
          items: server.failing ? [{ level: 'error', code: 'llm_timeout', message: 'no answer within 60 s' }] : [],
        },
      };
    return { status: 404, json: { detail: 'Not Found' } };
  };
  const server: TaskService = Object.assign(await startJsonServer(answer), {
    tasks: Array.from({ length: count }, (_, index): Task => ({
      id: `task-${index + 1}`,
      status: 'running',
      run_status: 'running',
    })),
    failing: false,
    stubborn: new Set<string>(),
  });
  return server;
};
