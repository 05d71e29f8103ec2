// What a journal knows is answered as it was; what it does not know is counted and named.
import { describe, expect, it } from '@jest/globals';
import { builtInConfig } from '../../../src/config.ts';
import type { Journal, RecordedFact, RecordedOutcome } from '../../../src/replay/journal.ts';
import { createPast } from '../../../src/replay/past.ts';
import type { Assumption } from '../../../src/replay/past.ts';

const labels = { alertname: 'ShopDown' };
const run = { component: 'shop', target: 'one', strategy: 'mend' };
const config = {
  ...builtInConfig('.', null),
  alertmanagers: [{ url: 'http://127.0.0.1:9093', credential: null, sources: ['alertmanager'] }],
};
const pastOf = (given: Partial<Pick<Journal, 'outcomes' | 'facts' | 'retries'>>, assume: Assumption = 'recorded') =>
  createPast({ outcomes: [], facts: [], retries: [], ...given }, { assume, config });
const said = (at: number, state: string): RecordedFact => ({
  at,
  line: 1,
  asked: 'alertmanager',
  source: 'alertmanager',
  labels,
  state,
});
const outcome = (at: number, how: string, cause = ''): RecordedOutcome => ({
  ...run,
  at,
  line: 1,
  outcome: how,
  cause,
  endedAt: at + 5_000,
});

describe('the past', () => {
  it('answers with what was said then, or a moment later, and keeps it as long as live does', () => {
    const past = pastOf({ facts: [said(1_000_000, 'silenced'), said(1_060_000, 'firing')] });
    const at = (now: number) => past.alert(labels, 'alertmanager', now, false).state;
    expect([at(995_000), at(1_000_000), at(1_014_000), at(1_059_000)]).toEqual([
      'silenced',
      'silenced',
      'silenced',
      'firing',
    ]);
    expect(past.unknown()).toEqual({ alerts: {}, queries: {} });
    expect(at(1_030_000)).toBe('firing');
    expect(past.unknown().alerts).toEqual({ ShopDown: 1 });
  });

  it('makes nothing up about Prometheus', () => {
    const fact = { at: 1_000_000, line: 1, asked: 'prometheus', problem: '' } as const;
    const past = pastOf({
      facts: [
        { ...fact, query: 'up', value: 3 },
        { ...fact, query: 'down', value: null, problem: 'the query gave 2 samples, not one' },
      ],
    });
    expect(past.query('up', 1_000_000)).toEqual({ ok: true, value: [{ labels: {}, value: 3 }] });
    expect(past.query('down', 1_000_000)).toMatchObject({
      problems: [{ message: 'the query gave 2 samples, not one' }],
    });
    expect(past.unknown().queries).toEqual({});
    expect(past.query('up', 9_000_000)).toMatchObject({ ok: false });
    expect(past.unknown().queries).toEqual({ up: 1 });
  });

  it('ends a run as and when it ended, another as the next of its kind did, and one without a record well', () => {
    const past = pastOf({ outcomes: [outcome(1_000_000, 'unresolved', 'step_failed'), outcome(2_000_000, 'stuck')] });
    expect(past.ending({ ...run, at: 2_000_100 })).toEqual({ how: 'stuck', endsAt: 2_005_000 });
    expect(past.ending({ ...run, at: 3_000_000 })).toEqual({ how: 'failed', endsAt: null });
    expect(past.ending({ ...run, at: 4_000_000 })).toEqual({ how: 'helped', endsAt: null });
    expect(past.assumedRuns()).toBe(1);
    expect(pastOf({}, 'failure').ending({ ...run, at: 1 })).toEqual({ how: 'failed', endsAt: null });
  });

  it('takes a run that helped and whose alert came back as one that helped: that it came back shows by itself', () => {
    const past = pastOf({ outcomes: [outcome(1_000_000, 'unresolved', 'ineffective')] });
    expect(past.ending({ ...run, at: 1_000_000 })).toMatchObject({ how: 'helped' });
  });

  it('knows when a question was seen to have expired', () => {
    const past = pastOf({ outcomes: [{ ...outcome(1_000_000, 'withdrawn', 'expired'), endedAt: 2_803_000 }] });
    expect(past.expiredAt({ ...run, at: 1_000_000 }, 2_800_000)).toBe(2_803_000);
    expect(past.expiredAt({ ...run, at: 9_000_000 }, 9_800_000)).toBe(9_800_000);
  });
});
