// Time that moves when it is told to.
import { describe, expect, it } from '@jest/globals';
import { createVirtualClock } from '../../../src/replay/virtual-clock.ts';

describe('a clock that stands still', () => {
  it('calls what is due in its order, each at its own time', () => {
    const clock = createVirtualClock(1_000);
    const called: Array<readonly [string, number]> = [];
    const call = (name: string) => () => void called.push([name, clock.now()]);
    clock.after(20, call('late'));
    clock.after(10, call('first'));
    clock.after(10, call('second'));
    const cancelled = clock.after(5, call('never'));
    cancelled.cancel();
    expect(clock.next()).toBe(1_010);
    clock.moveTo(1_015);
    clock.moveTo(1_012);
    expect(called).toEqual([
      ['first', 1_010],
      ['second', 1_010],
    ]);
    expect([clock.now(), clock.next()]).toEqual([1_015, 1_020]);
  });

  it('lets who sleeps go on when it gets there, and counts those who still do', async () => {
    const clock = createVirtualClock(0);
    const stop = new AbortController();
    const woken = clock.sleep(10);
    const stopped = clock.sleep(50, stop.signal).catch((error: unknown) => error);
    await clock.sleep(0);
    expect(clock.sleeping).toBe(2);
    clock.moveTo(10);
    await woken;
    expect(clock.sleeping).toBe(1);
    stop.abort(new Error('stop'));
    expect(await stopped).toEqual(new Error('stop'));
    expect([clock.sleeping, clock.next()]).toEqual([0, null]);
  });
});
