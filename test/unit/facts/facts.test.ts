import { describe, expect, it } from '@jest/globals';
import type { FactInput } from '../../../src/port/fact.ts';
import type { JsonObject } from '../../../src/base/json.ts';
import type { FactValue } from '../../../src/rule/fact.ts';
import { NOW, alertOf, attemptOf, facts, inputOf, labelsOf, readerOf, rulesOf, ruleText } from '../rule/world.ts';

const valueOf = (name: string, changes: Partial<FactInput> = {}, params: JsonObject = {}, member = ''): FactValue => {
  const fact = facts.get(name);
  if (fact === undefined || fact.outside === true) throw new Error(`no fact ${name} that is known at once`);
  return fact.value(inputOf({ alertname: 'RedisDown', env: 'prod', severity: 'critical' }, changes), params, member);
};

const withAttempts = (...attempts: ReturnType<typeof attemptOf>[]): Partial<FactInput> => ({
  component: 'cache',
  target: '10.0.0.7:6379',
  episodeId: 'episode',
  snapshot: { version: 1, attempts, firingTargets: 2, degraded: [] },
});

describe('the facts', () => {
  it('are found by the names of their files, all that the design names', () => {
    expect([...facts.keys()].toSorted()).toEqual([
      'age_seconds',
      'alertname',
      'annotation',
      'attempts',
      'component',
      'degraded',
      'firing',
      'group.size',
      'label',
      'last_outcome',
      'prometheus',
      'severity',
      'target',
      'text',
      'time.hour',
      'time.weekday',
    ]);
    for (const fact of facts.values()) expect(fact.summary).not.toBe('');
  });

  it('tell what the alert says', () => {
    expect(valueOf('alertname')).toBe('RedisDown');
    expect(valueOf('severity')).toBe('critical');
    expect(valueOf('label', {}, {}, 'env')).toBe('prod');
    expect(valueOf('label', {}, {}, 'absent')).toBeUndefined();
    const annotations = labelsOf({ description: 'refused', summary: 'Redis is down', 'runbook.url': 'http://x' });
    const alert = alertOf(labelsOf({}), { annotations });
    expect(valueOf('text', { alert })).toBe('Redis is down\nrefused');
    expect(valueOf('annotation', { alert }, {}, 'runbook.url')).toBe('http://x');
    expect(valueOf('text')).toBe('');
    expect(valueOf('alertname', { alert })).toBeUndefined();
    expect(valueOf('severity', { alert })).toBeUndefined();
  });

  it('C5: find no label that the alert does not have, whatever its name', () => {
    for (const name of ['__proto__', 'constructor', 'prototype', 'toString', 'valueOf', 'hasOwnProperty']) {
      expect(valueOf('label', {}, {}, name)).toBeUndefined();
      expect(valueOf('annotation', {}, {}, name)).toBeUndefined();
      const labels = labelsOf({});
      (labels as Record<string, string>)[name] = 'data';
      expect(valueOf('label', { alert: alertOf(labels) }, {}, name)).toBe('data');
    }
    expect(({} as Record<string, unknown>)['data']).toBeUndefined();
  });

  it('F43: give the age in seconds, never a negative one', () => {
    expect(valueOf('age_seconds')).toBe(90);
    expect(valueOf('age_seconds', { alert: alertOf(labelsOf({}), { startsAt: NOW + 60_000 }) })).toBe(0);
  });

  it('tell what is around it', () => {
    expect(valueOf('group.size', { groupSize: 7 })).toBe(7);
    expect(valueOf('component')).toBeUndefined();
    expect(valueOf('component', { component: 'cache' })).toBe('cache');
    expect(valueOf('target', { target: '10.0.0.7:6379' })).toBe('10.0.0.7:6379');
    expect(valueOf('firing', withAttempts())).toBe(2);
    const degraded = { snapshot: { version: 1, attempts: [], firingTargets: 0, degraded: ['redis_unavailable'] } };
    expect(valueOf('degraded', degraded)).toBe(true);
    expect(valueOf('degraded', degraded, { mode: 'redis_unavailable' })).toBe(true);
    expect(valueOf('degraded', degraded, { mode: 'other' })).toBe(false);
    expect(valueOf('degraded')).toBe(false);
  });

  it('tell the time in UTC', () => {
    const at = (text: string): readonly FactValue[] => [
      valueOf('time.hour', { now: Date.parse(text) }),
      valueOf('time.weekday', { now: Date.parse(text) }),
    ];
    expect(at('1970-01-01T00:00:00Z')).toEqual([0, 'thursday']);
    expect(at('2024-02-29T23:59:59.999Z')).toEqual([23, 'thursday']);
    expect(at('2026-03-08T12:00:00Z')).toEqual([12, 'sunday']);
    expect(at('2026-12-31T23:00:00-05:00')).toEqual([4, 'friday']);
    const days = Array.from({ length: 7 }, (_, day) =>
      valueOf('time.weekday', { now: Date.parse('2026-03-02T00:00:00Z') + day * 86_400_000 }),
    );
    expect(days).toEqual(facts.get('time.weekday')?.values);
  });

  it('count attempts within a window that is open at its far end, by scope and ledger', () => {
    const input = withAttempts(
      attemptOf({ at: NOW - 3_600_000 }),
      attemptOf({ at: NOW - 3_599_999, target: 'other', episodeId: 'other' }),
      attemptOf({ at: NOW - 60_000, strategy: 'restart' }),
      attemptOf({ at: NOW - 1, ledger: 'shadow' }),
      attemptOf({ at: NOW - 1, component: 'other' }),
    );
    expect(valueOf('attempts', input)).toBe(2);
    expect(valueOf('attempts', input, { window: '2h' })).toBe(3);
    expect(valueOf('attempts', input, { window: '2h', scope: 'target' })).toBe(2);
    expect(valueOf('attempts', input, { window: '2h', scope: 'episode' })).toBe(2);
    expect(valueOf('attempts', input, { window: '2h', scope: 'strategy' })).toBe(2);
    expect(valueOf('attempts', { ...input, episodeId: null }, { scope: 'episode' })).toBe(0);
    expect(valueOf('attempts', { ...input, ledger: 'shadow' })).toBe(1);
    expect(valueOf('attempts', { ...input, ledger: 'shadow:a-rule' })).toBe(0);
  });

  it('tell how the last attempt ended that came to something', () => {
    expect(valueOf('last_outcome', withAttempts())).toBe('none');
    const running = attemptOf({ at: NOW, endedAt: null, outcome: null, cause: null });
    const withdrawn = attemptOf({ endedAt: NOW, outcome: 'withdrawn', cause: 'denied' });
    const failed = attemptOf({ endedAt: NOW - 5_000, outcome: 'unresolved', cause: 'not_verified' });
    const stuck = attemptOf({ endedAt: NOW - 4_000, outcome: 'stuck', cause: 'undo_failed' });
    expect(valueOf('last_outcome', withAttempts(running, withdrawn))).toBe('none');
    expect(valueOf('last_outcome', withAttempts(attemptOf(), running, withdrawn))).toBe('success');
    expect(valueOf('last_outcome', withAttempts(failed, attemptOf(), running))).toBe('failure');
    expect(valueOf('last_outcome', withAttempts(attemptOf(), stuck))).toBe('failure');
    expect(valueOf('last_outcome', withAttempts(attemptOf({ ledger: 'shadow' })))).toBe('none');
  });

  it('are read for a rule with its own ledger and the strategy of its first rung', () => {
    const input = withAttempts(
      attemptOf(),
      attemptOf({ strategy: 'restart_container' }),
      attemptOf({ ledger: 'shadow:dry' }),
    );
    const read = readerOf({ alertname: 'RedisDown' }, input);
    const ladder = ['redis/restart_container', 'redis/reconnect'];
    const [live, dry] = rulesOf([
      ruleText({ name: 'live', event: { type: 'remediate', params: { runbook: ladder } } }),
      ruleText({ name: 'dry', event: { type: 'remediate', params: { runbook: 'redis/reconnect', mode: 'shadow' } } }),
    ]);
    if (live === undefined || dry === undefined) throw new Error('not loaded');
    expect(read('attempts', {}, live)).toBe(2);
    expect(read('attempts', { scope: 'strategy' }, live)).toBe(1);
    expect(read('attempts', {}, dry)).toBe(1);
    expect(read('last_outcome', {}, dry)).toBe('success');
    expect(read('label.alertname', {}, live)).toBe('RedisDown');
    expect(read('nothing.of.ours', {}, live)).toBeUndefined();
  });
});
