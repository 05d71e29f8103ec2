// A breaker that stays open although what it guards against is over is closed by hand; one that is right is left alone:
// closing it would send all traffic against a service that is down.
import { z } from 'zod';
import { ActionError } from '../../base/failure.ts';
import type { Json } from '../../base/json.ts';
import type { ActionContext } from '../../port/action.ts';
import { defineAction } from '../../port/action.ts';
import { duration } from '../inputs.ts';
import { breakerInput, readBreaker } from './breaker.ts';
import { ANY_STATUS, address, afterChange, at, callService, jsonPointer } from './service.ts';

const LOOK_EVERY_MS = 200;

const dependency = z
  .strictObject({
    url: address,
    /** A place in its JSON and what has to stand there: a status page answers 200 while it tells of an outage. */
    pointer: jsonPointer.optional(),
    equals: z.union([z.string().max(256), z.number(), z.boolean()]).optional(),
  })
  .refine((input) => (input.equals === undefined) === (input.pointer === undefined), {
    message: 'pointer and equals belong together',
  });

/** Why a dependency does not count as healthy, or null. Asked without our credential: it is another's service. */
const whyDown = async (
  { url, pointer, equals }: z.output<typeof dependency>,
  timeoutMs: number,
  context: ActionContext,
): Promise<string | null> => {
  try {
    const answer = await callService({ method: 'GET', url, timeoutMs, statuses: ANY_STATUS }, {}, context);
    if (answer.status < 200 || answer.status > 299) return `${url} was answered ${answer.status}`;
    if (pointer === undefined) return null;
    const value: Json | undefined = at(answer.json, pointer);
    return value === equals
      ? null
      : `${url} says ${JSON.stringify(value ?? null).slice(0, 100)} instead of ${JSON.stringify(equals)}`;
  } catch (error) {
    context.signal.throwIfAborted();
    // What is wrong with our own configuration says nothing about the dependency.
    if (error instanceof ActionError && error.kind === 'retryable') return error.message;
    throw error;
  }
};

export default defineAction({
  summary:
    "Closes an application's open circuit breaker if all that it depends on is healthy; else leaves it and says so.",
  effect: 'change',
  input: z.strictObject({
    ...breakerInput,
    /** What takes a POST that closes the breaker. */
    reset_url: address,
    /** Each has to be healthy. There is no reset without one that was asked. */
    dependencies: z.array(dependency).min(1).max(20),
    dependency_timeout: duration.default(3_000),
    /** How long the metrics may take to show it. */
    settle: duration.default(2_000),
  }),
  outputs: {
    reset: 'the breaker was closed by this step',
    dependency_healthy: 'all dependencies were healthy',
    reason: 'why it was not reset, or empty',
    state_before: 'its state before',
    state_after: 'its state after',
    metrics_before: "the breaker's lines of the metrics page before, at most 50",
    metrics_after: 'the same lines after',
  },
  undo: 'not needed: a breaker that was closed too early opens again by itself',
  defaultTimeout: 30_000,
  async run(input, context) {
    const { clock, signal } = context;
    const before = await readBreaker(input, context);
    const untouched = (healthy: boolean, reason: string) => ({
      outputs: {
        reset: false,
        dependency_healthy: healthy,
        reason,
        state_before: before.state,
        state_after: before.state,
        metrics_before: before.lines,
        metrics_after: before.lines,
      },
    });
    const down: string[] = [];
    for (const each of input.dependencies) {
      const reason = await whyDown(each, input.dependency_timeout, context);
      if (reason !== null) down.push(reason);
    }
    if (down.length > 0) return untouched(false, `not reset, since it is right: ${down.join('; ')}`);
    if (before.state === 'closed') return untouched(true, 'it is closed already');
    await callService(
      { method: 'POST', url: input.reset_url, json: { name: input.breaker }, changes: true },
      input,
      context,
    );
    const until = clock.monotonic() + input.settle;
    const look = () =>
      afterChange(`the reset of ${input.breaker} was taken`, untouched(true, 'reset, and not seen since').outputs, () =>
        readBreaker(input, context),
      );
    let after = await look();
    while (after.state === 'open' && clock.monotonic() < until) {
      await clock.sleep(LOOK_EVERY_MS, signal);
      after = await look();
    }
    const outputs = {
      reset: after.state !== 'open',
      dependency_healthy: true,
      reason: '',
      state_before: before.state,
      state_after: after.state,
      metrics_before: before.lines,
      metrics_after: after.lines,
    };
    if (after.state !== 'open') return { outputs };
    throw new ActionError(
      'retryable',
      `the reset of ${input.breaker} was taken, but it still is open after ${input.settle} ms: calls fail again at once, or the address resets another`,
      { outputs: { ...outputs, reason: 'still open after the reset' } },
    );
  },
});
