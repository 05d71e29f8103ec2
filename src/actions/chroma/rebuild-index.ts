// Builds the index of a collection anew without ever being without one: everything is read, written to a new collection
// beside the old one, counted and searched there, and only then do the two change names.
import { z } from 'zod';
import { ActionError } from '../../base/failure.ts';
import type { JsonObject } from '../../base/json.ts';
import { defineAction } from '../../port/action.ts';
import { stamp } from '../sqlite/backups.ts';
import { chromaInput, collectionName, connectChroma, isObject, listOf, unexpected } from './client.ts';
import type { Chroma, Collection } from './client.ts';
import { firstEmbedding, search } from './query.ts';

const PAGE_BYTES = 2 * 1024 * 1024;
const LARGEST_PAGE = 300;
/** In the metadata of what is being built, so that a rest of a killed run can be told from somebody's own collection. */
const MARK = 'amends_rebuilding';

/** Ids, embeddings, documents, metadata and URIs of a page, in the form in which they are added again. */
const readPage = async (
  chroma: Chroma,
  { id, name }: Collection,
  offset: number,
  limit: number,
): Promise<JsonObject | null> => {
  const include = ['embeddings', 'documents', 'metadatas', 'uris'];
  const page = await chroma.collections('POST', `/${id}/get`, { limit, offset, include }, true);
  if (!isObject(page)) throw unexpected('a page of documents');
  const ids = listOf(page, 'ids');
  if (ids.length === 0) return null;
  const embeddings = listOf(page, 'embeddings');
  if (embeddings.length !== ids.length || embeddings.some((one) => !Array.isArray(one) || one.length === 0)) {
    throw new ActionError(
      'permanent',
      `${name} no longer has the embeddings of all its documents; mend: roll back to a snapshot, or embed them anew`,
    );
  }
  const optional = (member: string): JsonObject => {
    const values = listOf(page, member);
    return values.length === ids.length ? { [member]: values } : {};
  };
  return { ids, embeddings, ...optional('documents'), ...optional('metadatas'), ...optional('uris') };
};

const copyAll = async (chroma: Chroma, from: Collection, to: Collection, documents: number): Promise<void> => {
  const page = Math.max(1, Math.min(LARGEST_PAGE, Math.floor(PAGE_BYTES / ((from.dimension ?? 1) * 24 + 2_000))));
  for (let offset = 0; offset < documents; offset += page) {
    const read = await readPage(chroma, from, offset, page);
    if (read === null) return;
    await chroma.collections('POST', `/${to.id}/add`, read, false);
  }
};

const withoutMark = (metadata: JsonObject | null): JsonObject =>
  Object.fromEntries(Object.entries(metadata ?? {}).filter(([name]) => name !== MARK));

/** The server takes no empty metadata. */
const metadataAfter = (old: Collection): JsonObject => {
  const metadata = withoutMark(old.metadata);
  return Object.keys(metadata).length === 0 ? { [MARK]: 'done' } : metadata;
};

/** The configuration with the members that are set; the server refuses null. */
const configurationOf = ({ configuration }: Collection): JsonObject =>
  Object.fromEntries(Object.entries(configuration ?? {}).filter(([, value]) => value !== null));

/** Ends what a killed run left behind. Throws `permanent` for a collection that is not ours. */
const clearRest = async (chroma: Chroma, name: string): Promise<void> => {
  const rest = await chroma.find(name);
  if (rest === null) return;
  if (rest.metadata?.[MARK] === undefined)
    throw new ActionError('permanent', `there is a collection ${name} that amends did not make; mend: rename it`);
  await chroma.collections('DELETE', `/${name}`, null, false);
};

/** Resolves to the finished copy; what was begun is taken away when it cannot be finished. */
const build = async (chroma: Chroma, old: Collection, name: string, documents: number): Promise<Collection> => {
  await clearRest(chroma, name);
  const configuration = configurationOf(old);
  const body: JsonObject = {
    name,
    metadata: { ...withoutMark(old.metadata), [MARK]: old.name },
    ...(Object.keys(configuration).length === 0 ? {} : { configuration }),
  };
  await chroma.collections('POST', '', body, false);
  try {
    const fresh = await chroma.collection(name);
    await copyAll(chroma, old, fresh, documents);
    const built = await chroma.count(fresh);
    const now = await chroma.count(old);
    if (now !== documents)
      throw new ActionError(
        'retryable',
        `${old.name} was written to meanwhile: ${documents} documents before, ${now} now`,
      );
    if (built !== documents)
      throw new ActionError('retryable', `the new index counts ${built} documents instead of ${documents}`);
    const wanted = Math.min(5, documents);
    const { ids } = await search(chroma, fresh, await firstEmbedding(chroma, fresh), wanted);
    if (ids.length < wanted)
      throw new ActionError('retryable', `the new index finds ${ids.length} of ${wanted} documents`);
    return fresh;
  } catch (error) {
    await clearRest(chroma, name).catch(() => undefined);
    throw error;
  }
};

/** Ends the change of names of a run that was killed in the middle of it; null: there is none. */
const finish = async (
  chroma: Chroma,
  name: string,
  context: { readonly signal: AbortSignal; began(): void },
): Promise<JsonObject | null> => {
  if ((await chroma.find(name)) !== null) return null;
  const fresh = await chroma.find(`${name}.rebuilding`);
  if (fresh === null || fresh.metadata?.[MARK] !== name) return null;
  context.signal.throwIfAborted();
  context.began();
  const documents = await chroma.count(fresh);
  await chroma.collections('PUT', `/${fresh.id}`, { new_name: name, new_metadata: metadataAfter(fresh) }, false);
  return { documents, replaced_to: '', collection_id: fresh.id };
};

export default defineAction({
  summary: 'Builds the index of a collection anew beside the old one, checks it, and lets the two change names.',
  effect: 'change',
  input: z.strictObject({
    ...chromaInput,
    collection: collectionName.max(400),
    max_documents: z.int().min(1).max(10_000_000).default(100_000),
    keep_replaced: z.boolean().default(true),
  }),
  outputs: {
    documents: 'documents in the new index, as many as in the old one',
    replaced_to: 'the name that the old collection has now, or empty when it was deleted, or renamed by an earlier try',
    collection_id: 'id of the new collection; clients that keep the id have to ask for it anew',
  },
  undo: 'by hand: delete the new collection and give replaced_to its name again',
  defaultTimeout: 600_000,
  async run(input, context) {
    const { clock, signal } = context;
    const chroma = await connectChroma(input, context);
    const finished = await finish(chroma, input.collection, context);
    if (finished !== null) return { outputs: finished };
    const old = await chroma.collection(input.collection);
    const documents = await chroma.count(old);
    if (documents === 0)
      throw new ActionError('permanent', `${old.name} is empty: there is nothing to build an index of`);
    if (documents > input.max_documents)
      throw new ActionError(
        'permanent',
        `${old.name} holds ${documents} documents, more than max_documents (${input.max_documents}); nothing was done`,
      );
    // Read before anything is made: an index that is broken for good ends it here.
    await readPage(chroma, old, documents - 1, 1);
    signal.throwIfAborted();
    context.began();
    const fresh = await build(chroma, old, `${old.name}.rebuilding`, documents);
    const replaced = `${old.name}.replaced-${stamp(clock.now())}`;
    await chroma.collections('PUT', `/${old.id}`, { new_name: replaced }, false);
    await chroma
      .collections('PUT', `/${fresh.id}`, { new_name: old.name, new_metadata: metadataAfter(old) }, false)
      .catch(async (error: unknown) => {
        await chroma.collections('PUT', `/${old.id}`, { new_name: old.name }, false);
        throw error;
      });
    if (!input.keep_replaced) await chroma.collections('DELETE', `/${replaced}`, null, false);
    return {
      outputs: { documents, replaced_to: input.keep_replaced ? replaced : '', collection_id: fresh.id },
    };
  },
});
