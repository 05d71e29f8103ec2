// The models that a service offers, as OpenAI's, Open WebUI's and Ollama's APIs list them.
import { z } from 'zod';
import { ActionError } from '../../base/failure.ts';
import { isObject } from '../../base/json.ts';
import type { ActionContext } from '../../port/action.ts';
import type { Credential } from '../http/service.ts';
import { callService } from '../http/service.ts';

export const modelName = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._:/@-]{0,199}$/, { message: 'the name of a model: letters, digits and . _ : / @ -' });

const MOST_MODELS = 10_000;

/** Throws `permanent` when it is no list of models, or an empty one: then nothing is known about any of them. */
export const listModels = async (
  url: string,
  credential: Credential,
  context: ActionContext,
): Promise<ReadonlySet<string>> => {
  const { json } = await callService({ method: 'GET', url }, credential, context);
  const list = Array.isArray(json) ? json : isObject(json) ? (json['data'] ?? json['models']) : undefined;
  if (!Array.isArray(list) || list.length > MOST_MODELS)
    throw new ActionError(
      'permanent',
      `${url} did not answer with a list of models; mend: name the address that lists them, such as /api/models or /v1/models`,
    );
  const names = list.flatMap((entry: unknown) => {
    const name = isObject(entry) ? (entry['id'] ?? entry['name'] ?? entry['model']) : entry;
    return typeof name === 'string' ? [name] : [];
  });
  if (names.length === 0)
    throw new ActionError('permanent', `${url} lists no model at all, so there is none to choose`);
  return new Set(names);
};
