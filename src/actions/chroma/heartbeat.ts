// Whether a ChromaDB is there at all; that it serves its collections is for count and query to say.
import { z } from 'zod';
import { ActionError } from '../../base/failure.ts';
import { defineAction } from '../../port/action.ts';
import { duration } from '../inputs.ts';
import { chromaInput, connectChroma, isObject, unexpected } from './client.ts';

export default defineAction({
  summary: 'Asks a ChromaDB for its heartbeat and its version.',
  effect: 'read',
  input: z.strictObject({ ...chromaInput, max_latency: duration.optional() }),
  outputs: {
    version: 'what it says of itself',
    latency_ms: 'from the request for the heartbeat to its answer, in milliseconds',
  },
  undo: 'nothing to undo: it only reads',
  defaultTimeout: 10_000,
  async run(input, context) {
    const chroma = await connectChroma(input, context);
    const start = context.clock.monotonic();
    const beat = await chroma.ask('GET', '/heartbeat', null, true);
    const latency = Math.round(context.clock.monotonic() - start);
    if (!isObject(beat) || typeof beat['nanosecond heartbeat'] !== 'number') throw unexpected('the heartbeat');
    const version = await chroma.ask('GET', '/version', null, true);
    const outputs = { version: typeof version === 'string' ? version.slice(0, 100) : '', latency_ms: latency };
    if (input.max_latency === undefined || latency <= input.max_latency) return { outputs };
    throw new ActionError('retryable', `the heartbeat took ${latency} ms, more than ${input.max_latency}`, { outputs });
  },
});
