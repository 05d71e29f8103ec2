import { afterAll, describe, expect, it } from '@jest/globals';
import { setMaxListeners } from 'node:events';
import clear from '../../../src/actions/degrade/clear.ts';
import set from '../../../src/actions/degrade/set.ts';
import add from '../../../src/actions/inbox/add.ts';
import { absolutePath, bytes, duration, processNames } from '../../../src/actions/inputs.ts';
import send from '../../../src/actions/notify/send.ts';
import { offThread } from '../../../src/actions/off-thread.ts';
import type * as locking from '../../../src/actions/sqlite/locking.ts';
import wait from '../../../src/actions/wait/for.ts';
import { systemClock } from '../../../src/base/clock.ts';
import { createContexts, perform } from '../../support/action-context.ts';

const contexts = createContexts();
afterAll(() => contexts.stop());

describe('actions that ask the engine for something', () => {
  it('set and clear a degraded mode', async () => {
    const context = contexts.make();
    expect(await perform(set, { mode: 'shop_read_only' }, context)).toEqual({ mode: 'shop_read_only', on: true });
    await perform(clear, { mode: 'shop_read_only' }, context);
    expect(context.requests).toEqual([
      { type: 'degrade', mode: 'shop_read_only', on: true },
      { type: 'degrade', mode: 'shop_read_only', on: false },
    ]);
  });

  it('put an entry into the inbox and tell a receiver', async () => {
    const context = contexts.make();
    await perform(add, { title: 'look', severity: 'SEV2', kind: 'escalation' }, context);
    await perform(send, { title: 'look', body: 'here', receiver: 'oncall' }, context);
    expect(context.requests).toEqual([
      { type: 'inbox', kind: 'escalation', severity: 'SEV2', title: 'look', body: '' },
      { type: 'notify', receiver: 'oncall', severity: null, title: 'look', body: 'here' },
    ]);
  });
});

describe('wait.for', () => {
  it('waits as long as it is told', async () => {
    const start = systemClock.monotonic();
    const outputs = await perform(wait, { duration: '50ms' }, contexts.make());
    expect(systemClock.monotonic() - start).toBeGreaterThan(40);
    expect(outputs['waited_seconds']).toBeGreaterThan(0.04);
  });
});

describe('shapes of inputs', () => {
  it('durations and sizes are read from text', () => {
    expect(duration.parse('1m30s')).toBe(90_000);
    expect(bytes.parse('100MiB')).toBe(104_857_600);
    expect(bytes.parse('1.5 GB')).toBe(1_500_000_000);
    expect(bytes.parse(7)).toBe(7);
    for (const bad of ['', '5', 'soon', '-1s', 5]) expect(duration.safeParse(bad).success).toBe(false);
    for (const bad of ['', 'MB', '-1', -1, 1.5, '1e3']) expect(bytes.safeParse(bad).success).toBe(false);
  });

  it('C8: a path is absolute and plain', () => {
    expect(absolutePath.parse('/var/lib/shop/orders.db')).toBe('/var/lib/shop/orders.db');
    for (const bad of ['', '/', 'a/b', '/a/../b', '/a/./b', '/a//b', '/a/', '/a\0b', '/a\nb', `/${'x'.repeat(5_000)}`])
      expect(absolutePath.safeParse(bad).success).toBe(false);
  });

  it('C14: names of executables are names, and at least one', () => {
    for (const bad of [[], [''], ['/bin/sh'], ['a b'], 'sh']) expect(processNames.safeParse(bad).success).toBe(false);
  });
});

describe('work off the main thread', () => {
  const jobs = offThread<typeof locking>('../../../src/actions/sqlite/locking.ts', import.meta.url);
  const signal = new AbortController().signal;
  setMaxListeners(1_000, signal);

  it('a round trip takes little, and the main thread is free meanwhile', async () => {
    const options = { key: 'a', clock: systemClock, signal };
    await jobs('holderKey', { pid: 1, startTicks: 2 }, options);
    const start = systemClock.monotonic();
    for (let call = 0; call < 200; call += 1)
      expect(await jobs('holderKey', { pid: 1, startTicks: 2 }, options)).toBe('1@2');
    expect((systemClock.monotonic() - start) / 200).toBeLessThan(5);
  });

  it('more calls than threads all come back, in order for each key', async () => {
    const done: string[] = [];
    await Promise.all(
      Array.from({ length: 20 }, async (_, index) => {
        const key = `key-${index % 5}`;
        await jobs('holderKey', { pid: index, startTicks: 0 }, { key, clock: systemClock, signal });
        done.push(`${key}/${String(index).padStart(2, '0')}`);
      }),
    );
    expect(done).toHaveLength(20);
    for (let key = 0; key < 5; key += 1) {
      const ofKey = done.filter((entry) => entry.startsWith(`key-${key}/`));
      expect(ofKey).toEqual(ofKey.toSorted());
    }
  });

  it('a call that is off already is not made, and those behind it go on', async () => {
    const controller = new AbortController();
    const options = { key: 'b', clock: systemClock };
    const first = jobs('holderKey', { pid: 1, startTicks: 1 }, { ...options, signal: controller.signal });
    controller.abort(new Error('called off'));
    await expect(first).rejects.toThrow('called off');
    expect(await jobs('holderKey', { pid: 3, startTicks: 4 }, { ...options, signal })).toBe('3@4');
  });
});
