// Whether everything stands still, by whom and why: by the record or by the halt file, which has the last word.
import type { FiguresContext } from './figures.ts';

export type HaltShown = {
  readonly on: boolean;
  readonly by: string;
  readonly reason: string;
  readonly at: number | null;
  readonly until: number | null;
  readonly hard: boolean;
};

export const readHalt = async ({ store, halt }: FiguresContext): Promise<HaltShown> => {
  const file = halt.reason();
  const { on, at, by, reason, hard, until } = (await store.controls()).halt;
  return {
    on: on || file !== null,
    by,
    reason,
    at: on ? at : null,
    until,
    hard,
    ...(file === null ? {} : { by: 'file', reason: file }),
  };
};
