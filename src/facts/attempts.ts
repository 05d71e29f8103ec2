// How often recovery was tried of late, so that a rule can change its mind before the caps do.
import { z } from 'zod';
import { parseDuration } from '../base/duration.ts';
import type { Attempt } from '../run/history.ts';
import type { Fact, FactInput } from '../port/fact.ts';

const params = z.strictObject({
  window: z
    .string()
    .refine((text) => (parseDuration(text) ?? 0) > 0, 'not a duration such as 1h')
    .default('1h'),
  scope: z.enum(['episode', 'target', 'strategy', 'component']).default('component'),
});

const isWithin = (attempt: Attempt, input: FactInput, scope: z.infer<typeof params>['scope']): boolean => {
  switch (scope) {
    case 'component':
      return true;
    case 'target':
      return attempt.target === input.target;
    case 'strategy':
      return attempt.strategy === input.strategy;
    case 'episode':
      return input.episodeId !== null && attempt.episodeId === input.episodeId;
  }
};

const fact: Fact = {
  summary:
    "Attempts on the component within the window: all, or the target's, the episode's, or those with the strategy of the rule's first rung.",
  type: 'number',
  optional: false,
  params,
  perRule: true,
  value: (input, given) => {
    const { window, scope } = params.parse(given);
    const since = input.now - (parseDuration(window) ?? 0);
    return input.snapshot.attempts.filter(
      (attempt) =>
        attempt.component === input.component &&
        attempt.ledger === input.ledger &&
        attempt.at > since &&
        isWithin(attempt, input, scope),
    ).length;
  },
};

export default fact;
