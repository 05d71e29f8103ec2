// The embedding service as the lock playbook handles it: stopped and started by the commands of its supervisor, judged
// by its health endpoint.
import { z } from 'zod';
import { ActionError } from '../../base/failure.ts';
import type { ActionContext } from '../../port/action.ts';
import { sendRequest } from '../http/client.ts';
import type { HttpReply, Method } from '../http/client.ts';
import { absolutePath, duration } from '../inputs.ts';

const ENVIRONMENT = {
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  LANG: 'C.UTF-8',
  TZ: 'UTC',
  HOME: '/',
};
const LOOK_EVERY_MS = 200;
const GRACE_MS = 1_000;
const LONGEST_COMMAND_MS = 60_000;

const text = z
  .string()
  .max(4_096)
  .refine((value) => !value.includes('\0'), { message: 'holds a NUL character' });
const argv = z.tuple([absolutePath], text).refine((words) => words.length <= 64, { message: 'more than 64 arguments' });
export const route = z.string().regex(/^\/[\w./-]{1,200}$/, { message: 'not a path of the service' });

export const serviceInput = {
  /** Of the service, without a path. */
  url: z.string().min(1).max(2_048),
  health_path: route.default('/api/vectors/health'),
};
export const supervisedInput = {
  ...serviceInput,
  /** The declared command that stops it, and returns when it has. */
  stop: argv,
  start: argv,
  ready_within: duration.default(5_000),
};

/** Sends one request; a reply of any status is an answer. */
export const ask = (method: Method, url: string, body: string | null, context: ActionContext): Promise<HttpReply> =>
  sendRequest(
    { method, url, headers: body === null ? {} : { 'Content-Type': 'application/json' }, body, repeatable: true },
    {
      allow: context.allow,
      signal: context.signal,
      traceparent: context.traceparent,
      monotonic: () => context.clock.monotonic(),
      began: () => undefined,
    },
  );

export const LOCK_ERROR = /database is locked|OperationalError.*locked|FAISS.*locked/i;

/** Null: healthy; else what is wrong. */
export const unhealthy = async (url: string, context: ActionContext): Promise<string | null> => {
  try {
    const { status, text: said } = await ask('GET', url, null, context);
    if (status < 200 || status >= 300) return `${url} was answered ${status}`;
    return LOCK_ERROR.test(said) ? `${url} still tells of a lock` : null;
  } catch (error) {
    if (context.signal.aborted || (error instanceof ActionError && error.kind === 'permanent')) throw error;
    return (error as Error).message;
  }
};

/** Asks until it is healthy or the time is up; null: healthy. Called after an effect: nothing here may say that there was none. */
export const waitHealthy = async (url: string, withinMs: number, context: ActionContext): Promise<string | null> => {
  const until = context.clock.monotonic() + withinMs;
  try {
    for (;;) {
      const reason = await unhealthy(url, context);
      if (reason === null || context.clock.monotonic() >= until) return reason;
      await context.clock.sleep(LOOK_EVERY_MS, context.signal);
    }
  } catch (error) {
    if (!context.signal.aborted) throw error;
    throw new Error('called off while the service was waited for', { cause: error });
  }
};

export const refuseUndeclared = (commands: ReadonlyArray<readonly string[]>, { allow }: ActionContext): void => {
  for (const [file = ''] of commands)
    if (!allow.commands.includes(file))
      throw new ActionError(
        'permanent',
        `the command ${file} is not allowed; mend: add "${file}" to allow.commands in the configuration`,
      );
};

/** Runs a command of the supervisor; throws when it does not end well. */
export const supervise = async (command: readonly string[], context: ActionContext): Promise<void> => {
  const { clock, deadline, marker, signal, spawner } = context;
  const [file = '', ...args] = command;
  const left = Math.max(1, Math.min(LONGEST_COMMAND_MS, deadline - clock.monotonic() - GRACE_MS));
  const result = await spawner.run(
    { file, args, env: ENVIRONMENT, cwd: '/', stdin: null, timeoutMs: left, graceMs: GRACE_MS },
    marker,
    signal,
  );
  if (!result.started) throw new ActionError('permanent', `${file} was not started: ${result.error ?? 'unknown'}`);
  if (result.exitCode === 0) return;
  const said = result.stderr.text.trimEnd().split('\n').at(-1)?.slice(0, 200) ?? '';
  // What is called off in the middle ends with the code of the signal.
  const cut = result.exitCode === null || signal.aborted;
  const ended = cut ? 'was ended before it was done' : `ended with ${result.exitCode}: ${said}`;
  throw new ActionError(cut ? 'indeterminate' : 'retryable', `${command.join(' ')} ${ended}`);
};
