// Waits for a figure to become good, and watches that it stays so: between the stages of a rollback somebody has to look.
import { z } from 'zod';
import { ActionError } from '../../base/failure.ts';
import type { ActionContext } from '../../port/action.ts';
import { defineAction } from '../../port/action.ts';
import { duration } from '../inputs.ts';
import type { Question } from './query-api.ts';
import { askPrometheus, queryInput } from './query-api.ts';

const TIMEOUT_MS = 5_000;

type Comparison = {
  readonly above?: number | undefined;
  readonly below?: number | undefined;
  readonly equal?: number | undefined;
};
/** `unanswered`: Prometheus could not be asked, which says nothing about the figure. */
type Look = { readonly state: 'good' | 'bad' | 'unanswered'; readonly value: number | null; readonly said: string };

const holds = (value: number, { above, below, equal }: Comparison): boolean =>
  (above === undefined || value > above) &&
  (below === undefined || value < below) &&
  (equal === undefined || value === equal);

const shownComparison = ({ above, below, equal }: Comparison): string =>
  [
    above === undefined ? '' : `above ${above}`,
    below === undefined ? '' : `below ${below}`,
    equal === undefined ? '' : `equal to ${equal}`,
  ]
    .filter((part) => part !== '')
    .join(' and ');

const lookOnce = async (question: Question, comparison: Comparison, context: ActionContext): Promise<Look> => {
  try {
    const samples = await askPrometheus(question, TIMEOUT_MS, context);
    const [only] = samples;
    if (samples.length !== 1 || only === undefined)
      return { state: 'bad', value: null, said: `${samples.length} samples` };
    if (!Number.isFinite(only.value)) return { state: 'bad', value: null, said: String(only.value) };
    const good = holds(only.value, comparison);
    return { state: good ? 'good' : 'bad', value: only.value, said: String(only.value) };
  } catch (error) {
    context.signal.throwIfAborted();
    if (!(error instanceof ActionError) || error.kind !== 'retryable') throw error;
    return { state: 'unanswered', value: null, said: error.message };
  }
};

export default defineAction({
  summary:
    'Waits until the one sample of a query compares as told, and then watches that it goes on to for as long as told.',
  effect: 'read',
  input: z
    .strictObject({
      ...queryInput,
      above: z.number().optional(),
      below: z.number().optional(),
      equal: z.number().optional(),
      every: duration.default(5_000),
      /** How long it may take to become so. */
      within: duration.default(60_000),
      /** How long it then has to stay so, at every look. The first look that is not ends it. */
      hold: duration.default(0),
      /** Looks in a row at which Prometheus may give no answer at all. */
      unanswered: z.int().min(0).max(100).default(2),
    })
    .refine((input) => input.above !== undefined || input.below !== undefined || input.equal !== undefined, {
      message: 'say what is waited for: above, below or equal',
    }),
  outputs: {
    value: 'the last value, or null',
    looks: 'how often it was asked',
    waited_seconds: 'how long it took until it was so, in seconds',
    held_seconds: 'how long it stayed so, in seconds',
  },
  undo: 'nothing to undo: it only reads',
  defaultTimeout: 120_000,
  async run(input, context) {
    const { clock, signal } = context;
    signal.throwIfAborted();
    const start = clock.monotonic();
    const wanted = shownComparison(input);
    const seconds = (ms: number): number => Math.round(ms) / 1_000;
    let goodSince: number | null = null;
    let silent = 0;
    for (let looks = 1; ; looks += 1) {
      const look = await lookOnce(input, input, context);
      const now = clock.monotonic();
      const outputs = {
        value: look.value,
        looks,
        waited_seconds: seconds((goodSince ?? now) - start),
        held_seconds: seconds(goodSince === null ? 0 : now - goodSince),
      };
      const fail = (kind: 'permanent' | 'retryable', why: string): never => {
        throw new ActionError(kind, `${input.query.slice(0, 300)} ${why}`, { outputs });
      };
      silent = look.state === 'unanswered' ? silent + 1 : 0;
      if (goodSince !== null && look.state === 'bad')
        fail('permanent', `was ${wanted} for ${outputs.held_seconds} s, and then ${look.said}`);
      if (goodSince !== null && silent > input.unanswered)
        fail('retryable', `could not be watched: ${silent} looks without an answer, the last: ${look.said}`);
      if (goodSince === null && look.state === 'good') goodSince = now;
      if (goodSince !== null && look.state === 'good' && now - goodSince >= input.hold) return { outputs };
      if (goodSince === null && now - start + input.every > input.within)
        fail(
          'retryable',
          `did not become ${wanted} within ${input.within} ms; the last of ${looks} looks: ${look.said}`,
        );
      await clock.sleep(Math.max(10, input.every), signal);
    }
  },
});
