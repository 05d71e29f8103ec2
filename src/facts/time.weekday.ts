// The day of the decision, by name: numbers differ in where a week begins.
import type { Fact } from '../port/fact.ts';

/** 1970-01-01 was a Thursday. */
const DAYS = ['thursday', 'friday', 'saturday', 'sunday', 'monday', 'tuesday', 'wednesday'];

const fact: Fact = {
  summary: 'The day of the week, monday to sunday, UTC.',
  type: 'string',
  optional: false,
  params: null,
  values: ['monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday', 'sunday'],
  value: ({ now }) => DAYS[Math.floor(now / 86_400_000) % 7],
};

export default fact;
