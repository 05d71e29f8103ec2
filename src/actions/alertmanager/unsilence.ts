// A silence that is not needed any more is ended: what fires from now on is news.
import { z } from 'zod';
import { ActionError } from '../../base/failure.ts';
import { defineAction } from '../../port/action.ts';
import { ANY_STATUS, at, callService } from '../http/service.ts';
import { CREATED_BY, alertmanagerInput, endpoint } from './api.ts';

export default defineAction({
  summary: 'Ends a silence that amends has made at an Alertmanager.',
  effect: 'change',
  input: z.strictObject({
    ...alertmanagerInput,
    silence_id: z.string().regex(/^[0-9a-fA-F-]{8,64}$/, { message: 'the id of a silence' }),
  }),
  outputs: { expired: 'it does not hold any more', already: 'it had ended before' },
  undo: 'alertmanager.silence with the same matchers',
  defaultTimeout: 15_000,
  async run(input, context) {
    const url = endpoint(input.url, `silence/${input.silence_id}`);
    const { status, json } = await callService({ method: 'GET', url, statuses: [200, 404] }, input, context);
    if (status === 404) throw new ActionError('permanent', `${input.url} has no silence ${input.silence_id}`);
    const by = at(json, '/createdBy');
    if (by !== CREATED_BY)
      throw new ActionError(
        'permanent',
        `the silence ${input.silence_id} was made by ${JSON.stringify(by ?? null).slice(0, 100)}, not by amends: it is left as it is`,
      );
    if (at(json, '/status/state') === 'expired') {
      context.began();
      return { outputs: { expired: true, already: true } };
    }
    await callService({ method: 'DELETE', url, changes: true, statuses: ANY_STATUS.slice(100, 200) }, input, context);
    return { outputs: { expired: true, already: false } };
  },
});
