// A search as an application does it: an index that has lost documents still counts them all, but does not find them.
import { z } from 'zod';
import { ActionError } from '../../base/failure.ts';
import type { Json } from '../../base/json.ts';
import { defineAction } from '../../port/action.ts';
import { duration } from '../inputs.ts';
import { chromaInput, collectionName, connectChroma, listOf, unexpected } from './client.ts';
import type { Chroma, Collection } from './client.ts';

/** Embedding of the first document. */
export const firstEmbedding = async (chroma: Chroma, { id, name }: Collection): Promise<readonly Json[]> => {
  const found = await chroma.collections('POST', `/${id}/get`, { limit: 1, include: ['embeddings'] }, true);
  const [first] = listOf(found, 'embeddings');
  if (Array.isArray(first) && first.length > 0) return first as readonly Json[];
  throw new ActionError(
    'permanent',
    `${name} holds no document that could be searched for; mend: is it the right collection? an empty one cannot be queried`,
  );
};

export type Found = { readonly ids: readonly string[]; readonly distance: number };

export const search = async (
  chroma: Chroma,
  { id }: Collection,
  embedding: readonly Json[],
  results: number,
): Promise<Found> => {
  const body = { query_embeddings: [[...embedding]], n_results: results, include: ['distances'] };
  const found = await chroma.collections('POST', `/${id}/query`, body, true);
  const [ids] = listOf(found, 'ids');
  if (!Array.isArray(ids)) throw unexpected('a query');
  const [distances] = listOf(found, 'distances');
  const nearest: unknown = Array.isArray(distances) ? distances[0] : null;
  return { ids: (ids as readonly Json[]).map(String), distance: typeof nearest === 'number' ? nearest : -1 };
};

export default defineAction({
  summary: 'Searches a collection, and fails when it finds less than is there.',
  effect: 'read',
  input: z.strictObject({
    ...chromaInput,
    collection: collectionName,
    /** Without one, the embedding of the first document is searched for. */
    embedding: z.array(z.number()).min(1).max(8_192).optional(),
    results: z.int().min(1).max(100).default(5),
    max_latency: duration.optional(),
  }),
  outputs: {
    found: 'how many documents the search gave',
    documents: 'how many documents the collection counts',
    nearest: 'id of the nearest one, its first 200 characters',
    distance: 'its distance in the measure of the collection, -1 when the server does not say',
    latency_ms: 'how long the search took, in milliseconds',
  },
  undo: 'nothing to undo: it only reads',
  defaultTimeout: 10_000,
  async run(input, context) {
    const chroma = await connectChroma(input, context);
    const collection = await chroma.collection(input.collection);
    const documents = await chroma.count(collection);
    const embedding = input.embedding ?? (await firstEmbedding(chroma, collection));
    const start = context.clock.monotonic();
    const { ids, distance } = await search(chroma, collection, embedding, input.results);
    const latency = Math.round(context.clock.monotonic() - start);
    const outputs = {
      found: ids.length,
      documents,
      nearest: (ids[0] ?? '').slice(0, 200),
      distance,
      latency_ms: latency,
    };
    if (ids.length < Math.min(input.results, documents)) {
      throw new ActionError(
        'retryable',
        `${input.collection} counts ${documents} documents, but its index finds ${ids.length} of ${input.results} that were asked for`,
        { outputs },
      );
    }
    if (input.max_latency !== undefined && latency > input.max_latency)
      throw new ActionError('retryable', `the search took ${latency} ms, more than ${input.max_latency}`, { outputs });
    return { outputs };
  },
});
