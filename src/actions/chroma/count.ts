// How many documents there are: what a collection that loads can say, and what a restore is measured by.
import { z } from 'zod';
import { ActionError } from '../../base/failure.ts';
import { defineAction } from '../../port/action.ts';
import { chromaInput, collectionName, connectChroma } from './client.ts';

export default defineAction({
  summary: 'Counts the documents of a collection, or of all collections of a database, over a new connection.',
  effect: 'read',
  input: z.strictObject({
    ...chromaInput,
    collection: collectionName.optional(),
    /** Fewer are a failure. */
    min: z.int().min(0).default(0),
  }),
  outputs: {
    documents: 'how many documents there are',
    collections: 'the collections that were counted: name, documents; at most 100',
    dimension: 'of the embeddings of the collection; 0 for an empty one, and for all of them together',
  },
  undo: 'nothing to undo: it only reads',
  defaultTimeout: 30_000,
  async run(input, context) {
    const chroma = await connectChroma(input, context);
    const found = input.collection === undefined ? await chroma.list() : [await chroma.collection(input.collection)];
    const collections: Array<{ name: string; documents: number }> = [];
    for (const collection of found)
      collections.push({ name: collection.name, documents: await chroma.count(collection) });
    const documents = collections.reduce((sum, one) => sum + one.documents, 0);
    const dimension = input.collection === undefined ? 0 : (found[0]?.dimension ?? 0);
    const outputs = { documents, collections: collections.slice(0, 100), dimension };
    if (documents >= input.min) return { outputs };
    throw new ActionError(
      'permanent',
      `${input.collection ?? 'the database'} holds ${documents} documents, fewer than ${input.min}`,
      { outputs },
    );
  },
});
