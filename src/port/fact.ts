// The seam behind a rule's conditions: a named value about an alert, its component, or the world.
import type { Alert } from '../alert/alert.ts';
import type { JsonObject } from '../base/json.ts';
import { splitFact } from '../rule/fact.ts';
import type { FactValue, KnownFact, ReadFact } from '../rule/fact.ts';
import type { Ledger } from '../run/history.ts';
import type { Snapshot } from './store.ts';

export type FactInput = {
  readonly alert: Alert;
  /** Milliseconds UTC, the decision's `now`. */
  readonly now: number;
  readonly groupSize: number;
  readonly component: string | null;
  readonly target: string | null;
  /** The rule that asks, for scopes that are a rule's own. */
  readonly rule: string;
  readonly strategy: string | null;
  /** Where the attempts of the rule that asks are counted. */
  readonly ledger: Ledger;
  readonly episodeId: string | null;
  readonly snapshot: Snapshot;
};

export type Fact = KnownFact & {
  /** Undefined: not there. `member` is what stands behind the name of a family (`env` in `label.env`), else empty. */
  value(input: FactInput, params: JsonObject, member: string): FactValue;
};

/** By name; `label.*` and `annotation.*` are families under the names `label` and `annotation`. */
export type Facts = ReadonlyMap<string, Fact>;

/** Reads for one alert. `ledger` is the alert's; a rule that is shadow by itself counts on its own. */
export const factReader = (
  facts: Facts,
  input: Omit<FactInput, 'rule' | 'strategy' | 'ledger'> & { readonly ledger: 'live' | 'shadow' },
): ReadFact => {
  return (name, params, rule) => {
    const split = splitFact(facts, name);
    const fact = split === null ? undefined : facts.get(split.fact);
    if (split === null || fact === undefined) return undefined;
    const ledger = rule.mode === 'shadow' ? (`shadow:${rule.name}` as const) : input.ledger;
    const strategy = rule.ladder[0]?.runbook.split('/')[1] ?? null;
    return fact.value({ ...input, rule: rule.name, strategy, ledger }, params, split.member);
  };
};

export type { FactValue };
