// When a model is gone, the next one of an ordered list takes its place: nobody has to choose at night.
import { z } from 'zod';
import { ActionError } from '../../base/failure.ts';
import { defineAction } from '../../port/action.ts';
import { address, afterChange, callService, credentialInput, objectOf } from '../http/service.ts';
import { listModels, modelName } from './models.ts';

const MOST_SHOWN = 50;

export default defineAction({
  summary:
    'Makes the first available model of an ordered list the default one of a service, the primary before all others.',
  effect: 'change',
  input: z.strictObject({
    ...credentialInput,
    /** Lists what there is: `{ data: [{ id }] }`, `{ models: [{ name }] }`, or a list of names. */
    models_url: address,
    primary: modelName,
    /** Tried in this order. */
    fallbacks: z.array(modelName).min(1).max(20),
    /** A GET gives the settings as an object; a POST of the same object with one member changed sets them. */
    settings_url: address,
    field: z
      .string()
      .regex(/^[A-Za-z_][A-Za-z0-9_.-]{0,63}$/, { message: 'the name of a member' })
      .default('DEFAULT_MODELS'),
  }),
  outputs: {
    primary_available: 'the primary is in the list',
    chosen: 'the model that is the default now',
    previous: 'the one that was before, or empty',
    switched: 'the default was changed by this step',
    missing: 'those of the list before the chosen one, which are not available',
  },
  undo: 'http.request: POST `undo.settings`, what was set before, to settings_url',
  defaultTimeout: 20_000,
  async run(input, context) {
    const { field, settings_url: url } = input;
    const available = await listModels(input.models_url, input, context);
    const order = [input.primary, ...input.fallbacks];
    const chosen = order.find((name) => available.has(name));
    if (chosen === undefined) {
      const shown = [...available].slice(0, MOST_SHOWN).join(', ');
      throw new ActionError(
        'permanent',
        `none of ${order.join(', ')} is available; there are: ${shown}; mend: add one of them to the fallbacks`,
        { outputs: { primary_available: false, chosen: '', previous: '', switched: false, missing: order } },
      );
    }
    const settings = objectOf(await callService({ method: 'GET', url }, input, context), url);
    const before = settings[field];
    const previous = typeof before === 'string' ? before : '';
    const outputs = {
      primary_available: chosen === input.primary,
      chosen,
      previous,
      switched: previous !== chosen,
      missing: order.slice(0, order.indexOf(chosen)),
    };
    if (previous === chosen) return { outputs };
    await callService({ method: 'POST', url, json: { ...settings, [field]: chosen }, changes: true }, input, context);
    const after = await afterChange(
      `${chosen} was made the default`,
      outputs,
      async () => objectOf(await callService({ method: 'GET', url }, input, context), url)[field],
    );
    if (after !== chosen)
      throw new ActionError(
        'indeterminate',
        `${url} took ${chosen}, but says ${JSON.stringify(after ?? null).slice(0, 200)} in ${field}; mend: is that the member that names the default model?`,
        { outputs },
      );
    return { outputs, undo: { settings } };
  },
});
