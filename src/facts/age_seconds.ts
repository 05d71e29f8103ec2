// How long the alert has been firing. Never negative: clocks differ.
import type { Fact } from '../port/fact.ts';

const fact: Fact = {
  summary: 'Seconds since the alert began.',
  type: 'number',
  optional: false,
  params: null,
  value: ({ alert, now }) => Math.max(0, (now - alert.startsAt) / 1_000),
};

export default fact;
