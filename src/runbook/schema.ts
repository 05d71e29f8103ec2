// What a runbook file may say, key by key: the source of schemas/runbook.schema.json and of every refusal of a wrong shape.
import { z } from 'zod';
import { IGNORABLE } from '../base/findings.ts';
import type { Json } from '../base/json.ts';

/** An id that CEL and templates can name with a dot. */
const ID = /^[a-z][a-z0-9_]*$/;

const json: z.ZodType<Json> = z.json();

const DURATION = /^(?:0|(?=\d)(?:\d+w)?(?:\d+d)?(?:\d+h)?(?:\d+m)?(?:\d+(?:\.\d+)?s)?(?:\d+ms)?)$/;
const NO_DURATION = 'is not a duration: write it as text with a unit, like 30s, 5m or 1h30m';
const duration = z
  .string({ error: (issue) => (issue.input === undefined ? undefined : NO_DURATION) })
  .regex(DURATION, { error: NO_DURATION })
  .meta({ id: 'runbook_duration', description: 'A duration as Prometheus writes it: 500ms, 30s, 5m, 1h30m, 1d.' });

const id = z
  .string()
  .regex(ID, { error: 'is not an id: small letters, digits and underscores, the first one a letter' })
  .max(64)
  .meta({ description: 'Small letters, digits and underscores; conditions and templates name the step by it.' });
const text = z.string().min(1).max(2_000);
const severity = z.enum(['SEV1', 'SEV2', 'SEV3', 'SEV4']);
const condition = z
  .union([z.string().min(1).max(1_000), z.boolean()])
  .describe('CEL. Without it a step runs if all before it went well; only failed() and always() lift that.');
const argumentMap = z
  .record(z.string(), json)
  .describe("The action's input. A template ${{ path }} fills one argument, one URL segment or one JSON value.");

const retry = z.strictObject({
  attempts: z.int().min(1).max(20).optional(),
  delay: duration.optional(),
  factor: z.number().min(1).max(10).optional(),
});

const call = {
  uses: z.string().min(1).max(100).describe('The action, <family>.<verb>.'),
  with: argumentMap.optional(),
  timeout: duration.optional(),
  retry: retry.optional(),
  idempotent: z
    .boolean()
    .optional()
    .describe('May be done twice without harm. Required on every step that changes or destroys something.'),
};

const sideStep = z.strictObject({ ...call, if: condition.optional() }).meta({ id: 'runbook_side_step' });
const actionStep = z
  .strictObject({
    id,
    ...call,
    if: condition.optional(),
    continue_on_error: z.boolean().optional(),
    undo: sideStep
      .optional()
      .describe('Undoes this step after a failure; its templates also know `undo`, what the step kept for it.'),
    probe: sideStep
      .optional()
      .describe(
        'A read-only check that settles the step when a crash left it unknown: its success means the effect happened.',
      ),
  })
  .meta({ id: 'runbook_action_step' });
const approvalStep = z.strictObject({
  id,
  if: condition.optional(),
  approve: z.strictObject({ question: text, expires: duration.optional() }),
});
const step = z.union([actionStep, approvalStep]).meta({ id: 'runbook_step' });
const groupStep = z
  .strictObject({ group: id })
  .meta({ id: 'runbook_group_step', description: 'The steps of groups/<name>.yaml, beside the folders of the kinds.' });

const actionCheck = z.strictObject({
  uses: call.uses,
  with: argumentMap.optional(),
  timeout: duration.optional(),
  need: z.int().min(1).max(100).optional(),
  of: z.int().min(1).max(1_000).optional(),
  every: duration.optional(),
  hold: duration.optional(),
  expect: z.string().min(1).max(1_000).optional().describe('CEL over `outputs` that must be true for a pass.'),
});
const queryCheck = z.strictObject({
  query: z.string().min(1).max(4_000).describe('PromQL.'),
  above: z.number().optional(),
  below: z.number().optional(),
  equal: z.number().optional(),
  on: z.literal('target').optional(),
  within: duration.optional(),
});

const aftermath = z
  .strictObject({
    steps: z.array(actionStep).max(100).optional(),
    degrade: text.optional(),
    clear: text.optional(),
    escalate: severity.optional(),
  })
  .meta({ id: 'runbook_aftermath' });

const input = z.strictObject({
  type: z.enum(['string', 'number', 'boolean', 'duration', 'list']),
  default: json.optional(),
  description: z.string().max(2_000).optional(),
  pattern: z.string().min(1).max(500).optional().describe('RE2; the whole value must match.'),
  enum: z.array(json).min(1).max(200).optional(),
});

/** What somebody has said to be meant so; `codes` are those that may be said of such a file. */
const pardons = (codes: readonly [string, ...string[]]) =>
  z
    .array(
      z.strictObject({
        code: z.enum(codes).describe('The code of the finding; docs/check.md has them all.'),
        reason: z.string().min(1).max(500).describe('Why it is meant so, for whoever reads it next.'),
      }),
    )
    .min(1)
    .max(20)
    .optional()
    .describe('What `amends check` finds about this file, and is meant so.');

export const runbookSchema = z
  .strictObject({
    $schema: z.string().optional(),
    version: z.literal(1),
    summary: text,
    severity: severity.optional(),
    inputs: z
      .record(
        z.string().regex(ID, { error: 'is not a name for an input: small letters, digits and underscores' }),
        input,
      )
      .optional(),
    timeout: duration.optional().describe('Steps and verify together; not approvals, not undo.'),
    before: z
      .array(z.union([actionStep, approvalStep, groupStep]))
      .max(100)
      .optional()
      .describe('Evidence and backups, before anything is changed.'),
    steps: z.array(step).min(1).max(100),
    rollback: z.array(actionStep).min(1).max(100).optional().describe('After a failure, in place of each step’s undo.'),
    verify: z
      .array(z.union([actionCheck, queryCheck]))
      .min(1)
      .max(50)
      .describe('What must hold for the recovery to count. Missing data is not a pass.'),
    on_success: aftermath.optional(),
    on_failure: aftermath.optional().describe('Each failed attempt.'),
    on_exhausted: aftermath.optional().describe('Once an episode, when nothing automatic is left.'),
    raises: z.array(text).max(100).optional().describe('Alerts that running it is known to raise.'),
    ignore: pardons(IGNORABLE.runbook),
    guide: z.string().max(100_000).optional().describe('The human page: what to do when this does not help.'),
  })
  .meta({
    title: 'amends runbook',
    description: 'One way of recovering one kind of component: runbooks/<kind>/<strategy>.yaml.',
  });

/** `runbooks/groups/<name>.yaml`: steps that many runbooks begin with. */
export const groupSchema = z
  .strictObject({
    $schema: z.string().optional(),
    version: z.literal(1),
    summary: text,
    steps: z.array(actionStep).min(1).max(50),
    ignore: pardons(IGNORABLE.group),
  })
  .meta({
    title: 'amends step group',
    description: 'Steps that look and keep: runbooks name them by `group` in `before`.',
  });

export type GroupDocument = z.infer<typeof groupSchema>;
/** As it stands in its file. */
export type WrittenRunbook = z.infer<typeof runbookSchema>;
/** With the steps of its groups in their places. */
export type RunbookDocument = Omit<WrittenRunbook, 'before'> & { readonly before?: readonly StepDocument[] };
export type StepDocument = z.infer<typeof step>;
export type ActionStepDocument = z.infer<typeof actionStep>;
export type SideStepDocument = z.infer<typeof sideStep>;
export type CheckDocument = WrittenRunbook['verify'][number];
export type AftermathDocument = z.infer<typeof aftermath>;
export type InputDocument = z.infer<typeof input>;

/** For editors: `schemas/runbook.schema.json`. */
export const runbookJsonSchema = (): Record<string, unknown> =>
  z.toJSONSchema(runbookSchema, { target: 'draft-7', io: 'input' });

/** For editors: `schemas/group.schema.json`. */
export const groupJsonSchema = (): Record<string, unknown> =>
  z.toJSONSchema(groupSchema, { target: 'draft-7', io: 'input' });
