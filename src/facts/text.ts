// What the alert says to people: for alerts that tell their kind only in words.
import type { Fact } from '../port/fact.ts';

const fact: Fact = {
  summary: 'The annotations summary and description, a line each; empty when there are none.',
  type: 'string',
  optional: false,
  params: null,
  value: ({ alert }) =>
    ['summary', 'description']
      .flatMap((name) => (Object.hasOwn(alert.annotations, name) ? [alert.annotations[name]] : []))
      .filter((text) => text !== undefined && text !== '')
      .join('\n'),
};

export default fact;
