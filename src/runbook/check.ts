// One entry of `verify`: an action that only reads, tried until it passes often enough, or a PromQL.
import { pointer } from '../base/json.ts';
import { compileExpect } from './expression.ts';
import type { ActionCheck, Check, QueryCheck } from './runbook.ts';
import type { CheckDocument } from './schema.ts';
import { ms, positive, useAction } from './step.ts';
import type { Building } from './step.ts';

const DEFAULT_EVERY = 2_000;
const DEFAULT_WITHIN = 60_000;
const COMPARISONS = ['above', 'below', 'equal'] as const;

type At = readonly PropertyKey[];

export const buildCheck = (building: Building, document: CheckDocument, at: At): Check =>
  'uses' in document ? actionCheck(building, document, at) : queryCheck(building, document, at);

const actionCheck = (building: Building, document: Extract<CheckDocument, { uses: string }>, at: At): ActionCheck => {
  const given = document.with ?? {};
  const action = useAction(building, document.uses, given, at, 'check');
  const need = document.need ?? 1;
  const of = document.of ?? need;
  if (need > of) {
    building.problems.push({
      code: 'never-verified',
      message: `${need} of ${of} can never pass`,
      mend: 'let of be at least need',
      pointer: pointer([...at, 'need']),
    });
  }
  if (document.expect !== undefined) {
    const compiled = compileExpect(document.expect, action === undefined ? null : new Set(Object.keys(action.outputs)));
    if (!compiled.ok)
      building.problems.push(
        ...compiled.problems.map((problem) => ({ ...problem, pointer: pointer([...at, 'expect']) })),
      );
  }
  return {
    type: 'action',
    uses: document.uses,
    with: given,
    timeout:
      document.timeout === undefined
        ? (action?.defaultTimeout ?? 0)
        : positive(building, document.timeout, [...at, 'timeout']),
    need,
    of,
    every: document.every === undefined ? DEFAULT_EVERY : ms(document.every),
    hold: document.hold === undefined ? 0 : ms(document.hold),
    expect: document.expect ?? null,
  };
};

const queryCheck = (building: Building, document: Extract<CheckDocument, { query: string }>, at: At): QueryCheck => {
  const given = COMPARISONS.filter((operator) => document[operator] !== undefined);
  const [operator = 'above'] = given;
  if (given.length !== 1) {
    const message = given.length === 0 ? 'a query alone says nothing about health' : 'a query is compared once';
    building.problems.push({
      code: 'bad-query-check',
      message,
      mend: 'write one of above, below and equal, with a number',
      pointer: pointer(at),
    });
  }
  return {
    type: 'query',
    query: document.query,
    comparison: { operator, value: document[operator] ?? 0 },
    on: document.on ?? null,
    within: document.within === undefined ? DEFAULT_WITHIN : positive(building, document.within, [...at, 'within']),
  };
};
