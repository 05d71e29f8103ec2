import { readFile } from 'node:fs/promises';
import { describe, expect, it } from '@jest/globals';
import { Ajv } from 'ajv';
import { ruleFile, ruleJsonSchema } from '../../../src/rule/schema.ts';
import { ruleText } from './world.ts';

const leaf = { fact: 'alertname', operator: 'equal', value: 'RedisDown' };
const remediate = (params: Record<string, unknown>): Record<string, unknown> => ({
  event: { type: 'remediate', params: { runbook: 'redis/reconnect', ...params } },
});

const CORPUS: ReadonlyArray<readonly [boolean, string, Record<string, unknown>]> = [
  [true, 'the least', {}],
  [true, 'everything', { $schema: 'x', description: 'd', owner: 'storage', ignore: true, priority: 50 }],
  [
    true,
    'a condition of each sort',
    { conditions: { any: [{ not: leaf }, { all: [leaf, { condition: 'in-production' }] }] } },
  ],
  [
    true,
    'named, prioritised, with params',
    { conditions: { all: [{ ...leaf, name: 'n', priority: 2, params: { window: '1h' } }] } },
  ],
  [true, 'a list', { conditions: { all: [{ fact: 'alertname', operator: 'in', value: ['a', 'b'] }] } }],
  [
    true,
    'a ladder',
    remediate({
      runbook: ['redis/reconnect', { runbook: 'redis/restart_container', mode: 'approve', with: { a: [1, null] } }],
    }),
  ],
  [true, 'limits', remediate({ limits: { attempts: [{ max: 2, per: '1h30m' }], cooldown: { after_failure: '10m' } } })],
  [true, 'limits in short', remediate({ limits: { max_attempts_per_hour: 1, cooldown_seconds: 600 } })],
  [true, 'escalate', { event: { type: 'escalate', params: { severity: 'SEV1' } } }],
  [true, 'observe', { event: { type: 'observe' } }],
  [true, 'ignore in shadow', { event: { type: 'ignore', params: { mode: 'shadow' } } }],
  [false, 'no name', { name: undefined }],
  [false, 'a name with a blank', { name: 'a b' }],
  [false, 'an unknown key', { prioritty: 1 }],
  [false, 'no conditions', { conditions: undefined }],
  [false, 'a bare comparison', { conditions: leaf }],
  [false, 'an empty all', { conditions: { all: [] } }],
  [false, 'an empty any', { conditions: { any: [] } }],
  [false, 'an empty any within', { conditions: { all: [{ any: [] }] } }],
  [false, 'all and any at once', { conditions: { all: [leaf], any: [leaf] } }],
  [false, 'a path', { conditions: { all: [{ ...leaf, path: '$.x' }] } }],
  [false, 'another fact as value', { conditions: { all: [{ ...leaf, value: { fact: 'severity' } }] } }],
  [false, 'an unknown operator', { conditions: { all: [{ ...leaf, operator: 'is' }] } }],
  [false, 'a decorated operator', { conditions: { all: [{ ...leaf, operator: 'someFact:equal' }] } }],
  [false, 'no operator', { conditions: { all: [{ fact: 'alertname', value: 'x' }] } }],
  [false, 'no value', { conditions: { all: [{ fact: 'alertname', operator: 'equal' }] } }],
  [false, 'null as value', { conditions: { all: [{ ...leaf, value: null }] } }],
  [false, 'params that hold objects', { conditions: { all: [{ ...leaf, params: { a: {} } }] } }],
  [false, 'priority zero', { priority: 0 }],
  [false, 'a broken priority', { priority: 1.5 }],
  [false, 'an unknown event', { event: { type: 'page' } }],
  [false, 'remediate without params', { event: { type: 'remediate' } }],
  [false, 'remediate without a runbook', { event: { type: 'remediate', params: {} } }],
  [false, 'a runbook without its kind', remediate({ runbook: 'reconnect' })],
  [false, 'a runbook outside of its folder', remediate({ runbook: '../redis/reconnect' })],
  [false, 'an empty ladder', remediate({ runbook: [] })],
  [false, 'an unknown mode', remediate({ mode: 'automatic' })],
  [false, 'a limit of none', remediate({ limits: { attempts: [{ max: 0, per: '1h' }] } })],
  [false, 'a window that is no duration', remediate({ limits: { attempts: [{ max: 1, per: '1 hour' }] } })],
  [false, 'an empty window', remediate({ limits: { attempts: [{ max: 1, per: '' }] } })],
  [false, 'an unknown limit', remediate({ limits: { budget: 1 } })],
  [false, 'an unknown severity', { event: { type: 'escalate', params: { severity: 'P1' } } }],
  [false, 'a runbook to observe with', { event: { type: 'observe', params: { runbook: 'redis/reconnect' } } }],
  [false, 'no event', { event: undefined }],
];

const schema = ruleJsonSchema();
const validate = new Ajv({ allErrors: true, strict: false }).compile(schema);

describe('the schema of a rule file', () => {
  it('stands in schemas/ for editors as the loader checks it; `npm run schemas` writes it', async () => {
    const text = await readFile(new URL('../../../schemas/rule.schema.json', import.meta.url), 'utf8');
    expect(JSON.parse(text)).toEqual(JSON.parse(JSON.stringify(schema)));
  });

  it.each(CORPUS)('C11: says %s to %s, and so does an independent validator', (expected, _what, changes) => {
    const value = JSON.parse(JSON.stringify(ruleText(changes))) as unknown;
    expect(ruleFile.safeParse(value).success).toBe(expected);
    expect(validate(value)).toBe(expected);
  });

  it('tells editors what each key means and what holds without it', () => {
    const { properties } = schema as { properties: Record<string, { description?: string; default?: unknown }> };
    for (const [key, property] of Object.entries(properties)) {
      if (key !== '$schema' && key !== 'event') expect(`${key}: ${property.description ?? ''}`).not.toBe(`${key}: `);
    }
    expect(properties['priority']?.default).toBe(1);
    expect(properties['ignore']?.default).toBe(false);
  });
});
