// Which one of the component.
import type { Fact } from '../port/fact.ts';

const fact: Fact = {
  summary: "The entry of the component's inventory that the alert selects.",
  type: 'string',
  optional: true,
  params: null,
  value: ({ target }) => target ?? undefined,
};

export default fact;
