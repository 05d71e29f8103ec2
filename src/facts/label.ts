// A label of the alert, whatever it is called: `label.env`, `label.k8s.pod`, also `label.__proto__`.
import type { Fact } from '../port/fact.ts';

const fact: Fact = {
  summary: 'A label of the alert, by name.',
  type: 'string',
  optional: true,
  params: null,
  family: true,
  value: ({ alert }, _params, member) => (Object.hasOwn(alert.labels, member) ? alert.labels[member] : undefined),
};

export default fact;
