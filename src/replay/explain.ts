// Why a decision came out as it did, and what would have had to be different: made of what was stored with it, never of
// what is true by now.
import { rfc3339 } from '../base/clock.ts';
import { isObject } from '../base/json.ts';
import type { Json, JsonObject } from '../base/json.ts';
import type { DecisionRow } from '../port/record.ts';
import { GUARDS } from '../run/reasons.ts';
import type { GuardName } from '../run/reasons.ts';

type Row = Pick<
  DecisionRow,
  'id' | 'at' | 'origin' | 'reason' | 'caller' | 'component' | 'target' | 'rule' | 'strategy' | 'runId' | 'record'
>;

export type Condition = { readonly text: string; readonly result: boolean | null };

export type Explanation = {
  readonly decision: Omit<Row, 'record'>;
  readonly why: string;
  readonly guards: ReadonlyArray<{
    readonly guard: string;
    readonly passed: boolean;
    readonly detail: string;
    readonly endsAt: number | null;
    /** What it looked at, by name. */
    readonly inputs: JsonObject;
    readonly ledger: string;
  }>;
  /** Rules that the alert's labels bring into question, in the order in which they are asked. */
  readonly candidates: readonly string[];
  /** Those that were asked, up to the one that won. */
  readonly rules: ReadonlyArray<{
    readonly rule: string;
    readonly matched: boolean;
    readonly error: string | null;
    readonly conditions: readonly Condition[];
  }>;
  readonly facts: JsonObject;
  readonly plans: readonly Json[];
  readonly digests: JsonObject;
  readonly whatWouldHaveToChange: readonly string[];
};

export const explain = (row: Row): Explanation => {
  const { record, ...decision } = row;
  const plans = list(record['plans']);
  const guards = list(record['verdicts']).flatMap((verdicts, index) => {
    const ledger = text(object(plans[index])['ledger']) || 'live';
    return list(verdicts)
      .map(object)
      .map((verdict) => ({
        guard: text(verdict['guard']),
        passed: verdict['passed'] === true,
        detail: text(verdict['detail']),
        endsAt: typeof verdict['endsAt'] === 'number' ? verdict['endsAt'] : null,
        inputs: object(verdict['inputs']),
        ledger,
      }));
  });
  const rules = list(record['trace'])
    .map(object)
    .map((trace) => ({
      rule: text(trace['rule']),
      matched: trace['matched'] === true,
      error: typeof trace['error'] === 'string' ? trace['error'] : null,
      conditions: isObject(trace['conditions']) ? leaves(object(trace['conditions']), false) : [],
    }));
  const candidates = list(record['candidates']).map(text);
  const known = {
    decision,
    guards,
    candidates,
    rules,
    facts: object(record['facts']),
    plans,
    digests: object(record['digests']),
  };
  return { ...known, why: whyOf(row), whatWouldHaveToChange: changesFor(row, guards, rules) };
};

const list = (value: Json | undefined): readonly Json[] => (Array.isArray(value) ? (value as readonly Json[]) : []);
const object = (value: Json | undefined): JsonObject => (isObject(value) ? value : {});
const text = (value: Json | undefined): string => (typeof value === 'string' ? value : '');

const place = (row: Row): string =>
  [row.component ?? 'no component', row.target].filter((part) => part !== null).join(' ');
const noteOf = (row: Row): string =>
  text(row.record['note']) || text(row.record['problem']) || text(object(row.record['selection'])['problem']);

/** The refusal that gave the decision its reason, on the ledger of the winner. */
const refusalOf = (row: Row): JsonObject | undefined => {
  const verdicts = list(row.record['verdicts']).at(-1);
  return list(verdicts)
    .map(object)
    .find((verdict) => verdict['passed'] === false);
};

type Settled = Exclude<DecisionRow['reason'], GuardName>;
const asked = (row: Row): string => `asked for ${row.strategy ?? 'a runbook'} on ${place(row)}`;
const ruleOf = (row: Row): string => (row.rule === null ? 'no rule' : `the rule ${row.rule}`);
/** Where rules that are themselves in shadow matched, none of them won: all that matched are named. */
const shadowedOf = (row: Row): string => {
  const matched = list(row.record['trace'])
    .map(object)
    .filter((trace) => trace['matched'] === true)
    .map((trace) => text(trace['rule']));
  if (row.rule !== null || matched.length === 0) return ruleOf(row);
  return matched.length === 1 ? `the rule ${matched.join()}` : `the rules ${matched.join(', ')}`;
};
const because = (row: Row): string => {
  const note = noteOf(row);
  return note === '' ? '' : `: ${note}`;
};

const WHY: { readonly [Name in Settled]: (row: Row) => string } = {
  admitted: (row) =>
    `${row.rule === null ? (row.caller ?? 'a human') : ruleOf(row)} ${asked(row)}, and every guard let it pass`,
  awaiting_approval: (row) => `${ruleOf(row)} ${asked(row)}, and a human has to agree first`,
  shadow: (row) => `${shadowedOf(row)} matched in shadow mode: what it would have done is recorded, nothing was done`,
  observed: (row) => `${ruleOf(row)} matched and only observes`,
  ignored: (row) => `${ruleOf(row)} matched and says to ignore it`,
  escalated: (row) => `${ruleOf(row)} matched and hands it straight to a human`,
  no_match: (row) =>
    list(row.record['candidates']).length === 0
      ? 'no rule asks for an alert with these labels'
      : 'no rule that came into question matched',
  resolved: () => 'the alert is resolved; it ends its episode and is not matched against rules',
  duplicate: (row) => `the alert was already decided in this episode${because(row)}`,
  invalid: (row) => `nothing may be done about it${because(row)}`,
  undecidable: (row) => `what the rules needed to know could not be found out${because(row)}`,
};

const isGuard = (reason: string): reason is GuardName => (GUARDS as readonly string[]).includes(reason);

const whyOf = (row: Row): string => {
  if (!isGuard(row.reason)) return WHY[row.reason](row);
  const detail = text(refusalOf(row)?.['detail']);
  return `${ruleOf(row)} ${asked(row)}, and the guard ${row.reason} held it${detail === '' ? '' : `: ${detail}`}`;
};

const changesFor = (row: Row, guards: Explanation['guards'], rules: Explanation['rules']): readonly string[] => {
  const held = guards
    .filter((verdict) => !verdict.passed)
    .map(
      ({ guard, detail, endsAt, ledger }) =>
        `${guard}${ledger === 'live' ? '' : ` (${ledger})`}: ${detail}${endsAt === null ? '' : `, until ${rfc3339(endsAt)}`}`,
    );
  if (held.length > 0) return held;
  const unmet = rules
    .filter((rule) => !rule.matched)
    .flatMap((rule) =>
      rule.error === null
        ? rule.conditions.filter(({ result }) => result === false).map((condition) => `${rule.rule}: ${condition.text}`)
        : [`${rule.rule}: ${rule.error}`],
    );
  if (row.reason === 'no_match' || row.reason === 'undecidable') return unmet;
  if (row.reason === 'shadow') return ['the mode: recovery, the component, the rule or its rung is in shadow'];
  const note = noteOf(row);
  return row.reason === 'invalid' && note !== '' ? [note] : [];
};

/** Comparisons in words, those under a `not` turned round. */
const leaves = (node: JsonObject, negated: boolean): readonly Condition[] => {
  for (const group of ['all', 'any'] as const) {
    if (Array.isArray(node[group])) return list(node[group]).flatMap((child) => leaves(object(child), negated));
  }
  if (isObject(node['not'])) return leaves(object(node['not']), !negated);
  return [inWords(node, negated)];
};

/**
 * The fewest comparisons that would have to come out otherwise for the conditions to hold, by what is there now; empty
 * when they hold.
 */
export const missingFor = (node: JsonObject, negated = false): readonly Condition[] => {
  if (isObject(node['not'])) return missingFor(object(node['not']), !negated);
  for (const group of ['all', 'any'] as const) {
    if (!Array.isArray(node[group])) continue;
    const parts = list(node[group]).map((child) => missingFor(object(child), negated));
    if ((group === 'all') !== negated) return parts.flat();
    return parts.toSorted((left, right) => left.length - right.length)[0] ?? [];
  }
  const condition = inWords(node, negated);
  return condition.result === true ? [] : [condition];
};

const inWords = (node: JsonObject, negated: boolean): Condition => {
  const result = typeof node['result'] === 'boolean' ? node['result'] !== negated : null;
  const actual = node['absent'] === true ? 'it is not there' : `it is ${JSON.stringify(node['actual'] ?? null)}`;
  const words = `${text(node['fact'])} ${negated ? 'not ' : ''}${text(node['operator'])} ${JSON.stringify(node['value'] ?? null)}`;
  return { text: result === null ? `${words} (not looked at)` : `${words} (${actual})`, result };
};
