// A world in which time is what the journal says and nothing is done: every runbook is one step whose outcome is assumed.
import { z } from 'zod';
import type { Clock } from '../base/clock.ts';
import { ActionError } from '../base/failure.ts';
import type { Ids } from '../base/ids.ts';
import type { Loaded } from '../engine/context.ts';
import type { Action, Actions } from '../port/action.ts';
import { defineAction } from '../port/action.ts';
import type { ActionStep, Aftermath, Runbook } from '../runbook/runbook.ts';

export type VirtualClock = Clock & {
  /** Goes on to `at`; never back. */
  moveTo(at: number): void;
};

/** Time moves when it is told to, and when somebody sleeps. */
export const createVirtualClock = (start: number): VirtualClock => {
  let now = start;
  return {
    now: () => now,
    monotonic: () => now,
    after: () => ({ cancel: () => undefined }),
    async sleep(ms) {
      now += Math.max(0, ms);
    },
    moveTo(at) {
      now = Math.max(now, at);
    },
  };
};

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

const ACT = 'backtest.act';
const CHECK = 'backtest.check';

/** `recovers` says how a run came out, or would have. */
export const assumedActions = (recovers: (run: AssumedRun) => boolean): Actions =>
  new Map<string, Action>([
    [
      ACT,
      defineAction({
        summary: 'Takes the place of a runbook in a backtest.',
        effect: 'change',
        input: z.strictObject({ strategy: z.string() }),
        outputs: {},
        undo: 'nothing was done',
        defaultTimeout: 1_000,
        async run({ strategy }, context) {
          context.began();
          const { component, target } = context.run;
          if (!recovers({ component, target, strategy, at: context.clock.now() }))
            throw new ActionError('permanent', 'assumed not to have helped');
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
        run: async () => ({ outputs: {} }),
      }),
    ],
  ]);

const NOTHING_AFTER: Aftermath = { steps: [], degrade: null, clear: null, escalate: null };

const actOf = (runbook: Runbook): ActionStep => ({
  id: 'assumed',
  uses: ACT,
  with: { strategy: runbook.strategy },
  if: null,
  timeout: 1_000,
  retry: { attempts: 1, delay: 0, factor: 1 },
  idempotent: true,
  continueOnError: false,
  undo: null,
  probe: null,
  effect: 'change',
});

const assumed = (runbook: Runbook): Runbook => ({
  ...runbook,
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

/** The same rules, caps and digests; runbooks that do nothing. */
export const withoutEffects = ({ config, catalog }: Loaded): Loaded => ({
  config: {
    ...config,
    probes: [],
    components: new Map(
      [...config.components].map(([name, component]) => [name, { ...component, allowedActions: [ACT, CHECK] }]),
    ),
  },
  catalog: {
    ...catalog,
    runbooks: new Map([...catalog.runbooks].map(([name, runbook]) => [name, assumed(runbook)])),
  },
});
