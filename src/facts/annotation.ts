// An annotation of the alert, by name.
import type { Fact } from '../port/fact.ts';

const fact: Fact = {
  summary: 'An annotation of the alert, by name.',
  type: 'string',
  optional: true,
  params: null,
  family: true,
  value: ({ alert }, _params, member) =>
    Object.hasOwn(alert.annotations, member) ? alert.annotations[member] : undefined,
};

export default fact;
