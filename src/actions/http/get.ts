// Reading is an action of its own: a probe or a verification may not be able to change anything.
import { z } from 'zod';
import { defineAction } from '../../port/action.ts';
import { exchange, exchangeInput, exchangeOutputs } from './exchange.ts';

export default defineAction({
  summary: 'Asks a declared host by GET or HEAD; its answer decides whether the step succeeds.',
  effect: 'read',
  input: z.strictObject({ ...exchangeInput, method: z.enum(['GET', 'HEAD']).default('GET') }),
  outputs: exchangeOutputs,
  undo: 'nothing to undo: it only reads',
  defaultTimeout: 10_000,
  async run(input, context) {
    const request = { method: input.method, url: input.url, headers: {}, body: null, repeatable: true };
    return { outputs: await exchange(request, input, context) };
  },
});
