// What is shipped loads as it is: the configuration at the top, the examples, and every rule and runbook they name.
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { formatProblem } from '../../src/base/failure.ts';
import type { Result } from '../../src/base/failure.ts';
import { loadCatalog } from '../../src/catalog.ts';
import { loadConfig } from '../../src/config.ts';
import { runHere } from '../support/checking.ts';
import { actions, facts, root } from '../support/content.ts';

const value = <T>(result: Result<T>): T => {
  if (!result.ok) throw new Error(result.problems.map(formatProblem).join('\n'));
  return result.value;
};

const examples = (await readdir(join(root, 'docs/examples'))).filter((name) => name.endsWith('.yaml'));

describe.each(['amends.yaml', ...examples.map((name) => `docs/examples/${name}`)])('%s', (file) => {
  it('loads without a problem, with every rule and runbook that it names', async () => {
    const config = value(await loadConfig(join(root, file)));
    const catalog = value(await loadCatalog({ config, actions: await actions(), facts: await facts() }));
    expect(catalog.rules.rules.length).toBeGreaterThan(0);
    expect(catalog.runbooks.size).toBeGreaterThan(0);
  });

  it('passes amends check without a finding, but for those that say why they are meant', async () => {
    expect(await runHere(['check', `--config.file=${join(root, file)}`])).toMatchObject({
      code: 0,
      out: expect.stringContaining(': good. '),
    });
  });
});

it('the configuration at the top is shadow, has nothing declared, and reaches nobody', async () => {
  const config = value(await loadConfig(join(root, 'amends.yaml')));
  expect(config.recovery.mode).toBe('shadow');
  expect(config.components.size).toBe(0);
  expect(config.probes).toEqual([]);
  expect(config.receivers).toEqual([]);
  expect(config.alertmanagers).toEqual([]);
  expect(config.prometheus).toBeNull();
  expect(config.allow).toEqual({ hosts: [], commands: [], paths: [], containers: [] });
});

it('the values that the configuration at the top shows are the built-in defaults', async () => {
  const config = value(await loadConfig(join(root, 'amends.yaml')));
  const { defaultPolicy } = await import('../../src/config.ts');
  expect(config.recovery).toEqual(defaultPolicy);
});
