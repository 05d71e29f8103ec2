// Every guard as a table: when it lets through, when it refuses and until when, and what stands at its edges.
import { describe, expect, it } from '@jest/globals';
import { forcedToAsk } from '../../../src/run/admission.ts';
import type { GuardInput } from '../../../src/run/guards.ts';
import { firstRefusal, stormThreshold, verdictsOf } from '../../../src/run/guards.ts';
import type { History } from '../../../src/run/history.ts';
import { NOT_ASKED } from '../../../src/run/present.ts';
import type { Present } from '../../../src/run/present.ts';
import type { GuardName } from '../../../src/run/reasons.ts';
import { GUARDS } from '../../../src/run/reasons.ts';
import { DAY, HOUR, MINUTE, NOW, SECOND, activeOf, attemptOf, historyOf, inputOf, planOf, policyOf } from './given.ts';

/** `endsAt` null: the guard does not know when it is over. */
type Case = readonly [what: string, said: Partial<GuardInput>, verdict: 'passes' | { readonly until: number | null }];

const past = (said: Partial<History>): Partial<GuardInput> => ({ history: historyOf(said) });
const present = (said: Partial<Present>): Partial<GuardInput> => ({ present: { ...NOT_ASKED, ...said } });
const alert = (state: Present['alert']['state']) => present({ alert: { state, detail: '' } });
const health = (state: Present['health']['state']) => present({ health: { state, value: null, detail: '' } });
const HALT = { on: true, by: 'ann', reason: 'migration', at: NOW - HOUR, until: null, hard: false, past: [] };
const OFF = { by: 'ann', reason: 'migration', until: NOW + HOUR };
const NOON = { schedule: '0 12 * * *', timezone: 'UTC', duration: HOUR, reason: '' };
const failures = (count: number, lastEndedAt: number) =>
  Array.from({ length: count }, (_, index) => attemptOf({ endedAt: lastEndedAt - (count - 1 - index) * MINUTE }));
const attemptsAt = (...ago: readonly number[]) => ago.map((ms) => attemptOf({ at: NOW - ms }));
/** Caps alone: nothing rests. */
const capped = (max: number, per: number) =>
  policyOf({
    attempts: [{ max, per }],
    cooldown: { afterFailure: 0, factor: 1, max: 0, afterSuccess: 0 },
  });
const split = policyOf({ fleet: { attempts: [{ max: 4, per: HOUR }], maxConcurrent: 2 } });

const CASES: Readonly<Record<GuardName, readonly Case[]>> = {
  halted: [
    ['nobody halted it', {}, 'passes'],
    ['a human did', past({ halt: HALT }), { until: null }],
    ['a file did', { haltFile: 'halt is there' }, { until: null }],
    ['a human did, asked again before a step', { ...past({ halt: HALT }), moment: 'step' }, { until: null }],
    ['a halt that was lifted', past({ halt: { ...HALT, on: false, until: NOW - 1 } }), 'passes'],
  ],
  disabled: [
    ['the component, for a while', past({ componentDisabled: OFF }), { until: NOW + HOUR }],
    ['the component, until it is enabled', past({ componentDisabled: { ...OFF, until: null } }), { until: null }],
    ['the rule', past({ ruleDisabled: OFF }), { until: NOW + HOUR }],
    ['its time is over', past({ componentDisabled: { ...OFF, until: NOW } }), 'passes'],
  ],
  maintenance: [
    ['I7 within a window', { plan: planOf({ policy: policyOf({ maintenance: [NOON] }) }) }, { until: NOW + HOUR }],
    [
      'I7 within a window, as it is about to start',
      { plan: planOf({ policy: policyOf({ maintenance: [NOON] }) }), moment: 'start' },
      { until: NOW + HOUR },
    ],
    [
      'I7 it opened while a run was under way: no further step',
      { plan: planOf({ policy: policyOf({ maintenance: [NOON] }) }), moment: 'step' },
      { until: NOW + HOUR },
    ],
    [
      'a millisecond before it opens',
      { plan: planOf({ policy: policyOf({ maintenance: [NOON] }) }), ...past({ now: NOW - 1 }) },
      'passes',
    ],
    [
      'as it closes',
      { plan: planOf({ policy: policyOf({ maintenance: [NOON] }) }), ...past({ now: NOW + HOUR }) },
      'passes',
    ],
  ],
  clock: [
    ['F62 after a jump', past({ clockSuspectUntil: NOW + HOUR }), { until: NOW + HOUR }],
    ['F62 a human will be asked', { ...past({ clockSuspectUntil: NOW + HOUR }), asking: true }, 'passes'],
    ['F62 a human has said yes', { ...past({ clockSuspectUntil: NOW + HOUR }), approved: true }, 'passes'],
    ['F62 its window is over', past({ clockSuspectUntil: NOW }), 'passes'],
  ],
  stale: [
    ['waited as long as it may', { moment: 'start', releasedAt: NOW - 10 * MINUTE }, 'passes'],
    ['waited a millisecond longer', { moment: 'start', releasedAt: NOW - 10 * MINUTE - 1 }, { until: null }],
    [
      'waited through a halt, which does not count',
      {
        moment: 'start',
        releasedAt: NOW - 3 * HOUR,
        ...past({
          halt: {
            ...HALT,
            on: false,
            past: [
              [NOW - 3 * HOUR + MINUTE, NOW - HOUR],
              [NOW - HOUR + MINUTE, NOW - MINUTE],
            ],
          },
        }),
      },
      'passes',
    ],
  ],
  settling: [
    ['a run waits for quiet', past({ settling: { runId: 'r', until: NOW + MINUTE } }), { until: NOW + MINUTE }],
    ['none does', {}, 'passes'],
  ],
  silenced: [
    ['silenced', alert('silenced'), { until: null }],
    ['inhibited', alert('inhibited'), { until: null }],
    ['firing', alert('firing'), 'passes'],
    ['nobody to ask', alert('not_asked'), 'passes'],
  ],
  unconfirmed: [
    ['it is gone', alert('absent'), { until: null }],
    ['nobody answers', alert('unreachable'), { until: null }],
    ['firing', alert('firing'), 'passes'],
  ],
  storm: [
    ['F39 one target short of it', past({ storm: { targets: 2, firstAt: NOW - MINUTE, components: 1 } }), 'passes'],
    ['F39 as many as it takes', past({ storm: { targets: 3, firstAt: NOW, components: 1 } }), { until: null }],
    ['F39 four components', past({ storm: { targets: 1, firstAt: NOW, components: 4 } }), { until: null }],
    ['F39 a group that was cut short', present({ truncated: 1 }), { until: null }],
    [
      'a large inventory is watched for 15 s first',
      { plan: planOf({ inventorySize: 6 }), ...past({ storm: { targets: 1, firstAt: NOW - SECOND, components: 1 } }) },
      { until: NOW + 14 * SECOND },
    ],
    [
      'and not again when the run starts',
      {
        plan: planOf({ inventorySize: 6 }),
        moment: 'start',
        ...past({ storm: { targets: 1, firstAt: NOW, components: 1 } }),
      },
      'passes',
    ],
  ],
  unhealthy: [
    ['enough', health('enough'), 'passes'],
    ['too few', health('too_few'), { until: null }],
    ['no data is a no', health('unknown'), { until: null }],
    ['no floor', health('not_asked'), 'passes'],
  ],
  breaker_open: [
    ['F40 two failures in a row', past({ breaker: failures(2, NOW) }), 'passes'],
    ['F40 three: until the first trial', past({ breaker: failures(3, NOW) }), { until: NOW + HOUR }],
    ['F40 the first trial', past({ breaker: failures(3, NOW - HOUR) }), 'passes'],
    ['F40 it failed: until the second', past({ breaker: failures(4, NOW) }), { until: NOW + 4 * HOUR }],
    ['F40 the last distance stays', past({ breaker: failures(9, NOW) }), { until: NOW + DAY }],
    [
      'F40 a success between them closes it',
      past({ breaker: [...failures(2, NOW), attemptOf({ outcome: 'resolved' }), ...failures(2, NOW)] }),
      'passes',
    ],
  ],
  busy: [
    ['I2 a run on the target', past({ active: [activeOf({ target: 'one' })] }), { until: null }],
    [
      'I2 one that waits for an answer holds it too',
      past({ active: [activeOf({ target: 'one', state: 'awaiting_approval' })] }),
      { until: null },
    ],
    [
      'a run on a target of that name, of another kind',
      past({ active: [activeOf({ target: 'one', kind: 'system', component: 'hosts' })] }),
      'passes',
    ],
    ['a run that is stuck', past({ stuck: 'r' }), { until: null }],
  ],
  concurrency: [
    ['I2 one of one', past({ active: [activeOf()] }), { until: null }],
    [
      'one that waits for an answer takes no place',
      past({ active: [activeOf({ state: 'awaiting_approval' })] }),
      'passes',
    ],
    ['a question does not wait for a place', { ...past({ active: [activeOf()] }), asking: true }, 'passes'],
    ['itself does not count', { ...past({ active: [activeOf({ id: 'me' })] }), moment: 'start', self: 'me' }, 'passes'],
    [
      'four of four in all',
      past({ active: ['a', 'b', 'c', 'd'].map((id) => activeOf({ id, component: id, target: id })) }),
      { until: null },
    ],
    ['I2 split: one of two', { plan: planOf({ policy: split }), ...past({ active: [activeOf()] }) }, 'passes'],
    [
      'I2 split: two of two',
      {
        plan: planOf({ policy: split }),
        ...past({ active: [activeOf(), activeOf({ id: 'third', target: 'three' })] }),
      },
      { until: null },
    ],
  ],
  cooldown: [
    [
      'I10 300 s after a failure',
      past({ attempts: [attemptOf({ endedAt: NOW - MINUTE })] }),
      { until: NOW + 240 * SECOND },
    ],
    [
      'I10 60 s after a success',
      past({ attempts: [attemptOf({ endedAt: NOW - 59_999, outcome: 'resolved' })] }),
      { until: NOW + 1 },
    ],
    ['I10 as it ends', past({ attempts: [attemptOf({ endedAt: NOW - 300 * SECOND })] }), 'passes'],
    [
      'I10 it is the component that rests',
      past({ attempts: [attemptOf({ target: 'two', endedAt: NOW })] }),
      { until: NOW + 300 * SECOND },
    ],
    [
      'I10 split: the target does',
      { plan: planOf({ policy: split }), ...past({ attempts: [attemptOf({ endedAt: NOW })] }) },
      { until: NOW + 300 * SECOND },
    ],
    [
      'I10 split: another target does not',
      { plan: planOf({ policy: split }), ...past({ attempts: [attemptOf({ target: 'two', endedAt: NOW })] }) },
      'passes',
    ],
    ['a question is asked meanwhile', { ...past({ attempts: [attemptOf({ endedAt: NOW })] }), asking: true }, 'passes'],
    [
      'a human passes over it',
      { ...past({ attempts: [attemptOf({ endedAt: NOW })] }), override: new Set(['cooldown']) },
      'passes',
    ],
    [
      'a rule may make it longer',
      {
        plan: planOf({ limits: { attempts: [], cooldownAfterFailure: HOUR } }),
        ...past({ attempts: [attemptOf({ endedAt: NOW - MINUTE })] }),
      },
      { until: NOW + 59 * MINUTE },
    ],
    [
      'doubling, up to its limit',
      {
        plan: planOf({
          policy: policyOf({ cooldown: { afterFailure: MINUTE, factor: 2, max: 3 * MINUTE, afterSuccess: 0 } }),
        }),
        ...past({ attempts: failures(5, NOW) }),
      },
      { until: NOW + 3 * MINUTE },
    ],
  ],
  attempts_used_up: [
    [
      'I1 two of three in the hour',
      { plan: planOf({ policy: capped(3, HOUR) }), ...past({ attempts: attemptsAt(1, 2) }) },
      'passes',
    ],
    [
      'I1 three of three: until the first has left',
      { plan: planOf({ policy: capped(3, HOUR) }), ...past({ attempts: attemptsAt(50 * MINUTE, 2, 1) }) },
      { until: NOW + 10 * MINUTE },
    ],
    [
      'I1 the first leaves',
      { plan: planOf({ policy: capped(3, HOUR) }), ...past({ attempts: attemptsAt(HOUR, 2, 1) }) },
      'passes',
    ],
    [
      'I1 a millisecond earlier',
      { plan: planOf({ policy: capped(3, HOUR) }), ...past({ attempts: attemptsAt(HOUR - 1, 2, 1) }) },
      { until: NOW + 1 },
    ],
    [
      'I1 more than the cap, as after it was lowered',
      { plan: planOf({ policy: capped(1, HOUR) }), ...past({ attempts: attemptsAt(50 * MINUTE, MINUTE) }) },
      { until: NOW + 59 * MINUTE },
    ],
    ['none at all', { plan: planOf({ policy: capped(0, HOUR) }) }, { until: NOW + HOUR }],
    [
      'I1 split: those of other targets do not count',
      {
        plan: planOf({ policy: split }),
        ...past({ attempts: [1, 2, 3].map((ago) => attemptOf({ at: NOW - ago, endedAt: null, target: 'two' })) }),
      },
      'passes',
    ],
    [
      'I1 split: its own do',
      {
        plan: planOf({ policy: split }),
        ...past({ attempts: [1, 2, 3].map((ago) => attemptOf({ at: NOW - ago, endedAt: null })) }),
      },
      { until: NOW + HOUR - 3 },
    ],
    [
      'I1 split: the fleet is used up',
      {
        plan: planOf({ policy: split }),
        ...past({ attempts: ['two', 'two', 'three', 'four'].map((target) => attemptOf({ at: NOW - MINUTE, target })) }),
      },
      { until: NOW + 59 * MINUTE },
    ],
    [
      "a rule's own cap counts its own attempts",
      {
        plan: planOf({
          policy: capped(9, HOUR),
          limits: { attempts: [{ max: 1, per: HOUR }], cooldownAfterFailure: null },
        }),
        ...past({ attempts: [attemptOf({ at: NOW - MINUTE, rule: 'another' })] }),
      },
      'passes',
    ],
    [
      "a rule's own cap is used up",
      {
        plan: planOf({
          policy: capped(9, HOUR),
          limits: { attempts: [{ max: 1, per: HOUR }], cooldownAfterFailure: null },
        }),
        ...past({ attempts: attemptsAt(MINUTE) }),
      },
      { until: NOW + 59 * MINUTE },
    ],
    [
      'of two full windows the one that ends last',
      {
        plan: planOf({
          policy: policyOf({
            attempts: [
              { max: 1, per: HOUR },
              { max: 2, per: DAY },
            ],
          }),
        }),
        ...past({ attempts: attemptsAt(2 * HOUR, 10 * MINUTE) }),
      },
      { until: NOW + 22 * HOUR },
    ],
  ],
  budget: [
    ['nine of ten', past({ budget: Array.from({ length: 9 }, () => NOW - 1) }), 'passes'],
    ['ten of ten', past({ budget: Array.from({ length: 10 }, () => NOW - 1) }), { until: NOW + HOUR - 1 }],
  ],
};

const verdictOf = (guard: GuardName, said: Partial<GuardInput>) => {
  const found = verdictsOf(inputOf(said)).find((verdict) => verdict.guard === guard);
  if (found === undefined) throw new Error(`${guard} was not asked`);
  return found;
};

describe('each guard', () => {
  describe.each(GUARDS)('%s', (guard) => {
    it.each(CASES[guard].map(([what, said, verdict]) => ({ what, said, verdict })))('$what', ({ said, verdict }) => {
      const { passed, endsAt, detail } = verdictOf(guard, said);
      expect([passed, endsAt]).toEqual(verdict === 'passes' ? [true, null] : [false, verdict.until]);
      // A refusal says why.
      if (!passed && said.present === undefined) expect(detail).not.toBe('');
    });
  });
});

describe('all of them', () => {
  const everything: Partial<GuardInput> = {
    plan: planOf({ policy: policyOf({ maintenance: [NOON], budget: [{ max: 1, per: HOUR }] }) }),
    history: historyOf({
      halt: HALT,
      componentDisabled: OFF,
      clockSuspectUntil: NOW + HOUR,
      settling: { runId: 'r', until: NOW + 1 },
      storm: { targets: 9, firstAt: NOW, components: 9 },
      breaker: failures(3, NOW),
      active: [activeOf({ target: 'one' })],
      attempts: [attemptOf({ endedAt: NOW }), ...attemptsAt(1, 2, 3)],
      budget: [NOW],
    }),
    present: {
      alert: { state: 'silenced', detail: '' },
      health: { state: 'too_few', value: 0, detail: '' },
      truncated: 0,
    },
  };

  it('refuse in the order of the design; the first is the reason, and every verdict is kept', () => {
    const verdicts = verdictsOf(inputOf(everything));
    const asked = GUARDS.filter((guard) => guard !== 'stale');
    expect(verdicts.map(({ guard }) => guard)).toEqual(asked);
    expect(verdicts.filter(({ passed }) => passed).map(({ guard }) => guard)).toEqual(['unconfirmed']);
    expect(firstRefusal(verdicts)?.guard).toBe('halted');
  });

  it('let through what nothing stands against', () => {
    expect(verdictsOf(inputOf()).filter(({ passed }) => !passed)).toEqual([]);
  });

  it.each([
    [
      'start',
      [
        'halted',
        'disabled',
        'maintenance',
        'clock',
        'stale',
        'silenced',
        'unconfirmed',
        'storm',
        'unhealthy',
        'concurrency',
      ],
    ],
    ['step', ['halted', 'disabled', 'maintenance', 'silenced', 'unconfirmed', 'unhealthy']],
  ] as const)('ask again at a %s what may have changed since', (moment, guards) => {
    expect(verdictsOf(inputOf({ moment })).map(({ guard }) => guard)).toEqual(guards);
  });

  it('a manual run skips what a human who asks has seen: silenced, unconfirmed and settling; a storm holds it too', () => {
    const manual = planOf({ manual: { by: 'ann', reason: '' } });
    const asked = new Set(verdictsOf(inputOf({ plan: manual })).map(({ guard }) => guard));
    expect(GUARDS.filter((guard) => !asked.has(guard))).toEqual(['stale', 'settling', 'silenced', 'unconfirmed']);
  });
});

describe('F39 as many targets as are a storm', () => {
  it.each([
    [1, 3],
    [2, 2],
    [3, 3],
    [10, 3],
    [20, 4],
    [21, 5],
    [50, 10],
    [10_000, 10],
  ])('of %i: %i', (inventory, threshold) => {
    expect(stormThreshold(policyOf().storm, inventory)).toBe(threshold);
  });
});

describe('a human has to decide, whatever the mode', () => {
  const elsewhere = attemptOf({ at: NOW - 59 * MINUTE, domain: 'a', target: 'two' });

  it('F41 when a second failure domain is worked on in one window', () => {
    const plan = planOf({ domain: 'b' });
    expect(forcedToAsk(plan, historyOf({ attempts: [elsewhere] }))).toContain('b is a second failure domain');
  });

  it('F41 not in the same domain, not when the window is over, and not without domains', () => {
    expect(forcedToAsk(planOf({ domain: 'a' }), historyOf({ attempts: [elsewhere] }))).toBeNull();
    const earlier = { ...elsewhere, at: NOW - HOUR };
    expect(forcedToAsk(planOf({ domain: 'b' }), historyOf({ attempts: [earlier] }))).toBeNull();
    expect(forcedToAsk(planOf(), historyOf({ attempts: [{ ...elsewhere, domain: null }] }))).toBeNull();
  });

  it('F62 while the clock is suspect, and F20 while the history is lost', () => {
    expect(forcedToAsk(planOf(), historyOf({ clockSuspectUntil: NOW + 1 }))).toContain('clock');
    expect(forcedToAsk(planOf(), historyOf({ clockSuspectUntil: NOW }))).toBeNull();
    expect(forcedToAsk(planOf(), historyOf({ approvalOnlyUntil: NOW + 1 }))).toContain('history');
  });

  it('when no Alertmanager can be asked about the source', () => {
    expect(forcedToAsk(planOf({ confirmable: false }), historyOf())).toContain('Alertmanager');
  });
});
