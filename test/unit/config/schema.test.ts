// The schema that editors use says what the loader says, as far as JSON Schema can.
import { readFileSync, readdirSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';
import { Ajv } from 'ajv';
import { parse } from 'yaml';
import { configJsonSchema } from '../../../src/config-editor.ts';

const root = new URL('../../../', import.meta.url);
const refusals = new URL('test/refusals/config/', root);
const validate = new Ajv({ strict: false }).compile(configJsonSchema());

describe('schemas/config.schema.json', () => {
  it('is the one that the sources make', () => {
    expect(JSON.parse(readFileSync(new URL('schemas/config.schema.json', root), 'utf8'))).toEqual(
      JSON.parse(JSON.stringify(configJsonSchema())),
    );
  });

  it('accepts what the loader accepts', () => {
    const config = parse(`
version: 1
recovery: { mode: auto, attempts: [ { max: 3, per: 1h } ], cooldown: { after_failure: 300s } }
components:
  cache: { kind: redis, match: ['job="x"'], inventory: { static: [a, { target: b, connect: { path: /x } }] } }
  hosts:
    maintenance: [ { schedule: '0 2 * * *', duration: 1h } ]
    split: target
    fleet: { attempts: [ { max: 10, per: 1h } ], max_concurrent: 2 }
`) as unknown;
    expect([validate(config), validate.errors]).toEqual([true, null]);
  });

  it.each(
    readdirSync(refusals).filter((name) =>
      /^(unknown-key|unknown-mode|bad-duration|bare-number|negative|no-attempts|wrong-version|bad-kind|a-list)/.test(
        name,
      ),
    ),
  )('refuses %s', (name) => {
    expect(validate(parse(readFileSync(new URL(name, refusals), 'utf8')))).toBe(false);
  });
});
