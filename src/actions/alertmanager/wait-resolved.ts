// An alert that goes quiet by itself is the best proof that something was mended.
import { z } from 'zod';
import { ActionError } from '../../base/failure.ts';
import { defineAction } from '../../port/action.ts';
import { duration } from '../inputs.ts';
import { alertmanagerInput, countAlerts, matchers, shown } from './api.ts';

const TIMEOUT_MS = 5_000;

export default defineAction({
  summary: 'Waits until an Alertmanager has no alert with these labels any more, silenced ones included.',
  effect: 'read',
  input: z.strictObject({
    ...alertmanagerInput,
    matchers,
    every: duration.default(5_000),
    within: duration.default(300_000),
  }),
  outputs: {
    resolved: 'there is none any more',
    waited_seconds: 'how long it took, in seconds',
    looks: 'how often it was asked',
  },
  undo: 'nothing to undo: it only reads',
  defaultTimeout: 330_000,
  async run(input, context) {
    const { clock, signal } = context;
    signal.throwIfAborted();
    const start = clock.monotonic();
    let last = '';
    for (let looks = 1; ; looks += 1) {
      let left: number | null = null;
      try {
        const { active, suppressed } = await countAlerts(input, input.matchers, context, TIMEOUT_MS);
        left = active + suppressed;
        last = `${left} alerts`;
      } catch (error) {
        signal.throwIfAborted();
        // Silence from Alertmanager is not quiet.
        if (!(error instanceof ActionError) || error.kind !== 'retryable') throw error;
        last = error.message;
      }
      const waited = clock.monotonic() - start;
      const outputs = { resolved: left === 0, waited_seconds: Math.round(waited) / 1_000, looks };
      if (left === 0) return { outputs };
      if (waited + input.every > input.within)
        throw new ActionError(
          'retryable',
          `${shown(input.matchers)} was not resolved within ${input.within} ms; the last of ${looks} looks: ${last}`,
          { outputs },
        );
      await clock.sleep(Math.max(10, input.every), signal);
    }
  },
});
