// Time that never goes back while the process runs, whatever becomes of the wall clock.
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { SteadyClock } from '../../../src/base/clock.ts';
import { createSteadyClock, systemClock } from '../../../src/base/clock.ts';

const HOUR = 3_600_000;
const START = Date.UTC(2026, 0, 6, 12);

/** Both clocks in hand: `pass` moves both, `set` the wall clock alone. */
const machine = () => {
  let wall = START;
  let monotonic = 5_000;
  const system = { ...systemClock, now: () => Math.floor(wall), monotonic: () => monotonic };
  return {
    system,
    pass: (ms: number) => {
      wall += ms;
      monotonic += ms;
    },
    set: (by: number) => {
      wall += by;
    },
    get wall() {
      return wall;
    },
  };
};
const steady = (): { clock: SteadyClock } & ReturnType<typeof machine> => {
  const given = machine();
  return Object.assign(given, { clock: createSteadyClock(given.system) });
};

describe('a clock that never goes back', () => {
  it('is the wall clock while nothing happens to it', () => {
    const { clock, pass } = steady();
    pass(1_234.5);
    expect(clock.now()).toBe(START + 1_234);
    expect(clock.jump()).toBeNull();
  });

  it('F61 goes on at its own pace when the wall clock is set back by an hour, and tells of it', () => {
    const { clock, pass, set } = steady();
    pass(1_000);
    expect(clock.now()).toBe(START + 1_000);
    set(-HOUR);
    expect(clock.now()).toBe(START + 1_000);
    expect(clock.jump()).toEqual({ by: -HOUR });
    pass(300_000);
    // A cooldown of 300 s lasts 300 s.
    expect(clock.now()).toBe(START + 301_000);
    clock.settleJump();
    expect(clock.jump()).toBeNull();
    expect(clock.now()).toBe(START + 301_000);
  });

  it('F61 the wall clock that is set right again afterwards is no second jump', () => {
    const { clock, pass, set } = steady();
    set(-HOUR);
    clock.settleJump();
    pass(60_000);
    set(HOUR);
    expect(clock.jump()).toBeNull();
    expect(clock.now()).toBe(START + 60_000);
  });

  it('F62 two hours ahead are not believed before the jump was settled', () => {
    const { clock, pass, set } = steady();
    set(2 * HOUR);
    pass(1_000);
    expect(clock.now()).toBe(START + 1_000);
    expect(clock.jump()).toEqual({ by: 2 * HOUR });
    pass(1_000);
    expect(clock.now()).toBe(START + 2_000);
    clock.settleJump();
    expect(clock.now()).toBe(START + 2 * HOUR + 2_000);
    expect(clock.jump()).toBeNull();
    pass(1_000);
    expect(clock.now()).toBe(START + 2 * HOUR + 3_000);
  });

  it('F62 a jump ahead that is taken back before anybody settled it did nothing', () => {
    const { clock, set } = steady();
    set(2 * HOUR);
    expect(clock.now()).toBe(START);
    set(-2 * HOUR);
    expect(clock.jump()).toBeNull();
    expect(clock.now()).toBe(START);
  });

  it('F64 slewing, a leap second and a step of less than a minute are followed without a word', () => {
    const { clock, pass, set } = steady();
    for (let second = 0; second < 1_000; second += 1) {
      pass(1_000);
      set(0.5);
      clock.now();
    }
    expect(clock.jump()).toBeNull();
    expect(clock.now()).toBe(START + 1_000_500);
    set(-1_000);
    pass(1_000);
    expect(clock.now()).toBe(START + 1_001_500);
    set(59_000);
    expect(clock.jump()).toBeNull();
    expect(clock.now()).toBe(START + 1_059_500);
  });

  it('F64 a resume after six hours shows as a jump ahead, since the monotonic clock stood still', () => {
    const { clock, set } = steady();
    clock.now();
    set(6 * HOUR);
    expect(clock.jump()).toEqual({ by: 6 * HOUR });
  });

  it('F61 after a restart it goes on from what was told before, and a wall clock behind that is a jump', () => {
    const { clock, pass } = steady();
    clock.resumeFrom(START - 5_000);
    expect(clock.jump()).toBeNull();
    clock.resumeFrom(START + HOUR);
    expect(clock.jump()).toEqual({ by: -HOUR });
    expect(clock.now()).toBe(START + HOUR);
    clock.settleJump();
    pass(10_000);
    expect(clock.now()).toBe(START + HOUR + 10_000);
  });

  it('F61 F62 I1 whatever is done to the wall clock: it never goes back, and is never slower than the monotonic clock', () => {
    const step = fc.oneof(
      fc.record({ pass: fc.integer({ min: 0, max: HOUR }) }),
      fc.record({ set: fc.integer({ min: -3 * HOUR, max: 3 * HOUR }) }),
      fc.constant({ settle: true as const }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const given = steady();
        let before = given.clock.now();
        for (const one of steps) {
          if ('pass' in one) given.pass(one.pass);
          else if ('set' in one) given.set(one.set);
          else given.clock.settleJump();
          const now = given.clock.now();
          expect(now - before).toBeGreaterThanOrEqual('pass' in one ? one.pass : 0);
          // More than has passed is believed below a minute, or once it was settled.
          if (!('settle' in one)) expect(now - before).toBeLessThanOrEqual(('pass' in one ? one.pass : 0) + 60_000);
          before = now;
        }
      }),
    );
  });

  it('F62 knows at every moment how much of the time since another was gained on the monotonic clock', () => {
    const { clock, pass, set } = steady();
    pass(10_000);
    const before = clock.now();
    set(2 * HOUR);
    pass(10_000);
    // Not believed yet, so nothing is gained by it.
    expect([clock.now() - before, clock.gainedSince(before)]).toEqual([10_000, 0]);
    clock.settleJump();
    expect([clock.now() - before, clock.gainedSince(before)]).toEqual([2 * HOUR + 10_000, 2 * HOUR]);
    expect(clock.gainedSince(clock.now())).toBe(0);
    pass(HOUR);
    expect([clock.now() - before, clock.gainedSince(before)]).toEqual([3 * HOUR + 10_000, 2 * HOUR]);
    // Small steps, one after the other, are believed at once: they are counted all the same.
    const then = clock.now();
    for (let step = 0; step < 60; step += 1) {
      set(59_000);
      clock.now();
    }
    expect([clock.now() - then, clock.gainedSince(then), clock.gainedSince(before)]).toEqual([
      60 * 59_000,
      60 * 59_000,
      2 * HOUR + 60 * 59_000,
    ]);
  });

  it('F62 F64 I1 whatever is done to the wall clock: less what was gained, no more time has passed than has', () => {
    const step = fc.oneof(
      fc.record({ pass: fc.integer({ min: 0, max: HOUR }) }),
      fc.record({ set: fc.integer({ min: -3 * HOUR, max: 3 * HOUR }) }),
      fc.record({ set: fc.integer({ min: -500, max: 500 }) }),
      fc.constant({ settle: true as const }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        const given = steady();
        const looks: Array<readonly [told: number, monotonic: number]> = [];
        for (const one of steps) {
          if ('pass' in one) given.pass(one.pass);
          else if ('set' in one) given.set(one.set);
          else given.clock.settleJump();
          const now = given.clock.now();
          for (const [told, monotonic] of looks)
            expect(now - told - given.clock.gainedSince(told)).toBeLessThanOrEqual(
              given.system.monotonic() - monotonic,
            );
          looks.push([now, given.system.monotonic()]);
        }
      }),
    );
  });
});
