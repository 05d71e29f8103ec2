// For probes and for the record: which models a service offers, and whether the one that is meant is among them.
import { z } from 'zod';
import { defineAction } from '../../port/action.ts';
import { address, credentialInput } from '../http/service.ts';
import { listModels, modelName } from './models.ts';

const MOST_SHOWN = 100;

export default defineAction({
  summary: 'Lists the models of a service, and says whether its primary one is among them.',
  effect: 'read',
  input: z.strictObject({ ...credentialInput, models_url: address, primary: modelName }),
  outputs: {
    primary_available: 'the primary is in the list',
    count: 'how many models there are',
    models: 'their names, at most 100',
  },
  undo: 'nothing to undo: it only reads',
  defaultTimeout: 10_000,
  async run(input, context) {
    const names = await listModels(input.models_url, input, context);
    return {
      outputs: {
        primary_available: names.has(input.primary),
        count: names.size,
        models: [...names].slice(0, MOST_SHOWN),
      },
    };
  },
});
