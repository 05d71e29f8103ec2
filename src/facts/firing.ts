// How widespread it is.
import type { Fact } from '../port/fact.ts';

const fact: Fact = {
  summary: 'How many targets of the component fire now.',
  type: 'number',
  optional: false,
  params: null,
  value: ({ snapshot }) => snapshot.firingTargets,
};

export default fact;
