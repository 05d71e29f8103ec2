// What is wrong between rules that are each good: they undo each other's work, one never has a turn, or what one does calls
// the next in a circle. Found without any alert, from the files alone.
import type { Problem } from '../base/failure.ts';
import { canonical } from '../base/json.ts';
import type { Json } from '../base/json.ts';
import type { Branch } from '../rule/branches.ts';
import { branchesOf, implies, overlap, withValue } from '../rule/branches.ts';
import type { Rule } from '../rule/rule.ts';
import type { ActionStep, Runbook } from '../runbook/runbook.ts';
import { isApproval } from '../runbook/runbook.ts';

/** The part of a catalog that is looked at. `rules` are in the order in which they are asked. */
export type Looked = { readonly rules: readonly Rule[]; readonly runbooks: ReadonlyMap<string, Runbook> };

type Known = {
  readonly rule: Rule;
  readonly branches: readonly Branch[] | null;
  readonly runbooks: readonly Runbook[];
};

/** What may be found between rules that are each good. */
export type ConflictCode = 'conflicting-actions' | 'equal-priority' | 'never-wins' | 'loop';

/** A circle of more turns is for people to see. */
const LONGEST_LOOP = 3;

export const findConflicts = ({ rules, runbooks }: Looked): readonly Problem[] => {
  const known = rules.map((rule): Known => ({
    rule,
    branches: branchesOf(rule.conditions),
    runbooks: rule.ladder.flatMap(({ runbook }) => runbooks.get(runbook) ?? []),
  }));
  const problems = [
    ...known.flatMap((one, place) =>
      known
        .slice(place + 1)
        .flatMap((other) => (meet(one, other) ? against(one, other) : atOdds(one, other) ? byName(one, other) : [])),
    ),
    ...known.flatMap((one, place) => neverWins(one, known.slice(0, place))),
    ...loops(known),
  ];
  return problems.toSorted((left, right) =>
    (left.file ?? '') < (right.file ?? '') ? -1 : left.file === right.file ? 0 : 1,
  );
};

const pardoned = (code: ConflictCode, ...rules: readonly Rule[]): boolean =>
  rules.some((rule) => rule.pardons?.some((pardon) => pardon.code === code) === true);

const problemOf = (rule: Rule, code: ConflictCode, pointer: string, message: string, mend: string): Problem => ({
  code,
  message,
  mend: `${mend}; or, if it is meant so, "ignore": [{ "code": "${code}", "reason": "..." }]`,
  file: rule.file,
  pointer,
});

/** Both act, on targets of one kind, on alerts that both are for. One that is shadow is tried beside another on purpose. */
const meet = (one: Known, other: Known): boolean =>
  one.rule.mode !== 'shadow' &&
  other.rule.mode !== 'shadow' &&
  one.runbooks.some(({ kind }) => other.runbooks.some((runbook) => runbook.kind === kind)) &&
  (one.branches ?? []).some((left) => (other.branches ?? []).some((right) => overlap(left, right)));

/** One runs a runbook on the alerts that the other hands to people, or leaves alone; their names say which of it is done. */
const atOdds = (one: Known, other: Known): boolean =>
  one.rule.event !== other.rule.event &&
  one.rule.priority === other.rule.priority &&
  one.rule.mode !== 'shadow' &&
  other.rule.mode !== 'shadow' &&
  (one.branches ?? []).some((left) => (other.branches ?? []).some((right) => overlap(left, right)));

const byName = (one: Known, other: Known): readonly Problem[] =>
  pardoned('equal-priority', one.rule, other.rule)
    ? []
    : [
        problemOf(
          other.rule,
          'equal-priority',
          '/priority',
          `${other.rule.name} and ${one.rule.name} are for the same alerts with the same priority, and one says ${other.rule.event}, the other ${one.rule.event}: ${one.rule.name} wins by its name alone`,
          'give the one that is meant a higher priority, or make their conditions exclude each other',
        ),
      ];

const RUNBOOK = '/event/params/runbook';

const against = (one: Known, other: Known): readonly Problem[] => {
  const found: Problem[] = [];
  const clash = clashOf(one.runbooks, other.runbooks);
  if (clash !== null && !pardoned('conflicting-actions', one.rule, other.rule)) {
    found.push(
      problemOf(
        other.rule,
        'conflicting-actions',
        RUNBOOK,
        `${other.rule.name} and ${one.rule.name} are for the same alerts and undo each other's work: ${clash}`,
        'let one rule decide about these alerts, or make their conditions exclude each other',
      ),
    );
    return found;
  }
  const differ = acting(one).some((left) => acting(other).some((right) => left.name !== right.name));
  if (one.rule.priority !== other.rule.priority || !differ || pardoned('equal-priority', one.rule, other.rule))
    return found;
  return [
    problemOf(
      other.rule,
      'equal-priority',
      '/priority',
      `${other.rule.name} and ${one.rule.name} are for the same alerts with the same priority and different runbooks: ${one.rule.name} wins by its name alone`,
      'give the one that is meant a higher priority, or make their conditions exclude each other',
    ),
  ];
};

const acting = ({ runbooks }: Known): readonly Runbook[] => runbooks.filter(({ effect }) => effect !== 'read');

const OPPOSITES: ReadonlyArray<readonly [string, string]> = [
  ['start', 'stop'],
  ['enable', 'disable'],
  ['set', 'clear'],
  ['pause', 'resume'],
  ['suspend', 'resume'],
  ['lock', 'unlock'],
  ['attach', 'detach'],
  ['cordon', 'uncordon'],
];
/** How long something is waited for does not make it another thing. */
const ABOUT_TIME = new Set(['timeout', 'grace', 'delay']);

type Deed = { readonly family: string; readonly verb: string; readonly on: ReadonlyMap<string, string> };

const clashOf = (left: readonly Runbook[], right: readonly Runbook[]): string | null => {
  for (const one of left)
    for (const other of right) {
      if (one.name === other.name) continue;
      for (const deed of lastDeeds(one))
        for (const counter of lastDeeds(other))
          if (opposite(deed, counter))
            return `${other.name} ends with ${counter.family}.${counter.verb}, ${one.name} with ${deed.family}.${deed.verb}`;
    }
  return null;
};

const opposite = (one: Deed, other: Deed): boolean =>
  one.family === other.family &&
  OPPOSITES.some(
    ([first, second]) => (one.verb === first && other.verb === second) || (one.verb === second && other.verb === first),
  ) &&
  [...one.on].every(([name, value]) => !other.on.has(name) || other.on.get(name) === value);

/** What a runbook that went well leaves behind: of opposite verbs on one thing, the later. */
const lastDeeds = (runbook: Runbook): readonly Deed[] => {
  const steps = [...runbook.before, ...runbook.steps, ...runbook.onSuccess.steps].filter(
    (step): step is ActionStep => !isApproval(step) && step.effect !== 'read',
  );
  const { degrade, clear } = runbook.onSuccess;
  const deeds = [
    ...steps.map((step) => deedOf(step.uses, step.with)),
    ...(clear === null ? [] : [deedOf('degrade.clear', { mode: clear })]),
    ...(degrade === null ? [] : [deedOf('degrade.set', { mode: degrade })]),
  ];
  return deeds.filter((deed, place) => !deeds.slice(place + 1).some((later) => opposite(deed, later)));
};

const deedOf = (uses: string, input: Readonly<Record<string, Json>>): Deed => {
  const [family = '', verb = ''] = uses.split('.');
  const on = Object.entries(input).filter(([name]) => !ABOUT_TIME.has(name));
  return { family, verb, on: new Map(on.map(([name, value]) => [name, canonical(value)])) };
};

/** Everything it is for is decided before it is asked. A rule that is shadow ends no search. */
const neverWins = (one: Known, before: readonly Known[]): readonly Problem[] => {
  const { branches, rule } = one;
  if (branches === null || branches.length === 0) return [];
  const winners = branches.map((branch) => winnerOf(branch, before));
  if (winners.includes(undefined)) return [];
  const names = [...new Set(winners.map((winner) => winner?.rule.name ?? ''))];
  if (pardoned('never-wins', rule)) return [];
  return [
    problemOf(
      rule,
      'never-wins',
      '/conditions',
      `${rule.name} never has a turn: ${names.join(' and ')} ${names.length === 1 ? 'is' : 'are'} asked before it and match${names.length === 1 ? 'es' : ''} whenever it would`,
      `give it a higher priority than ${names.join(' and ')}, or take it away`,
    ),
  ];
};

const winnerOf = (branch: Branch, before: readonly Known[]): Known | undefined =>
  before.find(({ rule, branches }) => rule.mode !== 'shadow' && (branches ?? []).some((wide) => implies(branch, wide)));

/** From a rule to those that answer an alert which its runbooks are known to raise. */
const answersTo = (alert: string, known: readonly Known[]): readonly number[] =>
  known.flatMap(({ branches, rule }, place) => {
    if (rule.event !== 'remediate') return [];
    const open = (branches ?? []).some((branch) => {
      const raised = withValue(branch, 'alertname', alert);
      return raised !== null && winnerOf(raised, known.slice(0, place)) === undefined;
    });
    return open ? [place] : [];
  });

type Turn = { readonly from: number; readonly to: number; readonly runbook: string; readonly alert: string };

const loops = (known: readonly Known[]): readonly Problem[] => {
  const turns = known.flatMap(({ runbooks }, from) =>
    runbooks.flatMap((runbook) =>
      runbook.raises.flatMap((alert) =>
        answersTo(alert, known).map((to): Turn => ({ from, to, runbook: runbook.name, alert })),
      ),
    ),
  );
  const found = new Map<string, readonly Turn[]>();
  const follow = (path: readonly Turn[]): void => {
    const [first, last] = [path[0], path.at(-1)];
    if (first === undefined || last === undefined) return;
    if (last.to === first.from) {
      const key = canonical(path.map(({ from }) => from));
      if (!found.has(key)) found.set(key, path);
      return;
    }
    if (path.length === LONGEST_LOOP) return;
    // Each circle once, from its first rule on.
    for (const turn of turns)
      if (
        turn.from === last.to &&
        turn.to >= first.from &&
        !path.some(({ from }) => from === turn.to && from !== first.from)
      )
        follow([...path, turn]);
  };
  for (const turn of turns) if (turn.to >= turn.from) follow([turn]);
  return [...found.values()].flatMap((path) => loopProblem(path, known));
};

const loopProblem = (path: readonly Turn[], known: readonly Known[]): readonly Problem[] => {
  const rules = path.flatMap(({ from }) => known[from]?.rule ?? []);
  const [first] = rules;
  if (first === undefined || pardoned('loop', ...rules)) return [];
  const told = path.map(
    ({ from, runbook, alert }) => `${known[from]?.rule.name ?? ''} runs ${runbook}, which raises ${alert}`,
  );
  return [
    problemOf(
      first,
      'loop',
      RUNBOOK,
      `A circle: ${told.join('; ')}, which ${first.name} answers`,
      'take the alert out of the conditions of one of them, or use a runbook that does not raise it',
    ),
  ];
};
