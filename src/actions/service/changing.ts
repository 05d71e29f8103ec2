// What starting, stopping and restarting a service have in common: the supervisor is asked before and after.
import { z } from 'zod';
import type { ActionContext, ActionResult } from '../../port/action.ts';
import { duration } from '../inputs.ts';
import { knowsRestart, refuseUnlisted, statusOf, supervisor, tell, waitFor, waitStable } from './supervisor.ts';
import type { Status } from './supervisor.ts';

export const changeInput = {
  service: supervisor,
  /** How long it may take. */
  within: duration.default(30_000),
};
export const upInput = z.strictObject({
  ...changeInput,
  /** For so long it has to stay up, by the same process and with the same counter. */
  stable: duration.default(3_000),
});
export const downInput = z.strictObject(changeInput);

export const changeOutputs = {
  changed: 'the supervisor was asked to do something',
  active: 'the service runs now',
  state: 'the same in the words of its supervisor',
  main_pid: 'its process now, 0 when there is none or the supervisor does not say',
  main_pid_before: 'its process before',
  restarts: 'how often the supervisor has started it again by itself, -1 when it does not say',
  restarts_before: 'the same before',
};

const outputsOf = (before: Status, after: Status, changed: boolean): ActionResult => ({
  outputs: {
    changed,
    ...after,
    main_pid_before: before.main_pid,
    restarts_before: before.restarts,
  },
});

export const bringUp = async (
  verb: 'start' | 'restart',
  input: z.output<typeof upInput>,
  context: ActionContext,
): Promise<ActionResult> => {
  const { service, stable, within } = input;
  context.signal.throwIfAborted();
  refuseUnlisted(service, context);
  const before = await statusOf(service, context);
  if (verb === 'start' && before.active)
    return outputsOf(before, await waitStable(service, stable, within, context), false);
  context.began();
  if (verb === 'restart' && knowsRestart(service)) await tell(service, 'restart', context);
  else {
    if (before.active) {
      await tell(service, 'stop', context);
      await waitFor(service, (status) => !status.active, within, 'stopped', context);
    }
    await tell(service, 'start', context);
  }
  return outputsOf(before, await waitStable(service, stable, within, context), true);
};

export const bringDown = async (
  { service, within }: z.output<typeof downInput>,
  context: ActionContext,
): Promise<ActionResult> => {
  context.signal.throwIfAborted();
  refuseUnlisted(service, context);
  const before = await statusOf(service, context);
  if (!before.active) return outputsOf(before, before, false);
  context.began();
  await tell(service, 'stop', context);
  return outputsOf(before, await waitFor(service, (status) => !status.active, within, 'stopped', context), true);
};
