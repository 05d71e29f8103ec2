// A model that is listed may still not answer: the shortest of questions tells.
import { z } from 'zod';
import { ActionError } from '../../base/failure.ts';
import { defineAction } from '../../port/action.ts';
import { address, at, callService, credentialInput } from '../http/service.ts';
import { modelName } from './models.ts';

export default defineAction({
  summary: 'Asks a model one short question over an OpenAI-compatible API; any answer will do.',
  effect: 'read',
  input: z.strictObject({
    ...credentialInput,
    /** Its `/chat/completions`. */
    chat_url: address,
    model: modelName,
    prompt: z.string().min(1).max(200).default('Answer with the word pong.'),
  }),
  outputs: {
    answered: 'there was an answer with text in it',
    model: 'who answered, as the service says',
    duration_ms: 'from the question to the end of the answer, in milliseconds',
  },
  undo: 'nothing to undo: it costs a few tokens',
  defaultTimeout: 30_000,
  async run(input, context) {
    const call = {
      method: 'POST',
      url: input.chat_url,
      json: { model: input.model, messages: [{ role: 'user', content: input.prompt }], max_tokens: 8, stream: false },
      repeatable: true,
    } as const;
    const { json, durationMs } = await callService(call, input, context);
    const text = at(json, '/choices/0/message/content');
    if (typeof text !== 'string' || text.trim() === '')
      throw new ActionError('retryable', `${input.model} answered without a text at ${input.chat_url}`);
    const by = at(json, '/model');
    return {
      outputs: { answered: true, model: typeof by === 'string' ? by.slice(0, 200) : '', duration_ms: durationMs },
    };
  },
});
