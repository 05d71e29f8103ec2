// Rules that are each good and together are not. What `amends check` says of each folder stands in __snapshots__, for people
// to read; after a change on purpose: `npm run jest -- test/refusals/conflicts -u`.
import { readdir } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from '@jest/globals';
import { formatProblem } from '../../../src/base/failure.ts';
import { loadCatalog } from '../../../src/catalog.ts';
import { builtInConfig } from '../../../src/config.ts';
import type { Action } from '../../../src/port/action.ts';
import type { Fact } from '../../../src/port/fact.ts';
import { loadByName } from '../../../src/port/loader.ts';
import { findConflicts } from '../../../src/replay/conflicts.ts';
import { runHere } from '../../support/checking.ts';

const here = new URL('./', import.meta.url);
const src = new URL('../../../src/', import.meta.url);
const actions = await loadByName<Action>(new URL('actions/', src), true);
const facts = await loadByName<Fact>(new URL('facts/', src), false);
const cases = (await readdir(here, { withFileTypes: true }))
  .filter((entry) => entry.isDirectory() && !['runbooks', '__snapshots__'].includes(entry.name))
  .map(({ name }) => name)
  .toSorted();
const MODE = { available: ['reading'], unavailable: ['ordering'], impact: 'no orders' };

const told = async (name: string): Promise<string> => {
  const config = {
    ...builtInConfig(fileURLToPath(here), null),
    ruleFiles: [`${name}/rules/*.json`],
    runbookFiles: ['runbooks/**/*.yaml'],
    degradedModes: new Map([['read_only', MODE]]),
  };
  const catalog = await loadCatalog({ config, actions, facts });
  const problems = catalog.ok
    ? findConflicts({ rules: catalog.value.rules.rules, runbooks: catalog.value.runbooks })
    : catalog.problems;
  return problems.map((problem) => `${formatProblem(problem)}\n`).join('');
};

describe('rules that do not go together', () => {
  it('make `amends check` exit 1', async () => {
    const said = await runHere(['check', fileURLToPath(new URL('amends.yaml', here))]);
    expect([said.code, said.out]).toEqual([1, expect.stringMatching(/\[conflicting-actions\][^]*\n\d+ problems$/)]);
  });

  it.each(cases)('are named with file, place and mend: %s', async (name) => {
    expect(await told(name)).toMatchSnapshot();
  });

  it('F37: a circle of up to three runbooks is found before anything runs', async () => {
    for (const name of ['loop-of-one', 'loop-of-two', 'loop-of-three']) expect(await told(name)).toContain('[loop]');
  });

  it('are none where one is shadow, where conditions exclude each other, and where it is meant so', async () => {
    for (const name of ['fine', 'pardoned', 'unused']) expect(await told(name)).toBe('');
  });
});
