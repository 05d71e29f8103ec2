import { describe, expect, it } from '@jest/globals';
import { createLog } from '../../../src/base/log.ts';
import { createRedactor } from '../../../src/base/secret.ts';
import { createLoop } from '../../../src/engine/loop.ts';
import { createShiftedClock } from '../../support/shifted-clock.ts';

const log = createLog('silent', createRedactor());
const turns = async (count: number): Promise<void> => {
  for (let turn = 0; turn < count; turn += 1) await Promise.resolve();
};

describe('a loop', () => {
  it.each([0, 1, 2, 3, 4, 5, 6])(
    'ticks once more when it is woken %i microtasks after its tick began: no wake is lost',
    async (after) => {
      let ticks = 0;
      let woken = false;
      const loop = createLoop({
        name: 'test',
        clock: createShiftedClock(),
        everyMs: 60_000,
        log,
        async tick() {
          ticks += 1;
          if (woken) return;
          woken = true;
          void turns(after).then(() => loop.wake());
        },
      });
      loop.start();
      await turns(50);
      await loop.stop();
      expect(ticks).toBe(2);
    },
  );

  it('goes on after a tick that failed', async () => {
    let ticks = 0;
    const loop = createLoop({
      name: 'test',
      clock: createShiftedClock(),
      everyMs: 60_000,
      log,
      async tick() {
        ticks += 1;
        if (ticks === 1) throw new Error('once');
      },
    });
    loop.start();
    await turns(20);
    loop.wake();
    await turns(20);
    await loop.stop();
    expect(ticks).toBe(2);
  });
});
