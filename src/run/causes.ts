// Pages about a state of the world rather than about a run: a storm, a source that cannot be asked, a clock that jumped.
// Each has one inbox entry while it lasts, and has to be closed when it is over, so that the next one is paged again.
import type { Policy } from '../rule/limits.ts';
import { stormThreshold } from './guards.ts';
import type { History } from './history.ts';

export type Cause =
  | { readonly kind: 'clock' }
  /** `component` null: of several components at once. */
  | { readonly kind: 'storm'; readonly component: string | null }
  | { readonly kind: 'blind'; readonly guard: 'unconfirmed' | 'unhealthy'; readonly component: string }
  /** A rule cannot be decided: because nobody answers its questions, or, with its name, for a reason of its own. */
  | { readonly kind: 'undecidable'; readonly rule: string | null };

/** What an entry is about, by its `dedup`; null for everything that a human closes. */
export const causeOf = (dedup: string | null): Cause | null => {
  const [kind, ...rest] = (dedup ?? '').split(':');
  if (kind === 'clock' && rest.length === 0) return { kind };
  if (kind === 'storm') return { kind, component: rest.join(':') === '*' ? null : rest.join(':') };
  if (kind === 'undecidable') return { kind, rule: rest.join(':') === '*' ? null : rest.join(':') };
  const [guard, ...names] = rest;
  return kind === 'blind' && (guard === 'unconfirmed' || guard === 'unhealthy')
    ? { kind, guard, component: names.join(':') }
    : null;
};

/** `of` is what the guard said it was: a group that was cut short is over when nothing new fires any more. */
export const isStormOver = (
  policy: Policy['storm'],
  inventorySize: number,
  { targets, components }: Pick<History['storm'], 'targets' | 'components'>,
  of: 'targets' | 'components' | 'truncated',
): boolean => {
  if (of === 'components') return components < policy.components;
  return of === 'truncated' ? targets === 0 : targets < stormThreshold(policy, inventorySize);
};
