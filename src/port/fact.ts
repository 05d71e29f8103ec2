// The seam behind a rule's conditions: a named value about an alert, its component, or the world.
import type { Alert } from '../alert/alert.ts';
import type { JsonObject } from '../base/json.ts';
import { splitFact } from '../rule/fact.ts';
import type { Answer, AskFact, FactValue, KnownFact, ReadFact } from '../rule/fact.ts';
import type { Rule } from '../rule/rule.ts';
import type { Ledger } from '../run/history.ts';
import type { Sources } from './sources.ts';
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

type LocalFact = KnownFact & {
  readonly outside?: never;
  /** Undefined: not there. `member` is what stands behind the name of a family (`env` in `label.env`), else empty. */
  value(input: FactInput, params: JsonObject, member: string): FactValue;
};
type OutsideFact = KnownFact & {
  readonly outside: true;
  ask(input: FactInput, params: JsonObject, sources: Pick<Sources, 'query'>): Promise<Answer>;
};
export type Fact = LocalFact | OutsideFact;

/** By name; `label.*` and `annotation.*` are families under the names `label` and `annotation`. */
export type Facts = ReadonlyMap<string, Fact>;

type AlertInput = Omit<FactInput, 'rule' | 'strategy' | 'ledger'> & { readonly ledger: 'live' | 'shadow' };

const inputFor = (input: AlertInput, rule: Rule): FactInput => ({
  ...input,
  rule: rule.name,
  strategy: rule.ladder[0]?.runbook.split('/')[1] ?? null,
  ledger: rule.mode === 'shadow' ? `shadow:${rule.name}` : input.ledger,
});

/** Reads for one alert. `ledger` is the alert's; a rule that is shadow by itself counts on its own. */
export const factReader =
  (facts: Facts, input: AlertInput): ReadFact =>
  (name, params, rule) => {
    const split = splitFact(facts, name);
    const fact = split === null ? undefined : facts.get(split.fact);
    if (split === null || fact === undefined || fact.outside === true) return undefined;
    return fact.value(inputFor(input, rule), params, split.member);
  };

/** Asks the outside for one alert. */
export const factAsker =
  (facts: Facts, input: AlertInput, sources: Pick<Sources, 'query'>): AskFact =>
  async (name, params, rule) => {
    const fact = facts.get(name);
    if (fact?.outside !== true) throw new Error(`${name} is no fact to ask for`);
    return fact.ask(inputFor(input, rule), params, sources);
  };
