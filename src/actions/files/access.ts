// Tells whether the account of a service may use a path, before and after anybody touches owners or modes.
import { z } from 'zod';
import { ActionError } from '../../base/failure.ts';
import { defineAction } from '../../port/action.ts';
import { allowedPath } from '../allowed.ts';
import { absolutePath, processNames } from '../inputs.ts';
import { findProcess } from '../process/finding.ts';
import { accountOf, examine } from './accounts.ts';

export default defineAction({
  summary: 'Tries, as the account of a service, whether it may read or write a path, and says what is in the way.',
  effect: 'read',
  input: z
    .strictObject({
      path: absolutePath,
      /** A name or number; without it that of the process, else that of amends. */
      account: z
        .string()
        .regex(/^[\w.-]{1,64}$/)
        .optional(),
      pid_file: absolutePath.optional(),
      only: processNames.optional(),
      need: z.enum(['read', 'write']).default('write'),
      /** False: the answer is in `accessible`, and no is no failure. */
      required: z.boolean().default(true),
    })
    .refine((input) => (input.pid_file === undefined) === (input.only === undefined), {
      message: 'pid_file and only belong together',
    }),
  outputs: {
    accessible: 'the account may read the path, or write it (of a folder: make and remove files in it)',
    exists: 'there is something at the path',
    kind: 'file, folder, other or missing',
    owner: 'its owner',
    group: 'its group',
    mode: 'its mode, four octal digits',
    account: 'the account that tried',
    process_account: 'the account that the process runs as, or empty',
    blocked_at: 'the first folder on the way that the account may not enter, or the path itself, or empty',
    reason: 'the same in words, or empty',
  },
  undo: 'nothing to undo: it only looks',
  defaultTimeout: 20_000,
  async run(input, context) {
    context.signal.throwIfAborted();
    const path = await allowedPath(input.path, context.allow, 'the path');
    const running =
      input.pid_file === undefined || input.only === undefined
        ? null
        : (await findProcess(input.pid_file, input.only, context.allow, 'nothing was tried')).info;
    const account = accountOf(input.account ?? running?.user);
    const found = await examine(path, account, input.need, context);
    const outputs = { ...found, process_account: running?.user ?? '' };
    if (input.required && !found.accessible)
      throw new ActionError('retryable', `${found.reason}; mend: files.permissions, or by hand`, { outputs });
    return { outputs };
  },
});
