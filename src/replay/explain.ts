// Why a decision came out as it did, and what would have had to be different: made of what was stored with it, never of
// what is true by now.
import { rfc3339 } from '../base/clock.ts';
import { isObject } from '../base/json.ts';
import type { Json, JsonObject } from '../base/json.ts';
import type { DecisionRow } from '../port/store.ts';

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
    readonly ledger: string;
  }>;
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
        ledger,
      }));
  });
  const rules = list(record['trace'])
    .map(object)
    .map((trace) => ({
      rule: text(trace['rule']),
      matched: trace['matched'] === true,
      error: typeof trace['error'] === 'string' ? trace['error'] : null,
      conditions: isObject(trace['conditions']) ? leaves(trace['conditions'] as JsonObject, false) : [],
    }));
  const known = { decision, guards, rules, facts: object(record['facts']), plans, digests: object(record['digests']) };
  return { ...known, why: whyOf(row), whatWouldHaveToChange: changesFor(row, guards, rules) };
};

const list = (value: Json | undefined): readonly Json[] => (Array.isArray(value) ? (value as readonly Json[]) : []);
const object = (value: Json | undefined): JsonObject => (isObject(value) ? (value as JsonObject) : {});
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

const whyOf = (row: Row): string => {
  const rule = row.rule === null ? 'no rule' : `the rule ${row.rule}`;
  const note = noteOf(row);
  const because = note === '' ? '' : `: ${note}`;
  switch (row.reason) {
    case 'admitted':
      return `${row.rule === null ? (row.caller ?? 'a human') : rule} asked for ${row.strategy ?? 'a runbook'} on ${place(row)}, and every guard let it pass`;
    case 'awaiting_approval':
      return `${rule} asked for ${row.strategy ?? 'a runbook'} on ${place(row)}, and a human has to agree first`;
    case 'shadow':
      return `${rule} matched in shadow mode: what it would have done is recorded, nothing was done`;
    case 'observed':
      return `${rule} matched and only observes`;
    case 'ignored':
      return `${rule} matched and says to ignore it`;
    case 'escalated':
      return `${rule} matched and hands it straight to a human`;
    case 'no_match':
      return list(row.record['candidates']).length === 0
        ? 'no rule asks for an alert with these labels'
        : 'no rule that came into question matched';
    case 'resolved':
      return 'the alert is resolved; it ends its episode and is not matched against rules';
    case 'duplicate':
      return `the alert was already decided in this episode${because}`;
    case 'invalid':
      return `nothing may be done about it${because}`;
    case 'undecidable':
      return `what the rules needed to know could not be found out${because}`;
    default: {
      const detail = text(refusalOf(row)?.['detail']);
      return `${rule} asked for ${row.strategy ?? 'a runbook'} on ${place(row)}, and the guard ${row.reason} held it${detail === '' ? '' : `: ${detail}`}`;
    }
  }
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
  switch (row.reason) {
    case 'no_match':
    case 'undecidable':
      return unmet;
    case 'invalid': {
      const note = noteOf(row);
      return note === '' ? [] : [note];
    }
    case 'shadow':
      return ['the mode: recovery, the component, the rule or its rung is in shadow'];
    default:
      return [];
  }
};

/** Comparisons in words, those under a `not` turned round. */
const leaves = (node: JsonObject, negated: boolean): readonly Condition[] => {
  for (const group of ['all', 'any'] as const) {
    if (Array.isArray(node[group])) return list(node[group]).flatMap((child) => leaves(object(child), negated));
  }
  if (isObject(node['not'])) return leaves(node['not'] as JsonObject, !negated);
  const result = typeof node['result'] === 'boolean' ? node['result'] !== negated : null;
  const actual = node['absent'] === true ? 'it is not there' : `it is ${JSON.stringify(node['actual'] ?? null)}`;
  const words = `${text(node['fact'])} ${negated ? 'not ' : ''}${text(node['operator'])} ${JSON.stringify(node['value'] ?? null)}`;
  return [{ text: result === null ? `${words} (not looked at)` : `${words} (${actual})`, result }];
};
