// What would be recovered, by configuration.
import type { Fact } from '../port/fact.ts';

const fact: Fact = {
  summary: 'The component that the alert selects.',
  type: 'string',
  optional: true,
  params: null,
  value: ({ component }) => component ?? undefined,
};

export default fact;
