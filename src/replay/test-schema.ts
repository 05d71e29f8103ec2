// What may stand in a test file of a rule or a runbook: the one source of parsing, of the did-you-mean, and of
// schemas/test.schema.json for editors. Keys are promtool's where it has one (`eval_time`, `exp_...`).
import { z } from 'zod';
import { componentSchema, duration, mode, recoverySchema, severity, text } from '../config-schema.ts';
import { REASONS } from '../run/reasons.ts';

const labels = z.record(text(256), z.string().max(4_096));
const sentence = text(300);
const time = (description: string) => duration().meta({ description });

const config = text(4_096)
  .optional()
  .meta({ description: 'The configuration, relative to this file; default: --config.file.' });
/** Where a file's tests stand: a configuration, and what of it is replaced. */
const ground = {
  $schema: z.string().optional(),
  config,
  components: z
    .record(text(64), componentSchema)
    .optional()
    .meta({ description: "Components in place of the configuration's." }),
  recovery: recoverySchema.optional().meta({ description: "Laid over the configuration's `recovery`." }),
};

const alert = z
  .strictObject({
    from: time('When it begins to fire, counted from the start of the test.').optional(),
    until: time('When Alertmanager says that it is over; left out, it goes on firing.').optional(),
    age: time('How long it had been firing when it was first posted.').optional(),
    labels,
    annotations: labels.optional(),
    silenced: z
      .strictObject({ from: duration().optional(), until: duration().optional() })
      .optional()
      .meta({ description: 'Alertmanager has a silence for it in that time.' }),
  })
  .meta({ id: 'test_alert', description: 'Alerts of one `from` are posted as one group.' });

const runOutcome = z.enum(['resolved', 'unresolved']);
const runOutcomes = z
  .record(text(256), z.union([runOutcome, z.array(runOutcome).min(1).max(100)]))
  .meta({ description: '`default`, or by `<kind>/<strategy>`: one outcome, or one a run; the last one repeats.' });

const figure = z.number().nullable();
const facts = z
  .record(
    text(4_096),
    z.union([
      figure,
      z
        .array(z.strictObject({ from: duration(), value: figure }))
        .min(1)
        .max(1_000),
    ]),
  )
  .meta({ description: 'What Prometheus answers, by the id of the fact or by the query; null: no sample.' });

const act = z
  .strictObject({
    at: duration(),
    approve: text(256).optional().meta({ description: 'The `<kind>/<strategy>` whose run waits.' }),
    deny: text(256).optional(),
    halt: z.literal(true).optional(),
    resume: z.literal(true).optional(),
    disable: text(256).optional().meta({ description: 'A component, or a rule.' }),
    enable: text(256).optional(),
  })
  .refine(({ at, ...acts }) => at !== undefined && Object.keys(acts).length === 1, {
    error: 'one act is expected beside `at`: approve, deny, halt, resume, disable or enable',
  })
  .meta({ id: 'test_act' });

const nameOrNone = sentence.nullable();
const decisionCase = z
  .strictObject({
    eval_time: duration().meta({ description: 'When it is looked at.' }),
    labels: labels
      .optional()
      .meta({ description: 'Which alert it is about, by some of its labels; default: the first.' }),
    exp_reason: z.enum(REASONS).optional(),
    exp_rule: nameOrNone.optional(),
    exp_not_rule: sentence.optional().meta({ description: 'A rule that must not decide.' }),
    exp_component: nameOrNone.optional(),
    exp_target: nameOrNone.optional(),
    exp_runbook: nameOrNone.optional().meta({ description: '`<kind>/<strategy>`' }),
    exp_strategy: nameOrNone.optional(),
    exp_with: z
      .record(text(256), z.json())
      .optional()
      .meta({ description: 'Inputs of the runbook as rendered; others may be there.' }),
    exp_mode: mode.nullable().optional(),
    exp_rung: z.number().int().min(1).nullable().optional().meta({ description: 'Counted from 1.' }),
    exp_until: duration()
      .nullable()
      .optional()
      .meta({ description: 'When the guard that held it ends; null: it has no end of its own.' }),
    exp_would: sentence.nullable().optional().meta({ description: 'In shadow: what live would have come to.' }),
    exp_severity: severity.nullable().optional(),
    exp_attempts: z
      .number()
      .int()
      .min(0)
      .optional()
      .meta({ description: 'Attempts of the component in its first window.' }),
    exp_runs: z
      .number()
      .int()
      .min(0)
      .optional()
      .meta({ description: 'Runs of the alert so far, those that wait for a human too.' }),
    exp_outcome: z.enum(['resolved', 'unresolved', 'stuck', 'withdrawn']).nullable().optional(),
    exp_exhausted: z.boolean().optional().meta({ description: 'Nothing automatic is left: a human has it.' }),
    exp_degraded: z.array(text(64)).optional().meta({ description: 'Degraded modes that are on.' }),
  })
  .meta({ id: 'decision_case' });

const ruleTest = z.strictObject({
  name: sentence,
  mode: mode.optional().meta({ description: 'In place of `recovery.mode`.' }),
  start: z.iso.datetime().optional().meta({ description: 'RFC 3339; default: Monday, 2026-01-05T12:00:00Z.' }),
  alerts: z.array(alert).min(1).max(5_000),
  run_outcomes: runOutcomes.optional(),
  facts: facts.optional(),
  degraded: z.array(text(64)).optional().meta({ description: 'Degraded modes that are on at the start.' }),
  acts: z.array(act).optional().meta({ description: 'What people do.' }),
  decision_test: z.array(decisionCase).min(1).max(1_000),
});

const failureKind = z.enum(['retryable', 'permanent', 'indeterminate']);
const stepResult = z.strictObject({
  outcome: z.enum(['succeeded', 'failed']).optional(),
  outputs: z.record(text(256), z.json()).optional(),
  error: text(1_024).optional(),
  kind: failureKind.optional().meta({ description: 'Of a failure; default: permanent.' }),
  began: z.boolean().optional().meta({ description: 'Whether an effect may have begun before it failed.' }),
  takes: duration().optional(),
  undo: z.record(text(256), z.json()).optional().meta({ description: 'What the action keeps for its undo.' }),
});
const canned = z.union([z.enum(['approve', 'deny', 'expire']), stepResult, z.array(stepResult).min(1).max(100)]);
const look = z.union([
  z.enum(['pass', 'fail']),
  z.strictObject({
    outcome: z.enum(['pass', 'fail']).optional(),
    outputs: z.record(text(256), z.json()).optional(),
    value: z.number().optional().meta({ description: 'What Prometheus answers.' }),
    error: text(1_024).optional(),
  }),
]);
const actions = z
  .object({
    verify: z
      .union([look, z.array(look).min(1).max(1_000)])
      .optional()
      .meta({ description: 'Each look of the verification in its order; the last one repeats.' }),
    undo: z
      .record(text(256), z.union([stepResult, z.array(stepResult).min(1)]))
      .optional()
      .meta({ description: 'What the undo of a step comes to, by the id of the step.' }),
  })
  .catchall(canned)
  .meta({
    description:
      'What each step comes to, by its id: once, or try by try. A step that is not named succeeds without outputs.',
  });

const ids = z.array(text(256));
const byStep = z.record(text(256), z.record(text(256), z.json()));
const runbookCase = z.strictObject({
  exp_path: ids
    .optional()
    .meta({ description: 'Steps of `before` and `steps` in the order in which they were begun.' }),
  exp_with: byStep
    .optional()
    .meta({ description: 'What steps were called with, as rendered; other arguments may be there.' }),
  exp_outputs: byStep.optional(),
  exp_steps: z
    .record(text(256), z.enum(['pending', 'skipped', 'succeeded', 'failed', 'unknown', 'undone', 'undo_failed']))
    .optional(),
  exp_tries: z.record(text(256), z.number().int().min(0)).optional(),
  exp_outcome: z.enum(['resolved', 'unresolved', 'stuck', 'withdrawn']).optional(),
  exp_cause: text(64).optional(),
  exp_error: text(1_024).optional().meta({ description: 'A part of what the run says went wrong.' }),
  exp_undone: ids.optional().meta({ description: 'Steps that were undone, in that order.' }),
  exp_rollback: ids.optional().meta({ description: 'Steps of `rollback` that were begun.' }),
  exp_after: ids.optional().meta({ description: 'Steps of on_success, on_failure and on_exhausted that were begun.' }),
  exp_degraded: z.array(text(64)).optional(),
  exp_escalated: severity.nullable().optional().meta({ description: 'The highest severity that a human was told of.' }),
  exp_inbox: z.array(text(1_024)).optional().meta({ description: 'A part of the title of each note that steps left.' }),
});

const runbookTest = z.strictObject({
  name: sentence,
  config,
  component: text(64).optional().meta({ description: 'Default: the only one of its kind.' }),
  target: text(256).optional().meta({ description: 'Default: the only one of the component.' }),
  inputs: z.record(text(256), z.json()).optional(),
  alert: z.strictObject({ labels: labels.optional(), annotations: labels.optional() }).optional(),
  degraded: z.array(text(64)).optional().meta({ description: 'Degraded modes that are on at the start.' }),
  exhausted: z.boolean().optional().meta({ description: 'It is the last attempt that the caps allow.' }),
  actions: actions.optional(),
  runbook_test: runbookCase,
});

export const ruleTestFile = z
  .strictObject({ ...ground, tests: z.array(ruleTest).min(1).max(1_000) })
  .meta({ title: 'Tests of rules', description: 'Alerts at times, and what is decided about them.' });
export const runbookTestFile = z
  .strictObject({
    ...ground,
    runbook: text(256).meta({ description: '`<kind>/<strategy>`' }),
    tests: z.array(runbookTest).min(1).max(1_000),
  })
  .meta({ title: 'Tests of a runbook', description: 'What its steps come to, and the way it takes.' });

export type RuleTest = z.output<typeof ruleTest>;
export type DecisionCase = z.output<typeof decisionCase>;
export type TestAlert = z.output<typeof alert>;
export type TestAct = z.output<typeof act>;
export type RunbookTest = z.output<typeof runbookTest>;
export type RunbookCase = z.output<typeof runbookCase>;
export type StepResult = z.output<typeof stepResult>;
export type Look = z.output<typeof look>;
export type Figures = z.output<typeof facts>;

/** For editors: `schemas/test.schema.json`. */
export const testJsonSchema = (): Record<string, unknown> =>
  z.toJSONSchema(z.union([runbookTestFile, ruleTestFile]), { target: 'draft-7', io: 'input' });
