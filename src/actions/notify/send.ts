// Tells somebody from within a runbook; the outbox does the sending.
import { z } from 'zod';
import { defineAction } from '../../port/action.ts';
import { severity } from '../inputs.ts';

export default defineAction({
  summary: 'Tells a receiver of the configuration; it is sent once this step is on record, and again until it arrives.',
  effect: 'change',
  input: z.strictObject({
    title: z.string().min(1).max(200),
    body: z.string().max(16_384).default(''),
    severity: severity.optional(),
    /** Without one, the routes of the configuration say who. */
    receiver: z.string().min(1).max(64).optional(),
  }),
  outputs: { title: 'the title' },
  undo: 'it cannot be undone: what was sent was read',
  defaultTimeout: 5_000,
  async run(input, context) {
    const { signal } = context;
    signal.throwIfAborted();
    context.began();
    context.request({
      type: 'notify',
      receiver: input.receiver ?? null,
      severity: input.severity ?? null,
      title: input.title,
      body: input.body,
    });
    return { outputs: { title: input.title } };
  },
});
