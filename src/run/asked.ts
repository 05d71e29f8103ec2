// How a question that a run asks is spoken of.
import type { RunState } from './state.ts';

export const stepOf = (asked: NonNullable<RunState['asked']>): string =>
  asked.step === null ? 'before it starts' : `at ${asked.step}`;
