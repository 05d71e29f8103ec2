// How the supervisor sees a service, and whether it is still the one that was started: for evidence and verification.
import { z } from 'zod';
import { ActionError } from '../../base/failure.ts';
import { defineAction } from '../../port/action.ts';
import { refuseUnlisted, statusOf, supervisor } from './supervisor.ts';

export default defineAction({
  summary: 'Asks the supervisor of a service whether it runs, and how often it had to be started again.',
  effect: 'read',
  input: z.strictObject({
    service: supervisor,
    /** False: the answer is in `active`, and no is no failure. */
    required: z.boolean().default(true),
    /** As they were after a restart: another process or a higher counter means that it crashed since. */
    main_pid: z.int().nonnegative().optional(),
    restarts: z.int().min(-1).optional(),
  }),
  outputs: {
    active: 'the service runs',
    state: 'the same in the words of its supervisor',
    main_pid: 'its process, 0 when the supervisor does not say',
    restarts: 'how often the supervisor has started it again by itself, -1 when it does not say',
    unchanged: 'neither main_pid nor restarts are other than given; true when they are not given',
  },
  undo: 'nothing to undo: it only asks',
  defaultTimeout: 10_000,
  async run(input, context) {
    context.signal.throwIfAborted();
    refuseUnlisted(input.service, context);
    const status = await statusOf(input.service, context);
    const unchanged =
      (input.main_pid ?? status.main_pid) === status.main_pid &&
      (input.restarts ?? status.restarts) === status.restarts;
    const outputs = { ...status, unchanged };
    if (input.required && !status.active)
      throw new ActionError('retryable', `the service does not run: ${status.state}`, { outputs });
    if (input.required && !unchanged)
      throw new ActionError(
        'retryable',
        `the service crashed since it was started: process ${input.main_pid ?? '?'} is ${status.main_pid} now, restarts ${input.restarts ?? '?'} are ${status.restarts}`,
        { outputs },
      );
    return { outputs };
  },
});
