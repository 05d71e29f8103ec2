// A world in which nothing is done: every runbook is one step that ends as the run did, or as is assumed of it.
import { z } from 'zod';
import { ActionError } from '../base/failure.ts';
import type { Ids } from '../base/ids.ts';
import type { Loaded } from '../engine/context.ts';
import type { Action, Actions } from '../port/action.ts';
import { defineAction } from '../port/action.ts';
import type { ActionStep, Aftermath, Runbook } from '../runbook/runbook.ts';

/** Ids in their order, the same ones every time: what happens in one moment is told apart by them. */
export const createOrderedIds = (): Ids => {
  let last = 0;
  return {
    next() {
      last += 1;
      return `00000000-0000-7000-8000-${last.toString(16).padStart(12, '0')}`;
    },
  };
};

export type AssumedRun = {
  readonly component: string;
  readonly target: string;
  readonly strategy: string;
  readonly at: number;
};

/** How a run ends. `endsAt` is milliseconds UTC; null: it takes no time. */
export type Ending = { readonly how: 'helped' | 'failed' | 'stuck' | 'undo_failed'; readonly endsAt: number | null };

const ACT = 'backtest.act';
const CHECK = 'backtest.check';
const UNDO = 'backtest.undo';
/** No run of a backtest is ended by its time: those of the record ended as it says. */
const NO_TIMEOUT_MS = 30 * 86_400_000;

export const assumedActions = (endingOf: (run: AssumedRun) => Ending): Actions => {
  /** Those that will be undone in vain, by their ids. */
  const inVain = new Set<string>();
  return new Map<string, Action>([
    [
      ACT,
      defineAction({
        summary: 'Takes the place of a runbook in a backtest.',
        effect: 'change',
        input: z.strictObject({ strategy: z.string() }),
        outputs: {},
        undo: 'nothing was done',
        defaultTimeout: NO_TIMEOUT_MS,
        async run({ strategy }, context) {
          context.began();
          const { component, target } = context.run;
          const { how, endsAt } = endingOf({ component, target, strategy, at: context.clock.now() });
          if (endsAt !== null) await context.clock.sleep(endsAt - context.clock.now(), context.signal);
          if (how === 'failed') throw new ActionError('permanent', 'it did not help');
          if (how === 'undo_failed') inVain.add(context.run.id);
          if (how === 'stuck') throw new ActionError('indeterminate', 'nobody could tell what became of it');
          return { outputs: {} };
        },
      }),
    ],
    [
      CHECK,
      defineAction({
        summary: 'Takes the place of a verification in a backtest.',
        effect: 'read',
        input: z.strictObject({}),
        outputs: {},
        undo: 'it only looks',
        defaultTimeout: 1_000,
        async run(_input, context) {
          if (inVain.has(context.run.id)) throw new ActionError('permanent', 'it did not help');
          return { outputs: {} };
        },
      }),
    ],
    [
      UNDO,
      defineAction({
        summary: 'Takes the place of an undo in a backtest: of one that failed, since no other is needed.',
        effect: 'change',
        input: z.strictObject({}),
        outputs: {},
        undo: 'nothing was done',
        defaultTimeout: 1_000,
        async run(_input, context) {
          inVain.delete(context.run.id);
          throw new ActionError('permanent', 'it could not be undone');
        },
      }),
    ],
  ]);
};

const NOTHING_AFTER: Aftermath = { steps: [], degrade: null, clear: null, escalate: null };

const STEP = {
  with: {},
  if: null,
  timeout: 1_000,
  retry: { attempts: 1, delay: 0, factor: 1 },
  idempotent: true,
  continueOnError: false,
  undo: null,
  probe: null,
  effect: 'change',
} as const;

const actOf = (runbook: Runbook): ActionStep => ({
  ...STEP,
  id: 'assumed',
  uses: ACT,
  with: { strategy: runbook.strategy },
  timeout: NO_TIMEOUT_MS,
  // One that may have happened and may not leaves the run stuck, as it did.
  idempotent: false,
  undo: { ...STEP, id: 'assumed', uses: UNDO },
});

const assumed = (runbook: Runbook): Runbook => ({
  ...runbook,
  timeout: NO_TIMEOUT_MS,
  before: [],
  steps: [actOf(runbook)],
  rollback: null,
  verify: [
    {
      type: 'action',
      uses: CHECK,
      with: {},
      timeout: 1_000,
      need: 1,
      of: 1,
      every: 1,
      hold: 0,
      expect: null,
    },
  ],
  // Degraded modes are a fact that rules may ask for, so they go on and off as they would.
  onSuccess: { ...NOTHING_AFTER, degrade: runbook.onSuccess.degrade, clear: runbook.onSuccess.clear },
  onFailure: { ...NOTHING_AFTER, degrade: runbook.onFailure.degrade, clear: runbook.onFailure.clear },
  onExhausted: NOTHING_AFTER,
});

const KEPT_DAYS = 1;

/** The same rules, caps and digests; runbooks that do nothing. */
export const withoutEffects = ({ config, catalog }: Loaded): Loaded => ({
  config: {
    ...config,
    probes: [],
    // Nobody is told anything, and nothing that is decided looks further back than this at what came in.
    statusUpdates: { SEV1: null, SEV2: null, SEV3: null, SEV4: null },
    degradedModes: new Map([...config.degradedModes].map(([name, mode]) => [name, { ...mode, notify: [] }])),
    journalRetentionDays: KEPT_DAYS,
    components: new Map(
      [...config.components].map(([name, component]) => [name, { ...component, allowedActions: [ACT, CHECK, UNDO] }]),
    ),
  },
  catalog: {
    ...catalog,
    runbooks: new Map([...catalog.runbooks].map(([name, runbook]) => [name, assumed(runbook)])),
  },
});
