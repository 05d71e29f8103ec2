// The hour of the decision, for rules that hold by day or by night.
import type { Fact } from '../port/fact.ts';

const fact: Fact = {
  summary: 'The hour of the day, 0 to 23, UTC.',
  type: 'number',
  optional: false,
  params: null,
  value: ({ now }) => Math.floor(now / 3_600_000) % 24,
};

export default fact;
