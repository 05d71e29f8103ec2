// A human gives a demoted rule back what its file says.
import type { Answer } from '../port/desk.ts';
import { demotedEntry } from '../run/conclusion.ts';
import type { Write } from '../run/writes.ts';
import type { EngineContext } from './context.ts';

const MOST_OPEN = 1_000;

export const restoreRule = async (
  { store, clock, loaded }: Pick<EngineContext, 'store' | 'clock' | 'loaded'>,
  { rule, by, reason }: { readonly rule: string; readonly by: string; readonly reason: string },
): Promise<Answer<{ readonly rule: string }>> => {
  const demotion = (await store.controls()).demotions.get(rule);
  if (demotion === undefined) {
    const known = loaded().catalog.rules.rules.some(({ name }) => name === rule);
    return known
      ? { ok: false, status: 409, problem: `${rule} is not demoted` }
      : { ok: false, status: 404, problem: `there is no rule ${rule}` };
  }
  const open = await store.list('inbox', { limit: MOST_OPEN, cursor: null, filters: { status: 'open' }, since: null });
  const told = open.items.filter((entry) => entry.dedup === demotedEntry(rule));
  const comment = `restored${reason === '' ? '' : `: ${reason}`}`;
  await store.write(
    [
      { type: 'rule.restore', rule },
      ...told.map(({ id }): Write => ({ type: 'inbox.close', id, by, comment })),
      { type: 'audit', actor: by, action: 'rule.restore', subject: rule, detail: { reason, was: demotion.reason } },
    ],
    clock.now(),
  );
  return { ok: true, value: { rule } };
};
