// When nothing has helped: applications are told to do without the vector store, and a human is told why.
import { z } from 'zod';
import { defineAction } from '../../port/action.ts';
import { severity } from '../inputs.ts';

export default defineAction({
  summary: 'Switches applications to the fallback mode, and puts an incident into the inbox.',
  effect: 'change',
  input: z.strictObject({
    mode: z.string().regex(/^[a-z][a-z0-9_]{0,63}$/, { message: 'not the name of a degraded mode' }),
    title: z.string().min(1).max(200),
    body: z.string().max(16_384).default(''),
    severity: severity.default('SEV2'),
  }),
  outputs: {
    escalated: 'an incident stands in the inbox',
    fallback_enabled: 'the degraded mode is on',
  },
  undo: 'degrade.clear with the same mode; a human closes the entry',
  defaultTimeout: 5_000,
  async run(input, context) {
    context.signal.throwIfAborted();
    context.began();
    context.request({ type: 'degrade', mode: input.mode, on: true });
    context.request({ type: 'inbox', kind: 'note', severity: input.severity, title: input.title, body: input.body });
    return { outputs: { escalated: true, fallback_enabled: true } };
  },
});
