// Closing a breaker: a human says that the strategy may be tried again.
import { didYouMean } from '../base/failure.ts';
import type { Answer, Desk } from '../port/desk.ts';
import { breakerState } from '../run/breaker.ts';
import type { EngineContext } from './context.ts';

export const closeBreaker = async (
  context: EngineContext,
  { component: name, strategy, by, comment }: Parameters<Desk['closeBreaker']>[0],
): Promise<Answer<{ component: string; strategy: string }>> => {
  const { config, catalog } = context.loaded();
  const { store, clock } = context;
  const component = config.components.get(name);
  if (component === undefined) return { ok: false, status: 404, problem: `there is no component ${name}` };
  const known = [...catalog.runbooks.values()].filter(({ kind }) => kind === component.kind);
  const [attempts = []] = await store.breakerAttempts([{ component: name, strategy }]);
  if (attempts.length === 0 && !known.some((runbook) => runbook.strategy === strategy)) {
    const near = didYouMean(
      strategy,
      known.map((runbook) => runbook.strategy),
    );
    const mend = near === undefined ? '' : `: did you mean ${near}?`;
    return { ok: false, status: 404, problem: `${name} has no strategy ${strategy}${mend}` };
  }
  const { open, failures } = breakerState(attempts, component.policy.breaker);
  if (!open) {
    const { failures: most } = component.policy.breaker;
    const problem = `the breaker of ${strategy} is not open: ${failures} failures in a row, ${most} open it`;
    return { ok: false, status: 409, problem };
  }
  const now = clock.now();
  await store.write(
    [
      { type: 'breaker.close', component: name, strategy },
      { type: 'episodes.wake', component: name, at: now, heldBy: 'breaker_open' },
      {
        type: 'audit',
        actor: by,
        action: 'breaker.close',
        subject: `${name}/${strategy}`,
        detail: { failures, comment },
      },
    ],
    now,
  );
  return { ok: true, value: { component: name, strategy } };
};
