// Changes something at another service; a request that may have arrived is never simply sent again.
import { z } from 'zod';
import { defineAction } from '../../port/action.ts';
import { exchange, exchangeInput, exchangeOutputs } from './exchange.ts';

const json = z.json();

export default defineAction({
  summary: 'Sends a request that changes something to a declared host.',
  effect: 'change',
  input: z
    .strictObject({
      ...exchangeInput,
      method: z.enum(['POST', 'PUT', 'PATCH', 'DELETE']).default('POST'),
      json: json.optional(),
      body: z
        .string()
        .max(1024 * 1024)
        .optional(),
      content_type: z
        .string()
        .regex(/^[\w.+-]+\/[\w.+-]+(?:;\s*[\w-]+=[\w-]+)?$/)
        .default('text/plain; charset=utf-8'),
      /** The receiver drops a second request with the same key, so that it may be sent again. */
      idempotency_key: z
        .string()
        .regex(/^[\x21-\x7e]{1,128}$/)
        .optional(),
    })
    .refine((input) => input.json === undefined || input.body === undefined, {
      message: 'json and body exclude each other',
    }),
  outputs: exchangeOutputs,
  undo: 'only the runbook knows: give the step an `undo` if the request has an opposite',
  defaultTimeout: 10_000,
  async run(input, context) {
    const body = input.json === undefined ? (input.body ?? null) : JSON.stringify(input.json);
    const contentType = input.json === undefined ? input.content_type : 'application/json';
    const headers = {
      ...(body === null ? {} : { 'Content-Type': contentType }),
      ...(input.idempotency_key === undefined ? {} : { 'Idempotency-Key': input.idempotency_key }),
    };
    // PUT and DELETE say of themselves that twice is as good as once (RFC 9110, 9.2.2), but not every server keeps to it.
    const repeatable = input.idempotency_key !== undefined;
    return {
      outputs: await exchange({ method: input.method, url: input.url, headers, body, repeatable }, input, context),
    };
  },
});
