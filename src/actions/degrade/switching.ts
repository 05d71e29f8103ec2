// Setting and clearing a degraded mode differ in one word.
import { z } from 'zod';
import type { Action } from '../../port/action.ts';
import { defineAction } from '../../port/action.ts';

type Input = { readonly mode: string };

export const switching = (on: boolean, about: Pick<Action, 'summary' | 'undo'>): Action<Input> =>
  defineAction({
    ...about,
    effect: 'change',
    input: z.strictObject({
      mode: z
        .string()
        .regex(/^[a-z][a-z0-9_]{0,63}$/, { message: 'the name of a degraded mode: small letters, digits, _' }),
    }),
    outputs: { mode: 'the mode', on: 'whether it is on now' },
    defaultTimeout: 5_000,
    async run({ mode }, context) {
      const { signal } = context;
      signal.throwIfAborted();
      context.began();
      context.request({ type: 'degrade', mode, on });
      return { outputs: { mode, on } };
    },
  });
