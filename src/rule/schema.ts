// The shape of a rule file: the one source of its types, of the checks at load, and of schemas/rule.schema.json for
// editors. What needs knowledge of facts, runbooks or the configuration is checked by the loader.
import { z } from 'zod';
import { parseDuration } from '../base/duration.ts';
import { IGNORABLE } from '../base/findings.ts';
import { MODES } from './limits.ts';

/** json-rules-engine's own (typed strictly here), then ours. */
export const OPERATORS = [
  'equal',
  'notEqual',
  'in',
  'notIn',
  'lessThan',
  'lessThanInclusive',
  'greaterThan',
  'greaterThanInclusive',
  'contains',
  'doesNotContain',
  'exists',
  'matches',
  'startsWith',
  'endsWith',
  'cidr',
] as const;
export type OperatorName = (typeof OPERATORS)[number];

export const EVENTS = ['remediate', 'escalate', 'observe', 'ignore'] as const;
const SEVERITIES = ['SEV1', 'SEV2', 'SEV3', 'SEV4'] as const;

/** Conditions within conditions; the root is the first. */
export const DEEPEST_CONDITIONS = 20;
/** Conditions of one rule, named ones put in. */
export const MOST_CONDITIONS = 1_000;

const DURATION = /^(?:0|(?=\d)(?:\d+w)?(?:\d+d)?(?:\d+h)?(?:\d+m)?(?:\d+(?:\.\d+)?s)?(?:\d+ms)?)$/;
const durationText = z
  .string()
  .regex(DURATION, 'Not a duration')
  .meta({ description: 'A duration as Prometheus writes it: 30s, 5m, 1h30m, 1d.', examples: ['5m', '1h'] });
export const toMs = (text: string): number => parseDuration(text) ?? 0;

const scalar = z.union([z.string(), z.number(), z.boolean()]);
const conditionValue = z
  .union([scalar, z.array(scalar).min(1).max(1_000)])
  .meta({ description: 'What the fact is compared with. Never another fact.' });

/** The names a condition of each sort may have, for did-you-mean. */
export const LEAF_KEYS = ['fact', 'params', 'operator', 'value', 'name', 'priority'] as const;
export const GROUP_KEYS = ['all', 'any', 'not', 'condition', 'name', 'priority'] as const;

const extras = {
  name: z
    .string()
    .min(1)
    .max(200)
    .optional()
    .meta({ description: 'What this condition means, shown when a decision is explained.' }),
  priority: z
    .int()
    .min(1)
    .max(1_000_000)
    .optional()
    .meta({ description: "The engine's order of looking; conditions of a higher one come first." }),
};

const leaf = z
  .strictObject({
    fact: z
      .string()
      .min(1)
      .max(300)
      .meta({
        description:
          'alertname, severity, label.<name>, annotation.<name>, text, age_seconds, group.size, component, target, attempts, last_outcome, firing, degraded, time.hour, time.weekday or prometheus.',
        examples: ['alertname', 'label.env', 'attempts'],
      }),
    params: z
      .record(z.string(), z.union([z.string(), z.number(), z.boolean()]))
      .optional()
      .meta({
        description:
          'What the fact needs to know: { "window": "1h", "scope": "target" } of attempts, { "query": "...", "empty": 0, "id": "..." } of prometheus.',
      }),
    operator: z.enum(OPERATORS).meta({
      description:
        'equal, notEqual, in, notIn; lessThan, lessThanInclusive, greaterThan, greaterThanInclusive on numbers; contains, doesNotContain, startsWith, endsWith, matches (RE2, the whole text), cidr on texts; exists with true or false.',
    }),
    value: conditionValue,
    ...extras,
  })
  .meta({
    id: 'fact_condition',
    description: 'A comparison of one fact. Missing facts satisfy nothing but exists: false.',
  });

type Leaf = z.infer<typeof leaf>;
export type ConditionText =
  | Leaf
  | { all: ConditionText[]; name?: string | undefined; priority?: number | undefined }
  | { any: ConditionText[]; name?: string | undefined; priority?: number | undefined }
  | { not: ConditionText; name?: string | undefined; priority?: number | undefined }
  | { condition: string; name?: string | undefined; priority?: number | undefined };

const nested: z.ZodType<ConditionText> = z
  .lazy(() => condition)
  .meta({ description: 'A comparison, a group of conditions, or the name of one.' });
const all = z
  .strictObject({
    all: z.array(nested).min(1).max(MOST_CONDITIONS).meta({ description: 'All of these must hold.' }),
    ...extras,
  })
  .meta({ id: 'all', description: 'Holds when each of them holds.' });
const any = z
  .strictObject({
    any: z.array(nested).min(1).max(MOST_CONDITIONS).meta({ description: 'One of these must hold.' }),
    ...extras,
  })
  .meta({ id: 'any', description: 'Holds when one of them holds.' });
const not = z.strictObject({ not: nested, ...extras }).meta({ id: 'not', description: 'Holds when it does not hold.' });
const reference = z
  .strictObject({
    condition: z
      .string()
      .min(1)
      .max(100)
      .meta({ description: 'The name of a file in conditions/, without its ending.' }),
    ...extras,
  })
  .meta({ id: 'named_condition', description: 'The conditions in conditions/<name>.json, put in here.' });
const condition: z.ZodType<ConditionText> = z
  .union([all, any, not, reference, leaf])
  .meta({ id: 'condition', description: 'A comparison, a group of conditions, or the name of one.' });
const root = z
  .union([all, any, not, reference])
  .meta({ description: 'all, any, not, or the name of a file in conditions/.' });

const mode = z.enum(MODES as ['shadow', 'approve', 'auto']);
const inputs = z
  .record(z.string(), z.json())
  .meta({ description: "The runbook's inputs; texts may hold ${{ label.name }}, annotation, target, component." });
const acceptDestructive = z
  .boolean()
  .meta({ default: false, description: 'Lets a runbook that destroys something run under mode auto.' });
const runbookName = z
  .string()
  .regex(/^[a-z0-9][a-z0-9_-]*\/[a-z0-9][a-z0-9_-]*$/, 'Not a runbook: <kind>/<strategy>')
  .meta({ description: 'runbooks/<kind>/<strategy>.yaml without folder and ending.', examples: ['redis/reconnect'] });

const rung = z
  .strictObject({
    runbook: runbookName,
    mode: mode
      .optional()
      .meta({ description: "The rung's own; the weakest of global, component, rule and rung holds." }),
    with: inputs.optional(),
    accept_destructive: acceptDestructive.optional(),
  })
  .meta({ id: 'rung' });

const limits = z
  .strictObject({
    attempts: z
      .array(
        z.strictObject({
          max: z.int().min(1).max(1_000_000).meta({ description: 'At most so many.' }),
          per: durationText,
        }),
      )
      .min(1)
      .max(10)
      .optional()
      .meta({ description: "At most so many of this rule's own attempts in any window of that length." }),
    max_attempts_per_hour: z
      .int()
      .min(1)
      .max(1_000_000)
      .optional()
      .meta({ description: 'Short for attempts: [{ max, per: 1h }].' }),
    cooldown: z
      .strictObject({ after_failure: durationText })
      .optional()
      .meta({ description: 'The rest after a failed attempt of this rule.' }),
    cooldown_seconds: z
      .int()
      .min(0)
      .max(31_536_000)
      .optional()
      .meta({ description: 'Short for cooldown.after_failure.' }),
  })
  .meta({ id: 'limits', description: "May only be tighter than the component's." });

const ruleMode = mode.optional().meta({
  default: 'approve',
  description:
    'shadow: recorded, not done, and lower rules still decide; approve: a human is asked; auto: done at once. The weakest of global, component, rule and rung holds.',
});

const event = z.discriminatedUnion('type', [
  z
    .strictObject({
      type: z.literal('remediate').meta({ description: 'Run a runbook.' }),
      params: z
        .strictObject({
          runbook: z
            .union([
              runbookName,
              rung,
              z
                .array(z.union([runbookName, rung]))
                .min(1)
                .max(20),
            ])
            .meta({
              description: 'One, or a ladder: the failures of the episode pick the rung.',
            }),
          mode: ruleMode,
          with: inputs.optional(),
          limits: limits.optional().meta({ description: "May only be tighter than the component's." }),
          accept_destructive: acceptDestructive.optional(),
        })
        .meta({ description: 'Which runbook, and within which limits.' }),
    })
    .meta({ description: 'Run a runbook.' }),
  z
    .strictObject({
      type: z.literal('escalate').meta({ description: 'Straight to a human.' }),
      params: z
        .strictObject({
          severity: z.enum(SEVERITIES).optional().meta({ default: 'SEV3', description: 'How urgent it is for them.' }),
          mode: ruleMode,
        })
        .optional()
        .meta({ description: 'How it is handed over.' }),
    })
    .meta({ description: 'Straight to a human.' }),
  z
    .strictObject({
      type: z.literal('observe').meta({ description: 'Record only.' }),
      params: z
        .strictObject({ mode: ruleMode })
        .optional()
        .meta({ description: 'Of the rule, where there is no runbook.' }),
    })
    .meta({ description: 'Record only.' }),
  z
    .strictObject({
      type: z.literal('ignore').meta({ description: 'Do nothing, on purpose.' }),
      params: z
        .strictObject({ mode: ruleMode })
        .optional()
        .meta({ description: 'Of the rule, where there is no runbook.' }),
    })
    .meta({ description: 'Do nothing, on purpose.' }),
]);

const pardon = z
  .strictObject({
    code: z.enum(IGNORABLE.rule).meta({ description: 'The code of the finding; docs/check.md has them all.' }),
    reason: z.string().min(1).max(500).meta({ description: 'Why it is meant so, for whoever reads it next.' }),
  })
  .meta({ id: 'pardon', description: 'A finding of amends check that is meant so, and why.' });

export const ruleFile = z
  .strictObject({
    $schema: z.string().optional().meta({ description: 'Where the JSON Schema of this file is, for editors.' }),
    name: z
      .string()
      .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/, 'Not a name: letters, digits, ".", "_" and "-", at most 100')
      .meta({ description: 'Unique among all rules; a metric label.' }),
    description: z.string().max(2_000).optional().meta({ description: 'What the rule is for, in a sentence.' }),
    owner: z.string().min(1).max(200).optional().meta({ description: 'Who answers for the rule.' }),
    ignore: z
      .union([z.boolean(), z.array(pardon).min(1).max(20)])
      .optional()
      .meta({
        default: false,
        description:
          'true: checked like any other, but not in use. A list: what `amends check` finds about this rule, and is meant so.',
      }),
    priority: z
      .int()
      .min(1)
      .max(1_000_000)
      .optional()
      .meta({ default: 1, description: 'Higher ones are asked first, then by name; the first match wins.' }),
    conditions: root,
    event: event.meta({ description: 'What is to be done: remediate, escalate, observe or ignore.' }),
  })
  .meta({
    title: 'A rule of amends',
    description: 'Which alerts it is for, and what is to be done about them. A json-rules-engine rule.',
  });

export type RuleFile = z.infer<typeof ruleFile>;
export type RungText = z.infer<typeof rung>;
export type LimitsText = z.infer<typeof limits>;

/** JSON Schema for editors, as schemas/rule.schema.json has it. */
export const ruleJsonSchema = (): Record<string, unknown> =>
  z.toJSONSchema(ruleFile, { target: 'draft-7', io: 'input' });

/** Conditions that stand alone, as conditions/<name>.json has them. */
const conditionFile = () =>
  z
    .union(
      [
        { all: z.array(nested).min(1).max(MOST_CONDITIONS).meta({ description: 'All of these must hold.' }) },
        { any: z.array(nested).min(1).max(MOST_CONDITIONS).meta({ description: 'One of these must hold.' }) },
        { not: nested },
        { condition: reference.shape.condition },
      ].map((shape) =>
        z.strictObject({
          $schema: ruleFile.shape.$schema,
          description: ruleFile.shape.description,
          ...shape,
          ...extras,
        }),
      ),
    )
    .meta({
      title: 'A named condition of amends',
      description: 'Put in wherever a rule says { "condition": "<name>" }.',
    });

/** JSON Schema for editors, as schemas/condition.schema.json has it. */
export const conditionJsonSchema = (): Record<string, unknown> =>
  z.toJSONSchema(conditionFile(), { target: 'draft-7', io: 'input' });
