// Looks at a breaker without touching it: before a reset, and to see whether it stays closed after.
import { z } from 'zod';
import { defineAction } from '../../port/action.ts';
import { breakerInput, readBreaker } from './breaker.ts';

export default defineAction({
  summary: "Reads the state of an application's circuit breaker from its metrics.",
  effect: 'read',
  onlyTells: true,
  input: z.strictObject(breakerInput),
  outputs: {
    state: 'closed, open or half_open, as the metrics say',
    metrics: "the breaker's lines of the metrics page, at most 50",
  },
  undo: 'nothing to undo: it only reads',
  defaultTimeout: 10_000,
  async run(input, context) {
    const { state, lines } = await readBreaker(input, context);
    return { outputs: { state, metrics: lines } };
  },
});
