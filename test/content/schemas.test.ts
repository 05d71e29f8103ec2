// The JSON Schemas for editors: every key says what it means, every shipped file fits, by a validator that is not ours, and
// every shipped file names its schema.
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { Ajv } from 'ajv';
import { parse } from 'yaml';
import { groupJsonSchema, runbookJsonSchema } from '../../src/catalog-editor.ts';
import { INPUT_MEANINGS } from '../../src/catalog-meanings.ts';
import { configJsonSchema, targetsJsonSchema, webJsonSchema } from '../../src/config-editor.ts';
import { defaultPolicy } from '../../src/config.ts';
import { isObject } from '../../src/base/json.ts';
import { conditionJsonSchema, ruleJsonSchema } from '../../src/rule/schema.ts';
import { actions, root } from '../support/content.ts';

type Schema = Readonly<Record<string, unknown>>;

const known = await actions();
const made: Readonly<Record<string, Schema>> = {
  condition: conditionJsonSchema(),
  config: configJsonSchema(),
  group: groupJsonSchema(known),
  rule: ruleJsonSchema(),
  runbook: runbookJsonSchema(known),
  targets: targetsJsonSchema(),
  web: webJsonSchema(),
};
const names = Object.keys(made);
const read = (file: string): string => readFileSync(join(root, file), 'utf8');
const written = (name: string): Schema => JSON.parse(read(`schemas/${name}.schema.json`)) as Schema;
const validators = new Map(names.map((name) => [name, new Ajv({ strict: false }).compile(written(name))]));

/** What a property says of itself, where it stands or where it points to. */
const descriptionOf = (schema: Schema, property: unknown): unknown => {
  if (!isObject(property)) return undefined;
  if (property['description'] !== undefined) return property['description'];
  const [first] = Array.isArray(property['allOf']) ? (property['allOf'] as readonly unknown[]) : [];
  const target = property['$ref'] ?? (isObject(first) ? first['$ref'] : undefined);
  if (typeof target !== 'string') return undefined;
  const definitions = schema['definitions'] as Readonly<Record<string, unknown>>;
  return descriptionOf(schema, definitions[target.slice('#/definitions/'.length)]);
};

/** Properties without a description, by their path. `if` and `then` only say which shape holds. */
const silent = (schema: Schema): readonly string[] => {
  const found: string[] = [];
  const walk = (node: unknown, path: string): void => {
    if (Array.isArray(node)) for (const one of node as readonly unknown[]) walk(one, path);
    if (!isObject(node)) return;
    for (const [key, member] of Object.entries(node)) {
      if (key === 'if' || key === 'then' || path === '/calls') continue;
      if (key !== 'properties' || !isObject(member)) walk(member, key === 'definitions' ? '' : `${path}/${key}`);
      else
        for (const [name, property] of Object.entries(member)) {
          if (descriptionOf(schema, property) === undefined) found.push(`${path}/${name}`);
          walk(property, `${path}/${name}`);
        }
    }
  };
  walk(schema, '');
  return found;
};

describe.each(names)('schemas/%s.schema.json', (name) => {
  it('is the one that the code makes: npm run schemas', () => {
    expect(written(name)).toEqual(JSON.parse(JSON.stringify(made[name])));
  });

  it('says of every key what it means; an input of an action is described in its schema, or in src/catalog-meanings.ts', () => {
    expect(silent(written(name))).toEqual([]);
  });
});

it('a key that says nothing of itself would be found', () => {
  expect(
    silent({ properties: { a: { type: 'string' }, b: { $ref: '#/definitions/x' } }, definitions: { x: {} } }),
  ).toEqual(['/a', '/b']);
});

it('no meaning is written for an input that no action has', () => {
  const said = JSON.stringify(made['runbook']);
  for (const [key, meaning] of Object.entries(INPUT_MEANINGS))
    expect([key, said.includes(JSON.stringify(meaning))]).toEqual([key, true]);
});

it('the defaults that the configuration shows are those that hold', () => {
  const at = (...path: readonly string[]): unknown =>
    path.reduce<unknown>(
      (node, key) => (isObject(node) && isObject(node['properties']) ? node['properties'][key] : undefined),
      written('config'),
    );
  expect(at('recovery', 'mode')).toMatchObject({ default: defaultPolicy.mode });
  expect(at('recovery', 'attempts')).toMatchObject({
    default: [
      { max: 3, per: '1h' },
      { max: 9, per: '1d' },
    ],
  });
  expect(at('recovery', 'storm', 'share')).toMatchObject({ default: '20%' });
  expect(at('recovery', 'approval', 'expires')).toMatchObject({ default: '30m' });
});

const yamlIn = (folder: string): readonly string[] =>
  readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.yaml') && !file.endsWith('.test.yaml'))
    .map((file) => join(folder, file));
const shipped: ReadonlyArray<readonly [string, string]> = [
  ['amends.yaml', 'config'],
  ...yamlIn('docs/examples').map((file) => [file, 'config'] as const),
  ...yamlIn('runbooks').map((file) => [file, file.startsWith('runbooks/groups/') ? 'group' : 'runbook'] as const),
];

describe('what is shipped', () => {
  it.each(shipped)('%s fits its schema, and names it for the YAML language server', (file, name) => {
    const text = read(file);
    const validate = validators.get(name);
    expect([validate?.(parse(text)), validate?.errors]).toEqual([true, null]);
    const named = /^# yaml-language-server: \$schema=(\S+)$/m.exec(text)?.[1];
    expect(join(dirname(file), named ?? '')).toBe(`schemas/${name}.schema.json`);
  });

  it('every rule fits its schema, and names it', () => {
    const files = readdirSync(join(root, 'rules'), { recursive: true, encoding: 'utf8' }).filter(
      (file) => file.endsWith('.json') && !file.includes('.test.'),
    );
    expect(files.length).toBeGreaterThan(0);
    const validate = validators.get('rule');
    for (const file of files) {
      const rule = JSON.parse(read(`rules/${file}`)) as { readonly $schema?: string };
      expect([file, validate?.(rule), validate?.errors]).toEqual([file, true, null]);
      expect(existsSync(join(root, 'rules', dirname(file), rule.$schema ?? 'none'))).toBe(true);
    }
  });
});

describe('what an editor is told of a step', () => {
  const says = (step: unknown): boolean =>
    validators.get('runbook')?.({
      version: 1,
      summary: 'x',
      steps: [step],
      verify: [{ uses: 'redis.ping', with: { url: 'x' } }],
    }) === true;

  it('an input that its action does not take is wrong, and a template may stand for any that it takes', () => {
    expect(says({ id: 'a', uses: 'redis.ping', with: { url: 'redis://10.0.0.7' } })).toBe(true);
    expect(
      says({ id: 'a', uses: 'redis.ping', with: { url: '${{ connect.url }}', max_latency: '${{ inputs.slow }}' } }),
    ).toBe(true);
    expect(says({ id: 'a', uses: 'redis.ping', with: { url: 'x', max_latencie: '1s' } })).toBe(false);
    expect(says({ id: 'a', uses: 'redis.ping', with: {} })).toBe(false);
    expect(says({ id: 'a', uses: 'redis.pong', with: { url: 'x' } })).toBe(false);
    expect(says({ id: 'a', uses: 'redis.ping', with: { url: 5 } })).toBe(false);
  });
});
