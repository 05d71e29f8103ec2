// ChromaDB's HTTP API, version 2: one place that knows its routes, what its answers mean, and what a refusal says about
// whether anything happened.
import { z } from 'zod';
import { ActionError } from '../../base/failure.ts';
import type { Json, JsonObject } from '../../base/json.ts';
import { nestingDepth } from '../../base/json.ts';
import type { ActionContext } from '../../port/action.ts';
import { sendRequest } from '../http/client.ts';
import type { HttpReply, Method } from '../http/client.ts';
import { absolutePath } from '../inputs.ts';

/** A page of documents with embeddings of some thousand dimensions. */
const LARGEST = 16 * 1024 * 1024;
const DEEPEST = 20;
/** Collections of one database that are counted together. */
const MOST_COLLECTIONS = 1_000;

const space = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/, { message: 'not the name of a tenant or database' });

/** As ChromaDB has it: 3 to 512 letters, digits, dots, underscores, dashes; a letter or digit at both ends. */
export const collectionName = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{1,510}[A-Za-z0-9]$/, {
  message: 'not the name of a collection',
});

export const chromaInput = {
  /** Of the server, without /api. */
  url: z.string().min(1).max(2_048),
  tenant: space.default('default_tenant'),
  database: space.default('default_database'),
  /** The file with the token that the server asks for. */
  token_file: absolutePath.optional(),
  token_header: z.enum(['x-chroma-token', 'authorization']).default('x-chroma-token'),
};
export type ChromaInput = {
  readonly url: string;
  readonly tenant: string;
  readonly database: string;
  readonly token_file?: string | undefined;
  readonly token_header: 'x-chroma-token' | 'authorization';
};

export type Collection = {
  readonly id: string;
  readonly name: string;
  /** Of its embeddings; null while it is empty. */
  readonly dimension: number | null;
  readonly metadata: JsonObject | null;
  readonly configuration: JsonObject | null;
};

export type Chroma = {
  /** `path` below /api/v2. A reading request may be sent again without harm. */
  ask(method: Method, path: string, body: Json, reads: boolean): Promise<Json>;
  /** `path` below the database's collections. */
  collections(method: Method, path: string, body: Json, reads: boolean): Promise<Json>;
  list(): Promise<readonly Collection[]>;
  /** Throws `permanent` when there is none of this name. */
  collection(name: string): Promise<Collection>;
  /** Null when there is none of this name. */
  find(name: string): Promise<Collection | null>;
  count(collection: Collection): Promise<number>;
};

export const isObject = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** The member as a list; empty when it is none. */
export const listOf = (object: Json, member: string): readonly Json[] => {
  const value: Json | undefined = isObject(object) ? object[member] : undefined;
  return Array.isArray(value) ? (value as readonly Json[]) : [];
};

export const unexpected = (what: string): ActionError =>
  new ActionError(
    'permanent',
    `${what} was answered with something that ChromaDB does not say; mend: is this its address?`,
  );

const collectionOf = (value: Json | undefined): Collection => {
  if (!isObject(value)) throw unexpected('a collection');
  const { id, name, dimension, metadata, configuration_json: configuration } = value;
  if (typeof id !== 'string' || !/^[0-9a-f-]{36}$/i.test(id) || typeof name !== 'string')
    throw unexpected('a collection');
  return {
    id,
    name,
    dimension: typeof dimension === 'number' ? dimension : null,
    metadata: isObject(metadata) ? metadata : null,
    configuration: isObject(configuration) ? configuration : null,
  };
};

const parse = (text: string, what: string): Json => {
  if (text === '') return null;
  try {
    if (nestingDepth(Buffer.from(text), DEEPEST) <= DEEPEST) return JSON.parse(text) as Json;
  } catch {
    // As good as none.
  }
  throw unexpected(what);
};

const saidBy = (reply: HttpReply): string => {
  try {
    const body = JSON.parse(reply.text) as { message?: unknown };
    return typeof body.message === 'string' ? `: ${body.message.slice(0, 300)}` : '';
  } catch {
    return '';
  }
};

const refusal = (reply: HttpReply, what: string, reads: boolean): ActionError | null => {
  const { status } = reply;
  if (status >= 200 && status < 300) return null;
  const text = `${what} was answered ${status}${saidBy(reply)}`;
  if (status === 401 || status === 403)
    return new ActionError('permanent', `${text}; mend: token_file has to name a file with a token that may do this`);
  if (status === 408 || status === 429 || status === 503) return new ActionError('retryable', text);
  if (status < 500) return new ActionError('permanent', text);
  return new ActionError(reads ? 'retryable' : 'indeterminate', text);
};

const NOT_FOUND = Symbol('not found');

export const connectChroma = async (input: ChromaInput, context: ActionContext): Promise<Chroma> => {
  context.signal.throwIfAborted();
  const headers: Record<string, string> = { Accept: 'application/json', 'Content-Type': 'application/json' };
  if (input.token_file !== undefined) {
    const token = (await context.secret(input.token_file)).trim();
    if (!/^[\x21-\x7e]{1,4096}$/.test(token))
      throw new ActionError('permanent', `the secret in ${input.token_file} is not a token that a header can carry`);
    headers[input.token_header] = input.token_header === 'authorization' ? `Bearer ${token}` : token;
  }
  const base = input.url.replace(/\/+$/, '');
  let changed = false;
  const within = `/tenants/${input.tenant}/databases/${input.database}/collections`;

  const send = async (
    method: Method,
    path: string,
    body: Json,
    reads: boolean,
    missing: boolean,
  ): Promise<Json | typeof NOT_FOUND> => {
    const what = `${method} ${base}/api/v2${path}`;
    const sent = sendRequest(
      {
        method,
        url: `${base}/api/v2${path}`,
        headers,
        body: body === null ? null : JSON.stringify(body),
        repeatable: reads,
        largest: LARGEST,
      },
      {
        allow: context.allow,
        signal: context.signal,
        traceparent: context.traceparent,
        monotonic: () => context.clock.monotonic(),
        began: () => (reads ? undefined : context.began()),
      },
    );
    changed ||= !reads;
    const reply = await sent.catch((error: unknown) => {
      // A read that is called off after a change says nothing about the change.
      if (changed && context.signal.aborted) throw new Error('called off', { cause: error });
      throw error;
    });
    if (missing && reply.status === 404) return NOT_FOUND;
    const failure = refusal(reply, what, reads);
    if (failure !== null) throw failure;
    return parse(reply.text, what);
  };

  const ask: Chroma['ask'] = async (method, path, body, reads) =>
    (await send(method, path, body, reads, false)) as Json;
  const find: Chroma['find'] = async (name) => {
    const found = await send('GET', `${within}/${name}`, null, true, true);
    return found === NOT_FOUND ? null : collectionOf(found);
  };
  return {
    ask,
    find,
    collections: (method, path, body, reads) => ask(method, `${within}${path}`, body, reads),
    async list() {
      const found = await ask('GET', `${within}?limit=${MOST_COLLECTIONS}`, null, true);
      if (!Array.isArray(found)) throw unexpected('the list of collections');
      return found.map(collectionOf);
    },
    async collection(name) {
      const found = await find(name);
      if (found !== null) return found;
      throw new ActionError(
        'permanent',
        `there is no collection ${name} in ${input.tenant}/${input.database} of ${base}`,
      );
    },
    async count({ id }) {
      const found = await ask('GET', `${within}/${id}/count`, null, true);
      if (typeof found !== 'number') throw unexpected('the count of a collection');
      return found;
    },
  };
};
