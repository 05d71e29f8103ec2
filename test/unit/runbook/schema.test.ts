import { readFileSync, readdirSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';
import { Ajv } from 'ajv';
import { readYaml } from '../../../src/runbook/parse.ts';
import { groupJsonSchema, runbookJsonSchema } from '../../../src/catalog-editor.ts';
import { actions } from '../../support/content.ts';

const known = await actions();
const root = new URL('../../../', import.meta.url);
const read = (path: string): string => readFileSync(new URL(path, root), 'utf8');
const validate = new Ajv({ strict: false }).compile(JSON.parse(read('schemas/runbook.schema.json')) as object);
const fits = (text: string): boolean => {
  const yaml = readYaml('a.yaml', text);
  return yaml.ok && validate(JSON.parse(JSON.stringify(yaml.value.value)));
};

describe('schemas/runbook.schema.json', () => {
  it('is what the source of the refusals makes of itself', () => {
    expect(JSON.parse(read('schemas/runbook.schema.json'))).toEqual(
      JSON.parse(JSON.stringify(runbookJsonSchema(known))),
    );
  });

  it('takes every runbook that comes with amends', () => {
    const files = readdirSync(new URL('runbooks/', root), { recursive: true, encoding: 'utf8' }).filter(
      (file) => file.endsWith('.yaml') && !file.endsWith('.test.yaml') && !file.startsWith('groups/'),
    );
    expect(files.length).toBeGreaterThan(0);
    for (const file of files) expect([file, fits(read(`runbooks/${file}`))]).toEqual([file, true]);
  });

  it('P1 has one for groups of steps beside it, which takes every group that comes with amends', () => {
    const group = JSON.parse(read('schemas/group.schema.json')) as object;
    expect(group).toEqual(JSON.parse(JSON.stringify(groupJsonSchema(known))));
    const takes = new Ajv({ strict: false }).compile(group);
    for (const file of readdirSync(new URL('runbooks/groups/', root))) {
      const yaml = readYaml(file, read(`runbooks/groups/${file}`));
      expect([file, yaml.ok && takes(JSON.parse(JSON.stringify(yaml.value.value)))]).toEqual([file, true]);
    }
  });

  it.each([
    'unknown-key',
    'unknown-step-key',
    'verify-missing',
    'verify-empty',
    'bad-step-id',
    'number-for-duration',
    'bad-severity',
    'wrong-version',
  ])('shows an editor what the loader would refuse: %s', (name) =>
    expect(fits(read(`test/refusals/runbooks/redis/${name}.yaml`))).toBe(false),
  );
});
