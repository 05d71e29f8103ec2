// What is shown of caps and cooldowns where each target has its own: of the target that has used most, and of the fleet.
import { describe, expect, it } from '@jest/globals';
import { builtInConfig, defaultPolicy } from '../../../src/config.ts';
import type { ConfiguredComponent } from '../../../src/config.ts';
import type { Loaded } from '../../../src/engine/context.ts';
import { componentFigures } from '../../../src/http/figures.ts';
import type { FiguresContext } from '../../../src/http/figures.ts';
import type { Policy } from '../../../src/rule/limits.ts';
import type { Attempt } from '../../../src/run/history.ts';
import { HOUR, MINUTE, NOW, attemptOf } from '../run/given.ts';

const figuresOf = async (policy: Partial<Policy>, attempts: readonly Attempt[]) => {
  const cache = { name: 'cache', kind: 'redis', policy: { ...defaultPolicy, ...policy } } as ConfiguredComponent;
  const config = { ...builtInConfig('/x'), components: new Map([['cache', cache]]) };
  const catalog = { runbooks: new Map([['redis/reconnect', { kind: 'redis', strategy: 'reconnect' }]]) };
  const store = {
    attempts: async () => attempts,
    breakerAttempts: async (pairs: readonly unknown[]) => pairs.map(() => attempts),
    controls: async () => ({ components: new Map() }),
    activeRuns: async () => [],
    degraded: async () => [],
  };
  const context = { store, clock: { now: () => NOW }, loaded: () => ({ config, catalog }) as unknown as Loaded };
  const [figures] = await componentFigures(context as unknown as FiguresContext);
  return figures;
};

const attempts = [
  attemptOf({ target: 'one', at: NOW - 30 * MINUTE }),
  attemptOf({ target: 'one', at: NOW - 20 * MINUTE }),
  attemptOf({ target: 'two', at: NOW - 3 * MINUTE }),
  attemptOf({ target: 'three', at: NOW - HOUR }),
];

describe('the figures of a component', () => {
  it('I1 I10 are of all its targets together', async () => {
    expect(await figuresOf({}, attempts)).toMatchObject({
      attempts: [
        { window: HOUR, used: 3, limit: 3 },
        { window: 24 * HOUR, used: 4, limit: 9 },
      ],
      fleet: [],
      cooldownUntil: NOW - 2 * MINUTE + 5 * MINUTE,
      breakers: [{ strategy: 'reconnect', open: true, failures: 4 }],
    });
  });

  it('I1 I10 are of the target that has used most, where it is split, and of the fleet besides', async () => {
    const fleet = { attempts: [{ max: 10, per: HOUR }], maxConcurrent: 2 };
    expect(await figuresOf({ fleet }, attempts)).toMatchObject({
      attempts: [
        { window: HOUR, used: 2, limit: 3 },
        { window: 24 * HOUR, used: 2, limit: 9 },
      ],
      fleet: [{ window: HOUR, used: 3, limit: 10 }],
      cooldownUntil: NOW - 2 * MINUTE + 5 * MINUTE,
    });
  });
});
