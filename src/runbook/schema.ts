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

const schemaPlace = z.string().optional().describe('Where the JSON Schema of this file is, for editors.');
const summary = text.describe('One sentence: what it does.');
const stepTimeout = duration.optional().describe("How long the step may take; the action's own limit when left out.");
const stepCondition = condition.optional();

const retry = z.strictObject({
  attempts: z.int().min(1).max(20).optional().meta({ default: 1, description: 'Tries in all.' }),
  delay: duration.optional().meta({ default: '1s', description: 'Before the second try.' }),
  factor: z.number().min(1).max(10).optional().meta({ default: 2, description: 'By which the delay grows.' }),
});

const call = {
  uses: z.string().min(1).max(100).describe('The action, <family>.<verb>.'),
  with: argumentMap.optional(),
  timeout: stepTimeout,
  retry: retry.optional().describe('What failed before it had an effect may be tried again.'),
  idempotent: z
    .boolean()
    .optional()
    .describe('May be done twice without harm. Required on every step that changes or destroys something.'),
};

const sideStep = z.strictObject({ ...call, if: stepCondition }).meta({ id: 'runbook_side_step' });
const actionStep = z
  .strictObject({
    id,
    ...call,
    if: stepCondition,
    continue_on_error: z
      .boolean()
      .optional()
      .meta({ default: false, description: 'Go on when it fails, as if it had gone well.' }),
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
  if: stepCondition,
  approve: z
    .strictObject({
      question: text.describe('What a human is asked.'),
      expires: duration.optional().meta({ default: '30m', description: 'Unanswered for so long, it is a no.' }),
    })
    .describe('Waits for a human. Afterwards every guard is asked again.'),
});
const step = z.union([actionStep, approvalStep]).meta({ id: 'runbook_step' });
const groupStep = z
  .strictObject({ group: id })
  .meta({ id: 'runbook_group_step', description: 'The steps of groups/<name>.yaml, beside the folders of the kinds.' });

const actionCheck = z
  .strictObject({
    uses: call.uses,
    with: argumentMap.optional(),
    timeout: duration.optional().describe("How long one try may take; the action's own limit when left out."),
    need: z.int().min(1).max(100).optional().meta({ default: 1, description: 'Passes that are needed.' }),
    of: z.int().min(1).max(1_000).optional().describe('Tries at most; as many as `need` when left out.'),
    every: duration.optional().meta({ default: '2s', description: 'The time between two tries.' }),
    hold: duration.optional().meta({ default: '0s', description: 'How long it then has to keep passing.' }),
    expect: z.string().min(1).max(1_000).optional().describe('CEL over `outputs` that must be true for a pass.'),
  })
  .meta({ id: 'runbook_action_check' });
const queryCheck = z.strictObject({
  query: z.string().min(1).max(4_000).describe('PromQL.'),
  above: z.number().optional().describe('Passes above this.'),
  below: z.number().optional().describe('Passes below this.'),
  equal: z.number().optional().describe('Passes at exactly this.'),
  on: z.literal('target').optional().describe('Every series of this target has to pass, and there has to be one.'),
  within: duration.optional().meta({ default: '60s', description: 'How long it may take to become so.' }),
});

const aftermath = z
  .strictObject({
    steps: z.array(actionStep).max(100).optional().describe('Done one after the other.'),
    degrade: text.optional().describe('The degraded mode that goes on.'),
    clear: text.optional().describe('The degraded mode that goes off.'),
    escalate: severity.optional().describe('Hands it to a human, this urgent.'),
  })
  .meta({ id: 'runbook_aftermath' });

const input = z.strictObject({
  type: z.enum(['string', 'number', 'boolean', 'duration', 'list']).describe('What its values are.'),
  default: json.optional().describe('Its value where a rule gives none; without it the input is required.'),
  description: z.string().max(2_000).optional().describe('What it is for.'),
  pattern: z.string().min(1).max(500).optional().describe('RE2; the whole value must match.'),
  enum: z.array(json).min(1).max(200).optional().describe('The only values it may have.'),
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
    $schema: schemaPlace,
    version: z.literal(1).describe('The only one there is.'),
    summary,
    severity: severity.optional().meta({ default: 'SEV3', description: 'How urgent what it mends is.' }),
    inputs: z
      .record(
        z.string().regex(ID, { error: 'is not a name for an input: small letters, digits and underscores' }),
        input,
      )
      .optional()
      .describe('What a rule may give it in `with`, by name.'),
    timeout: duration
      .optional()
      .meta({ default: '5m', description: 'Steps and verify together; not approvals, not undo.' }),
    before: z
      .array(z.union([actionStep, approvalStep, groupStep]))
      .max(100)
      .optional()
      .describe('Evidence and backups, before anything is changed.'),
    steps: z.array(step).min(1).max(100).describe('What mends it, one after the other.'),
    rollback: z.array(actionStep).min(1).max(100).optional().describe('After a failure, in place of each step’s undo.'),
    verify: z
      .array(z.union([actionCheck, queryCheck]))
      .min(1)
      .max(50)
      .describe('What must hold for the recovery to count. Missing data is not a pass.'),
    on_success: aftermath.optional().describe('After a verified run.'),
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
    $schema: schemaPlace,
    version: z.literal(1).describe('The only one there is.'),
    summary,
    steps: z.array(actionStep).min(1).max(50).describe('What is looked at and kept, one after the other.'),
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
