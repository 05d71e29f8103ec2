// Some things only need time: a pool that drains, a service that starts.
import { z } from 'zod';
import { defineAction } from '../../port/action.ts';
import { duration } from '../inputs.ts';

export default defineAction({
  summary: 'Waits for a while.',
  effect: 'read',
  onlyTells: true,
  input: z.strictObject({ duration }),
  outputs: { waited_seconds: 'how long it waited' },
  undo: 'nothing to undo: it only waits',
  defaultTimeout: 600_000,
  async run(input, { clock, signal }) {
    const start = clock.monotonic();
    await clock.sleep(input.duration, signal);
    return { outputs: { waited_seconds: Math.round(clock.monotonic() - start) / 1_000 } };
  },
});
