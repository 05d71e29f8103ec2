// The guards that a component asks for in amends.yaml: maintenance windows, a health floor, failure domains, caps for
// each target. What contradicts itself or could not be enforced is refused, since somebody relies on it.
import type { Component } from './alert/component.ts';
import type { ComponentShape, RecoveryShape } from './config-schema.ts';
import type { Path } from './config-source.ts';
import type { Maintenance, Policy } from './rule/limits.ts';
import { maintenanceProblem } from './run/maintenance.ts';

export type Report = (code: string, path: Path, message: string, mend: string) => void;

export const maintenanceOf = (given: RecoveryShape, report: Report): readonly Maintenance[] =>
  (given.maintenance ?? []).flatMap(({ schedule, timezone = 'UTC', duration, reason = '' }, index) => {
    const at = ['maintenance', index];
    const window = { schedule, timezone, duration, reason };
    if (!isTimezone(timezone)) {
      report(
        'bad-timezone',
        [...at, 'timezone'],
        `${JSON.stringify(timezone)} is not a time zone`,
        'use a name of the IANA database, such as Europe/Berlin or UTC',
      );
      return [];
    }
    const problem = maintenanceProblem(window);
    if (problem === null) return [window];
    const mend = 'write five fields: minute, hour, day, month, weekday; such as "0 2 * * sun"';
    report('bad-schedule', [...at, 'schedule'], problem, mend);
    return [];
  });

const isTimezone = (name: string): boolean => {
  try {
    return Intl.DateTimeFormat('en', { timeZone: name }).resolvedOptions().timeZone !== '';
  } catch {
    return false;
  }
};

/** What only a component may ask for, laid over what it inherits. */
export const withGuards = (
  inherited: Policy,
  given: ComponentShape,
  { name, targets }: Component,
  report: Report,
): Policy => {
  if (given.split !== undefined && given.fleet === undefined) {
    report(
      'missing',
      ['split'],
      'with caps for each target, nothing limits all of them together',
      'add fleet: { attempts: [{ max: 10, per: 1h }], max_concurrent: 2 }',
    );
  }
  if (given.split === undefined && given.fleet !== undefined) {
    report(
      'contradiction',
      ['fleet'],
      'fleet limits the targets of a split component, and this one is not split',
      'add split: target, or use attempts and max_concurrent',
    );
  }
  if (given.split !== undefined && given.max_concurrent !== undefined) {
    report(
      'contradiction',
      ['max_concurrent'],
      'a target has one run at a time; those of a split component are limited by its fleet',
      'move it to fleet.max_concurrent',
    );
  }
  const { domain } = given;
  const without = domain === undefined ? [] : [...targets.values()].filter(({ labels }) => !(labels[domain] ?? ''));
  if (domain !== undefined && without.length > 0) {
    const named = without.slice(0, 5).map((target) => target.name);
    report(
      'no-domain',
      ['domain'],
      `${without.length === 1 ? 'a target' : `${without.length} targets`} of ${name} (${named.join(', ')}) has no label ${domain}: nobody could tell which failure domain it is in`,
      `give each entry of the inventory the label: { target: ${named[0] ?? ''}, labels: { ${domain}: ... } }`,
    );
  }
  return {
    ...inherited,
    minHealthy: given.min_healthy ?? null,
    domain: domain ?? null,
    fleet:
      given.fleet === undefined ? null : { attempts: given.fleet.attempts, maxConcurrent: given.fleet.max_concurrent },
  };
};
