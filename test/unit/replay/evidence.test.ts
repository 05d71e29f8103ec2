// What counts for a rule's next mode, and what does not.
import { describe, expect, it } from '@jest/globals';
import type { RunRow } from '../../../src/port/record.ts';
import { evidenceOf, percent } from '../../../src/replay/evidence.ts';
import type { EvidenceFrom } from '../../../src/replay/evidence.ts';
import { attemptOf } from '../rule/world.ts';

const NOW = 1_790_000_000_000;
const rule = { name: 'redis-down', file: 'rules/redis/down.json', mode: 'approve', event: 'remediate' } as const;
const runOf = (index: number, changes: Partial<RunRow> = {}): RunRow => ({
  id: `run-${index}`,
  decisionId: 'd',
  episodeId: 'e',
  component: 'cache',
  kind: 'redis',
  target: 'a',
  strategy: 'reconnect',
  rule: rule.name,
  state: 'done',
  outcome: 'resolved',
  cause: 'verified',
  createdAt: NOW - index * 3_600_000,
  notBefore: 0,
  startedAt: null,
  firstStepAt: null,
  verifiedAt: NOW - index * 3_600_000 + 4_000,
  endedAt: null,
  settleUntil: NOW - 1,
  alertStartedAt: NOW - index * 3_600_000,
  recoveries: 0,
  leaseOwner: null,
  fence: 1,
  ...changes,
});
const runs = (count: number, change: (index: number) => Partial<RunRow> = () => ({})): readonly RunRow[] =>
  Array.from({ length: count }, (_, index) => runOf(index, change(index)));
const FAILED = { outcome: 'unresolved', cause: 'ineffective' } as const;
const from = (changes: Partial<EvidenceFrom> = {}): EvidenceFrom => ({
  rule,
  destructive: false,
  promotion: { successes: 20, share: 0.95 },
  demoted: null,
  now: NOW,
  runs: [],
  shadow: [],
  live: [],
  ...changes,
});

describe('the evidence for a promotion', () => {
  it('is enough with twenty verified successes, and tells how long they took', () => {
    expect(evidenceOf(from({ runs: runs(20) }))).toMatchObject({
      next: 'auto',
      successes: 20,
      failures: 0,
      share: 1,
      enough: true,
      lacks: [],
      recoveryMs: { median: 4_000, p95: 4_000 },
    });
  });

  it('is not enough with nineteen', () => {
    expect(evidenceOf(from({ runs: runs(19) }))).toMatchObject({
      enough: false,
      lacks: ['19 of the 20 verified successes that are needed'],
    });
    expect(evidenceOf(from())).toMatchObject({ enough: false, share: null, successes: 0 });
  });

  it('takes one failure among twenty-one, and not two: an ineffective run is one', () => {
    expect(evidenceOf(from({ runs: runs(25, (index) => (index === 3 ? FAILED : {})) }))).toMatchObject({
      successes: 20,
      failures: 1,
      ineffective: 1,
      enough: true,
    });
    const two = evidenceOf(from({ runs: runs(25, (index) => (index === 3 || index === 7 ? FAILED : {})) }));
    expect(two).toMatchObject({
      successes: 20,
      failures: 2,
      enough: false,
      lacks: ['90.9% of those that count; 95% are needed'],
    });
  });

  it('looks no further back than it needs to: what failed long before is mended', () => {
    expect(evidenceOf(from({ runs: runs(40, (index) => (index >= 20 ? FAILED : {})) }))).toMatchObject({
      enough: true,
      failures: 0,
    });
  });

  it('counts neither what was withdrawn, nor what is under way, nor what still settles', () => {
    const open = [
      runOf(0, { outcome: null, cause: null, state: 'running' }),
      runOf(1, { outcome: 'withdrawn', cause: 'denied' }),
      runOf(2, { settleUntil: NOW + 1 }),
    ];
    expect(evidenceOf(from({ runs: [...open, ...runs(20)] }))).toMatchObject({
      successes: 20,
      failures: 0,
      enough: true,
    });
    expect(evidenceOf(from({ runs: [...open, ...runs(19)] }))).toMatchObject({ successes: 19, enough: false });
  });

  it('is by the figures of the configuration where it has some', () => {
    expect(
      evidenceOf(
        from({ runs: runs(4, (index) => (index === 0 ? FAILED : {})), promotion: { successes: 3, share: 0.7 } }),
      ),
    ).toMatchObject({ enough: true });
  });

  it('does not count for a rule that is demoted, that is auto already, or that runs nothing', () => {
    const demoted = { mode: 'approve', until: null, reason: 'twice', since: NOW } as const;
    expect(evidenceOf(from({ runs: runs(20), demoted })).lacks).toEqual([
      'redis-down is demoted (twice): restore it first',
    ]);
    expect(evidenceOf(from({ runs: runs(20), rule: { ...rule, mode: 'auto' } }))).toMatchObject({
      next: null,
      enough: false,
    });
    expect(evidenceOf(from({ runs: runs(20), rule: { ...rule, event: 'observe' } }))).toMatchObject({
      next: null,
      enough: false,
    });
  });

  it('of a shadow rule is what it would have done, with nothing else in its way', () => {
    const shadow = Array.from({ length: 20 }, (_, index) =>
      attemptOf({ id: `s${index}`, ledger: 'shadow:redis-down', episodeId: `e${index}`, rule: 'redis-down' }),
    );
    const shadowed = from({ rule: { ...rule, mode: 'shadow' }, shadow });
    expect(evidenceOf(shadowed)).toMatchObject({ next: 'approve', successes: 20, enough: true, recoveryMs: null });
    const live = [
      attemptOf({ episodeId: 'e3', strategy: 'restart_container', rule: 'other' }),
      attemptOf({ episodeId: 'e4', strategy: 'reconnect', rule: 'other' }),
    ];
    expect(evidenceOf({ ...shadowed, live })).toMatchObject({ successes: 19, failures: 1, enough: false });
  });

  it('is never rounded up', () => {
    expect(percent(0.94999)).toBe('94.9%');
    expect(percent(1)).toBe('100%');
  });
});
