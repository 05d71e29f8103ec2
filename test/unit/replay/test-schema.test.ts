import { readFileSync, readdirSync } from 'node:fs';
import { expect, it } from '@jest/globals';
import { Ajv } from 'ajv';
import { readYaml } from '../../../src/config-source.ts';
import { testJsonSchema } from '../../../src/replay/test-schema.ts';

const root = new URL('../../../', import.meta.url);
const read = (path: string): string => readFileSync(new URL(path, root), 'utf8');

it('schemas/test.schema.json is what the source of the refusals makes of itself, and takes every shipped test', () => {
  const schema = JSON.parse(read('schemas/test.schema.json')) as object;
  expect(schema).toEqual(JSON.parse(JSON.stringify(testJsonSchema())));
  const validate = new Ajv({ strict: false, formats: { 'date-time': true } }).compile(schema);
  const fits = (text: string): boolean => {
    const yaml = readYaml('a.test.yaml', text);
    return yaml.ok && validate(JSON.parse(JSON.stringify(yaml.value.value)));
  };
  for (const folder of ['rules', 'runbooks']) {
    const files = readdirSync(new URL(`${folder}/`, root), { recursive: true, encoding: 'utf8' }).filter((name) =>
      name.endsWith('.test.yaml'),
    );
    expect(files.length).toBeGreaterThan(30);
    for (const file of files) expect([file, fits(read(`${folder}/${file}`))]).toEqual([file, true]);
  }
  expect(
    fits('tests: [{ name: x, alerts: [{ labels: {} }], decision_test: [{ eval_time: 0s, exp_reasn: admitted }] }]'),
  ).toBe(false);
  expect(fits('runbook: a/b\ntests: [{ name: x, runbook_test: { exp_outcome: perhaps } }]')).toBe(false);
});
