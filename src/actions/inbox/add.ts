// Leaves word for a human from within a runbook.
import { z } from 'zod';
import { defineAction } from '../../port/action.ts';
import { severity } from '../inputs.ts';

export default defineAction({
  summary: 'Puts an entry into the inbox, for a human to read or to act on.',
  effect: 'change',
  input: z.strictObject({
    title: z.string().min(1).max(200),
    body: z.string().max(16_384).default(''),
    severity: severity.optional(),
    kind: z.enum(['note', 'escalation']).default('note'),
  }),
  outputs: { title: 'the title' },
  undo: 'not needed: a human closes the entry',
  defaultTimeout: 5_000,
  async run(input, context) {
    const { signal } = context;
    signal.throwIfAborted();
    context.began();
    context.request({
      type: 'inbox',
      kind: input.kind,
      severity: input.severity ?? null,
      title: input.title,
      body: input.body,
    });
    return { outputs: { title: input.title } };
  },
});
