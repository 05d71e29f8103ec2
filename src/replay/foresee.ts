// What the rules would say to an alert that has not come: the engine of the backtest on an empty record, or on what a journal
// had before it; and, for rules that do not match, the least that would have to be different.
import type { Alert } from '../alert/alert.ts';
import { createSelector } from '../alert/select.ts';
import { parseDelivery } from '../alert/webhook.ts';
import { didYouMean } from '../base/failure.ts';
import type { JsonObject } from '../base/json.ts';
import type { Loaded } from '../engine/context.ts';
import type { Facts } from '../port/fact.ts';
import { factAsker, factReader } from '../port/fact.ts';
import type { Sources } from '../port/sources.ts';
import { branchesOf, namedValues } from '../rule/branches.ts';
import { decide } from '../rule/decide.ts';
import { backtest } from './backtest.ts';
import type { BacktestInput } from './backtest.ts';
import { explain, missingFor } from './explain.ts';
import type { Explanation } from './explain.ts';

export type NearMiss = { readonly rule: string; readonly conditions: readonly string[] };
export type Foreseen = {
  /** One an alert of the delivery, in its order. */
  readonly explanations: readonly Explanation[];
  /** Why the body could not be read at all; null when it could. */
  readonly refused: string | null;
};

/** The last delivery is explained; what is before it is what had happened. */
export const foresee = async (input: Omit<BacktestInput, 'decided' | 'aftermath'>): Promise<Foreseen> => {
  const last = input.journal.deliveries.length - 1;
  const ids: string[] = [];
  const { refused } = await backtest({
    ...input,
    aftermath: false,
    decided: ({ delivery }, id) => {
      if (delivery === last) ids.push(id);
    },
  });
  const line = input.journal.deliveries[last]?.line;
  const rows = await Promise.all(ids.map(async (id) => input.store.decision(id)));
  return {
    explanations: rows.flatMap((row) => (row === null ? [] : [explain(row)])),
    refused: refused.find((one) => one.line === line)?.why ?? null,
  };
};

/** More than this to change is another alert, not a near miss. */
const MOST_CHANGES = 3;
const MOST_TOLD = 3;

export type Asking = {
  readonly loaded: Loaded;
  readonly facts: Facts;
  readonly now: number;
  readonly query: Sources['query'];
};

/** Of rules that do not match, those that lack least; of `only`, whatever it lacks. */
export const nearMisses = async (
  alert: Alert,
  { loaded, facts, now, query }: Asking,
  only?: string,
): Promise<readonly NearMiss[]> => {
  const { rules } = loaded.catalog;
  const selection = createSelector(loaded.config.components)(alert.labels);
  const component = selection.component?.name ?? null;
  const input = {
    alert,
    now,
    groupSize: 1,
    component,
    target: selection.found ? selection.target.name : null,
    ledger: 'live',
    episodeId: null,
    snapshot: { version: 0, attempts: [], firingTargets: 0, degraded: [] },
  } as const;
  const found: Array<NearMiss & { readonly alike: boolean }> = [];
  for (const [position, { name, conditions }] of rules.rules.entries()) {
    if (only !== undefined && only !== name) continue;
    const alone = { ...rules, candidates: { of: () => [position] } };
    const { trace } = await decide(alone, {
      labels: alert.labels,
      component,
      read: factReader(facts, input),
      ask: factAsker(facts, input, { query }),
    });
    const [asked] = trace;
    if (asked === undefined || asked.matched) continue;
    const lacking =
      asked.conditions === null ? [asked.error ?? ''] : missingFor(asked.conditions).map(({ text }) => text);
    if (only !== undefined || lacking.length <= MOST_CHANGES)
      found.push({ rule: name, conditions: lacking, alike: isAlike(alert, conditions) });
  }
  return found
    .toSorted(
      (left, right) => left.conditions.length - right.conditions.length || Number(right.alike) - Number(left.alike),
    )
    .slice(0, MOST_TOLD)
    .map(({ rule, conditions }) => ({ rule, conditions }));
};

/** Whether the rule is for an alert of nearly this name: a slip of the pen goes before other rules that lack as much. */
const isAlike = ({ labels }: Alert, conditions: JsonObject): boolean => {
  const names = (branchesOf(conditions) ?? []).flatMap((branch) => namedValues(branch, 'alertname'));
  return didYouMean(labels['alertname'] ?? '', names) !== undefined;
};

/** The alerts of a body, for those that ask about each. */
export const alertsIn = (body: Buffer, now: number): readonly Alert[] => {
  const delivery = parseDelivery(body, now);
  return delivery.ok ? delivery.value.entries.flatMap((entry) => (entry.valid ? [entry.alert] : [])) : [];
};
