// Whether a container really runs. A restart that the engine calls a success says nothing about one that ends again a
// moment later: only some seconds in which nothing was counted do.
import { ActionError } from '../../base/failure.ts';
import type { JsonObject } from '../../base/json.ts';
import type { ActionContext } from '../../port/action.ts';
import type { Engine, State } from './engine.ts';
import { stateOf } from './engine.ts';

const LOOK_EVERY_MS = 200;

export type Steady = { readonly stableMs: number; readonly withinMs: number };

export const stateOutputs = {
  status: 'as the engine calls it: running, exited, restarting, ...',
  running: 'it runs, and is neither paused nor being restarted',
  restarts: 'how often the engine has started it anew by itself',
  started_at: 'when it was started last',
  exit_code: 'of its last end',
  image: 'the id of its image',
  health: 'healthy, unhealthy, starting, or empty without a health check',
};

export const shownState = (state: State): JsonObject => ({
  status: state.status,
  running: state.running,
  restarts: state.restarts,
  started_at: state.startedAt,
  exit_code: state.exitCode,
  image: state.image,
  health: state.health,
});

/** Resolves once it has run for `stableMs` without having been started anew; throws when that does not come about. */
export const becomesSteady = async (
  engine: Engine,
  name: string,
  { stableMs, withinMs }: Steady,
  context: ActionContext,
): Promise<State> => {
  const { clock, signal } = context;
  const first = stateOf(await engine.inspect(name));
  const until = clock.monotonic() + withinMs;
  let state = first;
  let since: number | null = null;
  let startedAt = '';
  for (;;) {
    const now = clock.monotonic();
    const well = state.running && state.health !== 'starting' && state.health !== 'unhealthy';
    if (!well) since = null;
    else if (since === null || state.startedAt !== startedAt) {
      since = now;
      startedAt = state.startedAt;
    }
    if (state.restarts > first.restarts)
      throw failed(state, `${name} ends again and again: it was started anew while it was being watched`);
    if (since !== null && now - since >= stableMs) return state;
    if (!state.running && !state.comesBack && !starting(state))
      throw failed(state, `${name} does not run: it is ${state.status}, with exit code ${state.exitCode}`);
    if (now >= until)
      throw failed(
        state,
        `${name} was not steady for ${stableMs} ms within ${withinMs} ms: it is ${state.status}${state.health === '' ? '' : ` and ${state.health}`}`,
        'retryable',
      );
    await clock.sleep(LOOK_EVERY_MS, signal);
    state = stateOf(await engine.inspect(name));
  }
};

const starting = ({ status }: State): boolean =>
  ['created', 'initialized', 'configured', 'restarting'].includes(status);

const failed = (state: State, message: string, kind: 'permanent' | 'retryable' = 'permanent'): ActionError =>
  new ActionError(kind, message, { outputs: shownState(state) });
