// Whether the vector store works as a user needs it: health, an embedding, a search, and no lock for a while after it.
import { z } from 'zod';
import { ActionError } from '../../base/failure.ts';
import type { ActionContext } from '../../port/action.ts';
import { defineAction } from '../../port/action.ts';
import { duration } from '../inputs.ts';
import { LOCK_ERROR, ask, route, serviceInput, unhealthy } from './service.ts';

const LOOK_EVERY_MS = 500;

/** Null: it answered 2xx with JSON that holds something; else what is wrong. */
const fails = async (url: string, body: object, context: ActionContext): Promise<string | null> => {
  try {
    const { status, text } = await ask('POST', url, JSON.stringify(body), context);
    if (status < 200 || status >= 300)
      return `${url} was answered ${status}${LOCK_ERROR.test(text) ? ': it is locked' : ''}`;
    const answer: unknown = JSON.parse(text);
    const empty = Array.isArray(answer)
      ? answer.length === 0
      : typeof answer !== 'object' || answer === null || Object.keys(answer).length === 0;
    return empty ? `${url} was answered with nothing` : null;
  } catch (error) {
    if (context.signal.aborted || (error instanceof ActionError && error.kind === 'permanent')) throw error;
    return error instanceof SyntaxError ? `${url} was not answered with JSON` : (error as Error).message;
  }
};

/** The first thing that goes wrong within the time, or null. */
const watch = async (url: string, ms: number, context: ActionContext): Promise<string | null> => {
  const until = context.clock.monotonic() + ms;
  while (context.clock.monotonic() < until) {
    await context.clock.sleep(LOOK_EVERY_MS, context.signal);
    const reason = await unhealthy(url, context);
    if (reason !== null) return reason;
  }
  return null;
};

export default defineAction({
  summary: 'Proves that a vector store works again: health, a test embedding, a test search, and no lock for a while.',
  effect: 'read',
  input: z.strictObject({
    ...serviceInput,
    embed_path: route.default('/api/vectors/embed'),
    search_path: route.default('/api/vectors/search'),
    /** Before the first look. */
    settle: duration.default(3_000),
    /** For lock errors, after the last. */
    watch: duration.default(5_000),
  }),
  outputs: {
    health_check_passed: 'all of it went well',
    api_responding: 'the health endpoint answers 2xx and tells of no lock',
    embeddings_working: 'an embedding of "test embedding" came back',
    search_working: 'a search for "test query" was answered',
  },
  undo: 'nothing to undo: the test embedding is not stored',
  defaultTimeout: 30_000,
  async run(input, context) {
    const { clock, signal } = context;
    signal.throwIfAborted();
    await clock.sleep(input.settle, signal);
    const health = `${input.url}${input.health_path}`;
    const api = await unhealthy(health, context);
    const embedding = await fails(`${input.url}${input.embed_path}`, { text: 'test embedding' }, context);
    const search = await fails(`${input.url}${input.search_path}`, { query: 'test query', k: 1 }, context);
    const first = api ?? embedding ?? search;
    const reason = first ?? (await watch(health, input.watch, context));
    const outputs = {
      health_check_passed: reason === null,
      api_responding: api === null,
      embeddings_working: embedding === null,
      search_working: search === null,
    };
    if (reason === null) return { outputs };
    throw new ActionError('retryable', `the vector store does not work: ${reason}`, { outputs });
  },
});
