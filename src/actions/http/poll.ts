// Some services say themselves when they are there again; asking until they do is better than a guess at how long it takes.
import { z } from 'zod';
import { ActionError } from '../../base/failure.ts';
import type { Json } from '../../base/json.ts';
import type { ActionContext } from '../../port/action.ts';
import { defineAction } from '../../port/action.ts';
import { duration } from '../inputs.ts';
import type { Credential } from './service.ts';
import { ANY_STATUS, address, at, callService, credentialInput, jsonPointer } from './service.ts';

const LONGEST_SHOWN = 200;

type Until = {
  readonly status: readonly number[];
  readonly pointer?: string | undefined;
  readonly equals?: string | number | boolean | undefined;
};
type Look = { readonly passed: boolean; readonly status: number; readonly value: Json; readonly said: string };

const scalar = (value: Json | undefined): Json =>
  value === undefined || (typeof value === 'object' && value !== null)
    ? null
    : typeof value === 'string'
      ? value.slice(0, LONGEST_SHOWN)
      : value;

/** What is wrong with what was asked ends the wait; what is wrong with the service is waited for. */
const lookOnce = async (
  input: Until & Credential & { readonly url: string; readonly request_timeout: number },
  context: ActionContext,
): Promise<Look> => {
  const { url, pointer, equals } = input;
  try {
    const call = { method: 'GET', url, statuses: ANY_STATUS, timeoutMs: input.request_timeout } as const;
    const answer = await callService(call, input, context);
    const value = pointer === undefined ? undefined : at(answer.json, pointer);
    const statusFits = input.status.includes(answer.status);
    const valueFits = pointer === undefined || (equals === undefined ? value !== undefined : value === equals);
    const shown = pointer === undefined ? '' : `, ${pointer} is ${JSON.stringify(scalar(value))}`;
    return {
      passed: statusFits && valueFits,
      status: answer.status,
      value: scalar(value),
      said: `${answer.status}${shown}`,
    };
  } catch (error) {
    context.signal.throwIfAborted();
    if (!(error instanceof ActionError) || error.kind === 'permanent') throw error;
    return { passed: false, status: 0, value: null, said: error.message };
  }
};

export default defineAction({
  summary:
    'Asks a declared host again and again until its answer has a status, and a member with a value, or time is up.',
  effect: 'read',
  input: z
    .strictObject({
      url: address,
      ...credentialInput,
      status: z.array(z.int().min(200).max(599)).min(1).max(20).default([200]),
      /** A place in the JSON of the reply; without `equals` it only has to be there. */
      pointer: jsonPointer.optional(),
      equals: z.union([z.string().max(1_024), z.number(), z.boolean()]).optional(),
      every: duration.default(2_000),
      within: duration.default(60_000),
      /** Of one request: a server that hangs costs one look, not all of them. */
      request_timeout: duration.default(5_000),
    })
    .refine((input) => input.equals === undefined || input.pointer !== undefined, {
      message: 'equals needs a pointer to what is compared',
    }),
  outputs: {
    status: 'the HTTP status of the last look',
    value: 'what stood at the pointer at the last look, or null',
    looks: 'how often it was asked',
    waited_seconds: 'how long it took, in seconds',
  },
  undo: 'nothing to undo: it only reads',
  defaultTimeout: 90_000,
  async run(input, context) {
    const { clock, signal } = context;
    signal.throwIfAborted();
    const start = clock.monotonic();
    const waited = (): number => Math.round(clock.monotonic() - start);
    for (let looks = 1; ; looks += 1) {
      const look = await lookOnce(input, context);
      const outputs = { status: look.status, value: look.value, looks, waited_seconds: waited() / 1_000 };
      if (look.passed) return { outputs };
      if (waited() + input.every > input.within) {
        throw new ActionError(
          'retryable',
          `${input.url.split('?', 1)[0]} did not answer as expected within ${input.within} ms; the last of ${looks} looks: ${look.said}`,
          { outputs },
        );
      }
      await clock.sleep(Math.max(10, input.every), signal);
    }
  },
});
