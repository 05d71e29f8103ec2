// What a run did, as its record tells it: for tests that look at a strategy from outside.
import type { JsonObject } from '../../src/base/json.ts';
import type { EngineUnderTest } from './engine.ts';

type Run = Awaited<ReturnType<EngineUnderTest['list']>>[number] & {
  readonly id: string;
  readonly strategy: string;
  readonly state: string;
  readonly outcome: string | null;
  readonly cause: string | null;
};
export type Story = {
  readonly run: Run;
  /** `steps/login succeeded`, in order. */
  readonly path: readonly string[];
  readonly outputs: (step: string) => JsonObject;
  /** What a failed step said. */
  readonly error: (step: string) => string;
};

/** Of the newest run, of the newest one of a strategy, or of the one with this id. */
export const storyOf = async (amends: EngineUnderTest, strategy?: string, id?: string): Promise<Story> => {
  const runs = (await amends.list('runs')).toSorted((left, right) => right.createdAt - left.createdAt);
  const run = runs.find(
    (one) => (strategy === undefined || one.strategy === strategy) && (id === undefined || one.id === id),
  );
  if (run === undefined) {
    const reasons = (await amends.list('decisions')).map(({ rule, reason }) => `${rule ?? 'no rule'}: ${reason}`);
    throw new Error(`no run; ${reasons.join(', ')}; runs: ${runs.map((one) => one.strategy).join(', ')}`);
  }
  const events = (await amends.store.run(run.id))?.events.map(({ event }) => event) ?? [];
  const ended = events.filter((event) => event.type === 'step_succeeded' || event.type === 'step_failed');
  return {
    run,
    path: events.flatMap((event) =>
      event.type === 'step_succeeded' || event.type === 'step_skipped' || event.type === 'step_failed'
        ? [`${event.step} ${event.type.slice(5)}`]
        : [],
    ),
    outputs: (step) => ended.findLast((event) => event.step === step)?.outputs ?? {},
    error: (step) => {
      const found = ended.findLast((event) => event.step === step);
      return found?.type === 'step_failed' ? found.error : '';
    },
  };
};

/** Says yes to what the newest run asks, lets the engine come to rest, and tells what the run did. */
export const sayYes = async (amends: EngineUnderTest, step: string | null = null, by = 'ann'): Promise<Story> => {
  const { run } = await storyOf(amends);
  const answer = await amends.engine.desk.approve({ runId: run.id, step, by, comment: 'go ahead' });
  if (!answer.ok) throw new Error(`not approved: ${answer.problem}`);
  await amends.settle();
  // After a failure the next question is asked at once, by a run of its own.
  return storyOf(amends, undefined, run.id);
};

/** What somebody asks for by hand. */
export const askFor = async (
  amends: EngineUnderTest,
  wish: {
    readonly component: string;
    readonly target: string;
    readonly strategy?: string;
    readonly failureType?: string;
    readonly inputs?: JsonObject;
    readonly context?: JsonObject;
  },
): Promise<void> => {
  const answer = await amends.engine.desk.recover({
    component: wish.component,
    target: wish.target,
    strategy: wish.strategy ?? null,
    failureType: wish.failureType ?? null,
    inputs: wish.inputs ?? {},
    context: wish.context ?? {},
    requireApproval: false,
    overrideCooldown: false,
    reason: 'a test',
    by: 'ann',
  });
  if (!answer.ok) throw new Error(`refused: ${answer.problem}`);
  await amends.settle();
};

export const openInbox = async (
  amends: EngineUnderTest,
): Promise<ReadonlyArray<{ kind: string; title: string; text: string }>> =>
  (await amends.list('inbox'))
    .filter(({ status }) => status === 'open')
    .map(({ kind, title, body }) => ({ kind, title, text: JSON.stringify(body) }));
