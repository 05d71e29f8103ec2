// Figures for a run's record, or for a step's condition.
import { z } from 'zod';
import { ActionError } from '../../base/failure.ts';
import { defineAction } from '../../port/action.ts';
import { askPrometheus, queryInput } from './query-api.ts';

const TIMEOUT_MS = 5_000;

export default defineAction({
  summary: 'Asks a Prometheus for the samples of an instant query.',
  effect: 'read',
  input: z.strictObject({
    ...queryInput,
    /** More samples than this are a mistake in the query. */
    max_samples: z.int().min(1).max(200).default(50),
    /** No sample is an answer too. Without this it is a failure: no data is not the same as nothing. */
    allow_empty: z.boolean().default(false),
  }),
  outputs: {
    count: 'how many samples there were',
    value: 'the value of the one sample, null when there is not exactly one or it is not finite',
    samples: 'each with its labels and its value (text when it is not finite)',
  },
  undo: 'nothing to undo: it only reads',
  defaultTimeout: 10_000,
  async run(input, context) {
    const samples = await askPrometheus(input, TIMEOUT_MS, context);
    if (samples.length === 0 && !input.allow_empty)
      throw new ActionError('permanent', `the query gave no sample: ${input.query.slice(0, 300)}`);
    if (samples.length > input.max_samples)
      throw new ActionError(
        'permanent',
        `the query gave ${samples.length} samples, and ${input.max_samples} at most were expected: ${input.query.slice(0, 300)}`,
      );
    const [only] = samples;
    return {
      outputs: {
        count: samples.length,
        value: samples.length === 1 && only !== undefined && Number.isFinite(only.value) ? only.value : null,
        samples: samples.map(({ labels, value }) => ({
          labels,
          value: Number.isFinite(value) ? value : String(value),
        })),
      },
    };
  },
});
