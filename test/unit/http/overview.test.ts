// The overview: what is in it, and that however many ask for it at once, it is put together seldom and never too early.
import { describe, expect, it } from '@jest/globals';
import { shared } from '../../../src/http/overview.ts';
import { JSON_TYPE, WEB, delivery, start } from './given.ts';

describe('an answer that many ask for', () => {
  const clockAt = () => {
    let at = 0;
    const sleepers: Array<{ readonly until: number; readonly wake: () => void }> = [];
    return {
      monotonic: () => at,
      sleep: (ms: number) => new Promise<void>((wake) => void sleepers.push({ until: at + ms, wake })),
      go(ms: number) {
        at += ms;
        for (const { until, wake } of sleepers) if (until <= at) wake();
      },
    };
  };
  const turns = async (): Promise<void> => {
    for (let turn = 0; turn < 10; turn += 1) await Promise.resolve();
  };

  it('is put together once for all who ask before it is begun, and anew for whoever asks later', async () => {
    const clock = clockAt();
    let count = 0;
    const ask = shared(clock, 500, async () => (count += 1));
    expect(await Promise.all([ask(), ask(), ask()])).toEqual([1, 1, 1]);
    const later = Promise.all([ask(), ask()]);
    await turns();
    expect(count).toBe(1);
    clock.go(500);
    expect(await later).toEqual([2, 2]);
    clock.go(10_000);
    expect(await ask()).toBe(3);
  });

  it('holds what happened before it was asked for, also when another is being put together', async () => {
    const clock = clockAt();
    let happened = 'nothing';
    const release: Array<() => void> = [];
    const ask = shared(clock, 0, async () => {
      const seen = happened;
      await new Promise<void>((resolve) => void release.push(resolve));
      return seen;
    });
    const first = ask();
    await turns();
    happened = 'much';
    const second = ask();
    await turns();
    for (const go of release) go();
    expect(await Promise.all([first, second])).toEqual(['nothing', 'much']);
  });

  it('that fails fails for those who asked, and not for ever', async () => {
    let broken = true;
    const ask = shared(clockAt(), 0, async () => {
      if (broken) throw new Error('no store');
      return 'fine';
    });
    await expect(Promise.all([ask(), ask()])).rejects.toThrow('no store');
    broken = false;
    expect(await ask()).toBe('fine');
  });
});

describe('the overview', () => {
  it('has the run that waits with its plan filled in, and the decision with its reason in words', async () => {
    const given = await start(WEB);
    try {
      const posted = { method: 'POST', headers: JSON_TYPE, as: 'sender', body: delivery() } as const;
      expect((await given.ask('/webhook/alertmanager', posted)).status).toBe(202);
      await given.engine.settle();
      const { json } = await given.ask('/api/v1/overview', { as: 'viewer' });
      expect(json).toMatchObject({
        mode: 'approve',
        halt: { on: false },
        inboxOpen: 1,
        runsUnderWay: 1,
        lastAlert: { at: expect.stringMatching(/Z$/) },
        runs: [
          {
            state: 'awaiting_approval',
            asked: { question: expect.stringContaining('cache/slow'), expiresAt: expect.stringMatching(/Z$/) },
            steps: [{ key: 'steps/say', uses: 'degrade.set', status: 'pending', input: { mode: 'slow' }, open: false }],
          },
        ],
        decisions: [
          {
            reason: 'awaiting_approval',
            count: 1,
            alertname: 'CacheDown',
            why: 'the rule cache-down asked for slow on cache a, and a human has to agree first',
          },
        ],
      });
      const { items } = (await given.ask('/api/v1/decisions', { as: 'viewer' })).json as { items: unknown[] };
      expect(items[0]).toMatchObject({ alertname: 'CacheDown', why: expect.stringContaining('a human has to agree') });
    } finally {
      await given.close();
    }
  });

  it('gives a question the time that a halt took from it', async () => {
    const given = await start(WEB);
    try {
      await given.ask('/webhook/alertmanager', { method: 'POST', headers: JSON_TYPE, as: 'sender', body: delivery() });
      await given.engine.settle();
      const expiry = async (): Promise<number> => {
        const { json } = await given.ask('/api/v1/overview', { as: 'viewer' });
        const [run] = json['runs'] as readonly { asked: { expiresAt: string } }[];
        return Date.parse(run?.asked.expiresAt ?? '');
      };
      const before = await expiry();
      await given.ask('/api/v1/halt', { method: 'POST', headers: JSON_TYPE, as: 'approver', body: '{"reason":"x"}' });
      let after = before;
      for (let look = 0; look < 50 && after <= before; look += 1) after = await expiry();
      expect(after).toBeGreaterThan(before);
    } finally {
      await given.close();
    }
  });
});
