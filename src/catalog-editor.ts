// JSON Schemas for editors of runbooks and groups of steps: the shape that loading checks, with every action's inputs where
// they are used. Written by scripts/schemas.mjs; nothing at run time needs them.
import { z } from 'zod';
import { formatDuration } from './base/duration.ts';
import { isObject } from './base/json.ts';
import { INPUT_MEANINGS } from './catalog-meanings.ts';
import type { Actions } from './port/action.ts';
import { groupSchema, runbookSchema } from './runbook/schema.ts';

type Schema = Readonly<Record<string, unknown>>;

/** `schemas/runbook.schema.json`. */
export const runbookJsonSchema = (actions: Actions): Schema => withActions(runbookSchema, actions);

/** `schemas/group.schema.json`. */
export const groupJsonSchema = (actions: Actions): Schema => withActions(groupSchema, actions);

const TEMPLATE = {
  type: 'string',
  pattern: '\\$\\{\\{',
  description: 'A template ${{ path }}: inputs, target, connect, component, alert, run or steps.',
};
const CALLS = ['runbook_action_step', 'runbook_side_step', 'runbook_action_check'];

const withActions = (schema: z.ZodType, actions: Actions): Schema => {
  const made = toJson(schema);
  const definitions: Record<string, unknown> = { ...asObject(made['definitions']), template: TEMPLATE };
  const cases = [...actions]
    .toSorted(([left], [right]) => (left < right ? -1 : 1))
    .map(([name, action]) => {
      const input = toJson(action.input);
      Object.assign(definitions, asObject(input['definitions']));
      definitions[`with ${name}`] = fillable(name, action.summary, input);
      return {
        if: { properties: { uses: { const: name } }, required: ['uses'] },
        // A keyword of JSON Schema; nobody awaits it.
        // oxlint-disable-next-line unicorn/no-thenable
        then: { properties: { with: { $ref: `#/definitions/with ${name}` } } },
      };
    });
  definitions['calls'] = {
    description: 'What each action takes in its `with`.',
    properties: { uses: { enum: [...actions.keys()].toSorted() } },
    allOf: cases,
  };
  for (const name of CALLS)
    if (isObject(definitions[name]))
      definitions[name] = { ...definitions[name], allOf: [{ $ref: '#/definitions/calls' }] };
  return { ...made, definitions };
};

const toJson = (schema: z.ZodType): Schema =>
  z.toJSONSchema(schema, { target: 'draft-7', io: 'input', unrepresentable: 'any' });

const asObject = (value: unknown): Schema => (isObject(value) ? value : {});

/** As the action takes it, but each value may be a template; what that gives is checked before the step. */
const fillable = (action: string, summary: string, input: Schema): Schema => {
  const { $schema: _schema, definitions: _definitions, ...rest } = input;
  return { ...rest, description: summary, properties: described(action, asObject(rest['properties'])) };
};

const described = (action: string, properties: Schema): Schema =>
  Object.fromEntries(
    Object.entries(properties).map(([name, given]) => {
      const own = asObject(given);
      const description = INPUT_MEANINGS[`${action}.${name}`] ?? own['description'] ?? INPUT_MEANINGS[name];
      const filled = orTemplate(action, readable(own));
      return [name, description === undefined ? filled : { ...filled, description }];
    }),
  );

const orTemplate = (action: string, schema: Schema): Schema => {
  const { default: given, description, ...rest } = schema;
  return {
    ...(description === undefined ? {} : { description }),
    ...(given === undefined ? {} : { default: given }),
    anyOf: [templatesWithin(action, rest), { $ref: '#/definitions/template' }],
  };
};

const templatesWithin = (action: string, schema: Schema): Schema => {
  const { items, properties, additionalProperties, anyOf, ...rest } = schema;
  const deep = (one: unknown): unknown => (isObject(one) ? orTemplate(action, one) : one);
  return {
    ...rest,
    ...(items === undefined ? {} : { items: Array.isArray(items) ? items.map(deep) : deep(items) }),
    ...(anyOf === undefined
      ? {}
      : { anyOf: (anyOf as readonly unknown[]).map((one) => (isObject(one) ? templatesWithin(action, one) : one)) }),
    ...(additionalProperties === undefined ? {} : { additionalProperties: deep(additionalProperties) }),
    ...(properties === undefined ? {} : { properties: described(action, asObject(properties)) }),
  };
};

/** Durations come out of their schemas in milliseconds; people write them with a unit. */
const readable = (schema: Schema): Schema =>
  schema['type'] === 'string' && typeof schema['default'] === 'number'
    ? { ...schema, default: formatDuration(schema['default']) }
    : schema;
