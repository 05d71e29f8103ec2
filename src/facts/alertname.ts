// What the alert is called.
import type { Fact } from '../port/fact.ts';

const fact: Fact = {
  summary: 'The name of the alert.',
  type: 'string',
  optional: false,
  params: null,
  value: ({ alert }) => (Object.hasOwn(alert.labels, 'alertname') ? alert.labels['alertname'] : undefined),
};

export default fact;
