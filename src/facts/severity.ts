// How bad the alert says it is.
import type { Fact } from '../port/fact.ts';

const fact: Fact = {
  summary: 'The label severity.',
  type: 'string',
  optional: true,
  params: null,
  value: ({ alert }) => (Object.hasOwn(alert.labels, 'severity') ? alert.labels['severity'] : undefined),
};

export default fact;
