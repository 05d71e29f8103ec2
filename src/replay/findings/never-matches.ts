// Rules that no alert could satisfy: conditions that contradict each other, or that ask for what the configuration does not
// have. A rule that only never has its turn is a matter between rules (conflicts.ts).
import type { Problem } from '../../base/failure.ts';
import { branchesOf, satisfiable } from '../../rule/branches.ts';
import type { Branch } from '../../rule/branches.ts';
import { finding } from './finding.ts';
import type { Looked } from './finding.ts';

const HOURS = Array.from({ length: 24 }, (_, hour) => hour);

export const neverMatches = ({ rules, components }: Looked): readonly Problem[] => {
  const names = [...components.keys()];
  const targets = [...components.values()].flatMap((component) => [...component.targets.keys()]);
  // With nothing declared, as it comes out of the box, everything is still to be declared.
  const limits: ReadonlyArray<readonly [string, readonly (string | number)[], string]> = [
    ['time.hour', HOURS, 'an hour is 0 to 23'],
    ...(names.length === 0 ? [] : [['component', names, `declared are ${listed(names)}`] as const]),
    ...(targets.length === 0 ? [] : [['target', targets, `the inventories have ${listed(targets)}`] as const]),
  ];
  return rules.flatMap((rule) => {
    const branches = branchesOf(rule.conditions);
    if (branches === null) return [];
    const reasons = branches.map((branch) => impossible(branch, limits));
    if (reasons.includes(null)) return [];
    const why =
      branches.length === 0 ? 'its conditions contradict each other' : [...new Set(reasons)].slice(0, 3).join('; ');
    return [
      finding(
        'never-matches',
        { file: rule.file, pointer: '/conditions' },
        `${rule.name} can match no alert: ${why}`,
        branches.length === 0
          ? 'put what excludes each other into an "any", or take one of it out'
          : 'correct the value, or declare what it asks for',
      ),
    ];
  });
};

const impossible = (
  branch: Branch,
  limits: ReadonlyArray<readonly [string, readonly (string | number)[], string]>,
): string | null => {
  for (const [fact, values, why] of limits) {
    const positive = (branch.get(fact) ?? []).some(({ negated, operator }) => !negated && operator !== 'exists');
    if (positive && !satisfiable(branch, fact, values)) return `no ${fact} is as it asks (${why})`;
  }
  return null;
};

const listed = (names: readonly string[]): string =>
  names.length > 8 ? `${names.slice(0, 8).join(', ')} and ${names.length - 8} more` : names.join(', ');
