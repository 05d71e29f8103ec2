// What Prometheus remembers becomes posts; a day that it does not give is said, and the others are used.
import { describe, expect, it } from '@jest/globals';
import { formatProblem } from '../../../src/base/failure.ts';
import { readAlertSeries } from '../../../src/replay/alert-series.ts';
import type { AskPrometheus } from '../../../src/replay/alert-series.ts';

const MINUTE = 60_000;
const DAY = 86_400_000;
const BEGAN = Date.parse('2026-10-20T00:00:00Z');

/** On each day the shop was down from noon for five minutes. */
const answering =
  (fails: (day: number) => boolean): AskPrometheus =>
  async (_path, { start }) => {
    const from = Number(start) * 1_000;
    const day = Math.round((from - BEGAN) / DAY);
    if (fails(day)) throw new Error('The operation was aborted due to timeout');
    const noon = BEGAN + day * DAY + DAY / 2;
    const values = Array.from({ length: 5 }, (_, minute) => [(noon + minute * MINUTE) / 1_000, '1']);
    return {
      data: { result: [{ metric: { __name__: 'ALERTS', alertstate: 'firing', alertname: 'ShopDown' }, values }] },
    };
  };

describe('the alerts that Prometheus remembers', () => {
  it('are posts when they began and when they were over', async () => {
    const { deliveries, problems } = await readAlertSeries(
      answering(() => false),
      BEGAN,
      BEGAN + 2 * DAY,
    );
    expect(problems).toEqual([]);
    expect(deliveries.map(({ at }) => (at - BEGAN) / MINUTE)).toEqual([720, 725, 2160, 2165]);
    expect(JSON.parse(String(deliveries[1]?.body()))).toMatchObject({
      status: 'resolved',
      alerts: [{ labels: { alertname: 'ShopDown' }, startsAt: '2026-10-20T12:00:00.000Z' }],
    });
  });

  it('are used without the day for which Prometheus took too long, and that is said with what to do', async () => {
    const { deliveries, problems } = await readAlertSeries(
      answering((day) => day === 1),
      BEGAN,
      BEGAN + 3 * DAY,
    );
    expect(deliveries).toHaveLength(4);
    expect(problems.map(formatProblem)).toEqual([
      expect.stringMatching(
        /alerts of 2026-10-21: The operation was aborted due to timeout.*mend: look at its address/s,
      ),
    ]);
  });

  it('are not asked for once a day of a month where nobody answers', async () => {
    let asked = 0;
    const { problems } = await readAlertSeries(
      async () => {
        asked += 1;
        throw new Error('fetch failed');
      },
      BEGAN,
      BEGAN + 30 * DAY,
    );
    expect(asked).toBe(3);
    expect(problems).toHaveLength(3);
  });
});
