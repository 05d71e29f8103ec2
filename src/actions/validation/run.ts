// An incident is over when everything on a list says so, and not before: commands that must end well, and addresses
// that must answer.
import { z } from 'zod';
import { ActionError } from '../../base/failure.ts';
import type { Json } from '../../base/json.ts';
import type { ActionContext } from '../../port/action.ts';
import { defineAction } from '../../port/action.ts';
import { allowedCommand } from '../allowed.ts';
import runCommand from '../command/run.ts';
import { address, at, callService, credentialInput, jsonPointer } from '../http/service.ts';
import { absolutePath, duration } from '../inputs.ts';

const LONGEST_SHOWN = 400;

const argument = z.string().max(4_096);
const command = z.strictObject({
  name: z.string().min(1).max(100),
  /** The absolute path of an executable in allow.commands, then its arguments. */
  argv: z.tuple([absolutePath], argument).refine((argv) => argv.length <= 64, { message: 'more than 64 arguments' }),
  cwd: absolutePath.optional(),
});
const endpoint = z
  .strictObject({
    url: address,
    status: z.int().min(200).max(599).optional(),
    pointer: jsonPointer.optional(),
    equals: z.union([z.string().max(1_024), z.number(), z.boolean()]).optional(),
  })
  .refine((given) => given.equals === undefined || given.pointer !== undefined, {
    message: 'equals needs a pointer to what is compared',
  });

type Result = { readonly name: string; readonly passed: boolean; readonly said: string };

const endOf = (output: Json | undefined): string =>
  typeof output === 'string' ? output.trimEnd().slice(-LONGEST_SHOWN) : '';

const tryCommand = async (given: z.output<typeof command>, limit: number, context: ActionContext): Promise<Result> => {
  const { clock } = context;
  const deadline = Math.min(context.deadline, clock.monotonic() + limit);
  try {
    const input = runCommand.input.parse({ argv: given.argv, ...(given.cwd === undefined ? {} : { cwd: given.cwd }) });
    const { outputs } = await runCommand.run(input, { ...context, deadline });
    return { name: given.name, passed: true, said: endOf(outputs['stdout']) };
  } catch (error) {
    if (context.signal.aborted || !(error instanceof ActionError)) throw error;
    const last = endOf(error.outputs?.['stdout']);
    return { name: given.name, passed: false, said: `${error.message}${last === '' ? '' : `\n${last}`}` };
  }
};

const tryEndpoint = async (
  given: z.output<typeof endpoint>,
  limit: number,
  credential: Parameters<typeof callService>[1],
  context: ActionContext,
): Promise<Result> => {
  const name = `GET ${given.url.split('?', 1)[0]}`;
  try {
    const statuses = given.status === undefined ? {} : { statuses: [given.status] };
    const call = { method: 'GET', url: given.url, timeoutMs: limit, ...statuses } as const;
    const { json, status, durationMs } = await callService(call, credential, context);
    if (given.pointer === undefined) return { name, passed: true, said: `${status} in ${durationMs} ms` };
    const value = at(json, given.pointer);
    const passed = given.equals === undefined ? value !== undefined : value === given.equals;
    return { name, passed, said: `${status}, ${given.pointer} is ${JSON.stringify(value ?? null).slice(0, 200)}` };
  } catch (error) {
    context.signal.throwIfAborted();
    if (!(error instanceof ActionError)) throw error;
    return { name, passed: false, said: error.message };
  }
};

export default defineAction({
  summary:
    'Runs a list of declared commands and asks a list of addresses, all of them, and fails unless every one passes.',
  effect: 'change',
  input: z
    .strictObject({
      ...credentialInput,
      commands: z.array(command).max(50).default([]),
      endpoints: z.array(endpoint).max(50).default([]),
      /** Of one command. */
      command_timeout: duration.default(120_000),
      /** Of one request. */
      request_timeout: duration.default(10_000),
    })
    .refine((input) => input.commands.length + input.endpoints.length > 0, {
      message: 'an empty list would pass without having looked at anything',
    }),
  outputs: {
    passed: 'how many passed',
    failed: 'names of those that did not',
    results: 'each with its name, whether it passed, and what it said',
  },
  undo: 'not needed: it is there to look, though nothing keeps a command from more than that',
  defaultTimeout: 600_000,
  async run(input, context) {
    context.signal.throwIfAborted();
    // Before anything of the list is done: it is the list that is wrong, and no answer of anybody.
    for (const { argv } of input.commands) allowedCommand(argv[0] ?? '', context.allow);
    // Endpoints ask only; a command may do anything.
    if (input.commands.length > 0) context.began();
    const results: Result[] = [];
    for (const each of input.endpoints) results.push(await tryEndpoint(each, input.request_timeout, input, context));
    for (const each of input.commands) results.push(await tryCommand(each, input.command_timeout, context));
    const failed = results.filter(({ passed }) => !passed);
    const outputs = {
      passed: results.length - failed.length,
      failed: failed.map(({ name }) => name),
      results: results.map((result) => ({ ...result, said: result.said.slice(0, LONGEST_SHOWN) })),
    };
    if (failed.length === 0) return { outputs };
    const [first] = failed;
    throw new ActionError(
      'retryable',
      `${failed.length} of ${results.length} did not pass: ${outputs.failed.join(', ')}; the first said: ${first?.said.slice(0, 300) ?? ''}`,
      { outputs },
    );
  },
});
