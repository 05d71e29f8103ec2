// How many alerts came together.
import type { Fact } from '../port/fact.ts';

const fact: Fact = {
  summary: 'How many alerts the delivery holds.',
  type: 'number',
  optional: false,
  params: null,
  value: ({ groupSize }) => groupSize,
};

export default fact;
