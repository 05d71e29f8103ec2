// While something is restarted on purpose, its own alerts should wake nobody; a silence that is too wide would hide the
// next fire.
import { z } from 'zod';
import { rfc3339 } from '../../base/clock.ts';
import { ActionError } from '../../base/failure.ts';
import { isObject } from '../../base/json.ts';
import type { ActionContext } from '../../port/action.ts';
import { defineAction } from '../../port/action.ts';
import type { Credential } from '../http/service.ts';
import { at, callService } from '../http/service.ts';
import { duration } from '../inputs.ts';
import { CREATED_BY, alertmanagerInput, countAlerts, endpoint, matchers, shown } from './api.ts';

const LONGEST_MS = 24 * 3_600_000;

/** Ours from an earlier try of the same step, or null: a silence is made once, however often the answer got lost. */
const findOwn = async (
  given: { readonly url: string } & Credential,
  comment: string,
  context: ActionContext,
): Promise<{ readonly id: string; readonly endsAt: string } | null> => {
  const { json } = await callService({ method: 'GET', url: endpoint(given.url, 'silences') }, given, context);
  for (const entry of Array.isArray(json) ? json : []) {
    if (!isObject(entry) || entry['createdBy'] !== CREATED_BY || entry['comment'] !== comment) continue;
    if (at(entry as never, '/status/state') === 'expired') continue;
    if (typeof entry['id'] === 'string') return { id: entry['id'], endsAt: String(entry['endsAt']) };
  }
  return null;
};

export default defineAction({
  summary:
    'Silences the alerts with these very labels at an Alertmanager, for a time, if they are not more than expected.',
  effect: 'change',
  input: z.strictObject({
    ...alertmanagerInput,
    matchers,
    duration: duration.refine((ms) => ms >= 1_000 && ms <= LONGEST_MS, { message: 'between 1s and 24h' }),
    reason: z.string().min(3).max(500),
    /** More alerts than this are not silenced at all. */
    max_alerts: z.int().min(1).max(1_000).default(20),
    /** Also when no such alert fires now, as before maintenance. */
    allow_none: z.boolean().default(false),
  }),
  outputs: {
    silence_id: 'its id',
    ends_at: 'when it ends by itself, RFC 3339',
    alerts: 'how many alerts it matched when it was made',
    created: 'it was made by this try; false: an earlier try of the same step had made it',
  },
  undo: 'alertmanager.unsilence with `silence_id: ${{ undo.silence_id }}`',
  defaultTimeout: 15_000,
  async run(input, context) {
    const { clock, run } = context;
    const { active, suppressed } = await countAlerts(input, input.matchers, context);
    const alerts = active + suppressed;
    const refuse = (why: string): never => {
      throw new ActionError('permanent', `nothing was silenced: ${why}`);
    };
    if (alerts === 0 && !input.allow_none)
      refuse(
        `no alert has ${shown(input.matchers)}; mend: are these its labels? \`allow_none: true\` if none has to fire`,
      );
    if (alerts > input.max_alerts)
      refuse(`${alerts} alerts have ${shown(input.matchers)}, and ${input.max_alerts} at most were expected`);
    const comment = `${input.reason} (run ${run.id} on ${run.target} of ${run.component}, ${shown(input.matchers)})`;
    const own = await findOwn(input, comment, context);
    const made = (id: string, endsAt: string, created: boolean) => ({
      outputs: { silence_id: id, ends_at: endsAt, alerts, created },
      undo: { silence_id: id },
    });
    if (own !== null) {
      context.began();
      return made(own.id, own.endsAt, false);
    }
    const now = clock.now();
    const endsAt = rfc3339(now + input.duration);
    const json = {
      matchers: Object.entries(input.matchers).map(([name, value]) => ({ name, value, isRegex: false, isEqual: true })),
      startsAt: rfc3339(now),
      endsAt,
      createdBy: CREATED_BY,
      comment,
    };
    const url = endpoint(input.url, 'silences');
    const id = at((await callService({ method: 'POST', url, json, changes: true }, input, context)).json, '/silenceID');
    if (typeof id === 'string') return made(id, endsAt, true);
    throw new ActionError(
      'indeterminate',
      `${input.url} took the silence, but did not say its id; mend: look at its page`,
    );
  },
});
