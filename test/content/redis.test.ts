// The rules, runbooks and alerts for Redis, as shipped: who decides about what, and what each strategy promises.
import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { parse } from 'yaml';
import { formatProblem } from '../../src/base/failure.ts';
import { loadCatalog } from '../../src/catalog.ts';
import type { Catalog } from '../../src/catalog.ts';
import { loadConfig } from '../../src/config.ts';
import { isApproval } from '../../src/runbook/runbook.ts';
import type { ActionStep, Runbook } from '../../src/runbook/runbook.ts';
import { actions, facts, root, winnerAmong } from '../support/content.ts';

const load = async (): Promise<Catalog> => {
  const config = await loadConfig(join(root, 'docs/examples/amends.cache.yaml'));
  if (!config.ok) throw new Error(config.problems.map(formatProblem).join('\n'));
  const catalog = await loadCatalog({ config: config.value, actions: await actions(), facts: await facts() });
  if (!catalog.ok) throw new Error(catalog.problems.map(formatProblem).join('\n'));
  return catalog.value;
};
const catalog = await load();

const winnerFor = (labels: Readonly<Record<string, string>>): Promise<string | null> =>
  winnerAmong(catalog.rules, 'cache', labels);

type AlertRule = { alert: string; for?: string; labels: Record<string, string>; annotations: Record<string, string> };
const alertRules = (
  parse(await readFile(join(root, 'alerts/redis.yaml'), 'utf8')) as { groups: Array<{ rules: AlertRule[] }> }
).groups.flatMap(({ rules }) => rules);

const RECONNECT = ['redis/reconnect auto', 'redis/restart_container approve'];
const expected: ReadonlyArray<readonly [alert: string, rule: string, ladder: readonly string[]]> = [
  ['RedisDown', 'redis-connection-lost', RECONNECT],
  ['RedisConnectionTimeout', 'redis-connection-lost', RECONNECT],
  ['RedisTooManyConnections', 'redis-connection-lost', RECONNECT],
  ['RedisHighLatency', 'redis-high-latency', ['redis/reconnect auto']],
  ['RedisMemoryPressure', 'redis-memory-pressure', ['redis/flush_corrupted approve']],
];

describe('the way from an alert to its strategy', () => {
  it.each(expected)('%s is decided by %s, with its own ladder', async (alertname, rule, ladder) => {
    expect(await winnerFor({ alertname, component: 'cache', target: '10.0.0.7:6379' })).toBe(rule);
    const found = catalog.rules.rules.find(({ name }) => name === rule);
    expect(found?.ladder.map((rung) => `${rung.runbook} ${rung.mode}`)).toEqual(ladder);
  });

  it.each([
    ['connection_timeout', 'redis-connection-lost'],
    ['connection_error', 'redis-connection-lost'],
    ['high_latency', 'redis-high-latency'],
    ['memory_pressure', 'redis-memory-pressure'],
  ])('R2 the failure type %s leads to %s', async (failureType, rule) => {
    expect(await winnerFor({ alertname: 'ManualRecovery', failure_type: failureType })).toBe(rule);
  });

  it('an alert of any other name is decided by none of them', async () => {
    for (const alertname of ['RedisSlow', 'redisdown', 'Watchdog', ''])
      expect(await winnerFor({ alertname })).toBeNull();
  });

  it('every shipped alert has a rule, and its runbook_url is the page of its first strategy', () => {
    expect(alertRules.map(({ alert }) => alert).toSorted()).toEqual(expected.map(([alert]) => alert).toSorted());
    for (const { alert, labels, annotations, ...rest } of alertRules) {
      expect(labels['remediation']).toBe('amends');
      expect(labels['severity']).toMatch(/^(critical|warning)$/);
      expect(rest.for).toBeDefined();
      expect(annotations['summary']).toContain('{{ $labels.target }}');
      const first = expected.find(([name]) => name === alert)?.[2][0]?.split(' ')[0];
      expect(annotations['runbook_url']?.split('/runbooks/')[1]).toBe(first);
    }
  });

  it('every rule says who owns it and why, and points editors at its schema', async () => {
    for (const file of (await readdir(join(root, 'rules/redis'))).filter((name) => name.endsWith('.json'))) {
      const rule = JSON.parse(await readFile(join(root, 'rules/redis', file), 'utf8')) as Record<string, string>;
      expect(rule).toMatchObject({ $schema: '../../schemas/rule.schema.json', name: file.replace('.json', '') });
      expect(rule['description']?.length).toBeGreaterThan(40);
      expect(rule['owner']).toEqual(expect.any(String));
    }
  });
});

const runbooks = [...catalog.runbooks.values()];
const named = (strategy: string): Runbook => {
  const found = catalog.runbooks.get(`redis/${strategy}`);
  if (found === undefined) throw new Error(`no runbook redis/${strategy}`);
  return found;
};
const step = (runbook: Runbook, id: string): ActionStep => {
  const found = [...runbook.before, ...runbook.steps].find((one) => one.id === id);
  if (found === undefined || isApproval(found)) throw new Error(`no step ${id} in ${runbook.name}`);
  return found;
};

describe('the strategies', () => {
  it('are four, with the names that the source gives them, and only the two by approval destroy anything', () => {
    expect(runbooks.map(({ strategy }) => strategy).toSorted()).toEqual([
      'flush_corrupted',
      'reconnect',
      'restart_container',
      'restore_keys',
    ]);
    expect(
      runbooks
        .filter(({ effect }) => effect === 'destroy')
        .map(({ strategy }) => strategy)
        .toSorted(),
    ).toEqual(['flush_corrupted', 'restart_container']);
  });

  it.each(runbooks.map((runbook) => [runbook.name, runbook] as const))(
    '%s collects evidence first, has a time limit, and tells a human what to do',
    (_name, runbook) => {
      expect(step(runbook, 'evidence').uses).toBe('redis.info');
      expect(runbook.before.find(({ id }) => !id.startsWith('triage_'))?.id).toBe('evidence');
      expect(runbook.timeout).toBeLessThanOrEqual(10 * 60_000);
      expect(runbook.guide.split('\n').length).toBeGreaterThan(8);
    },
  );

  it('R18 the three that recover it end the degraded mode, and leave it on when they fail', () => {
    for (const strategy of ['reconnect', 'flush_corrupted', 'restart_container']) {
      expect(named(strategy).onSuccess.clear).toBe('redis_unavailable');
      expect(named(strategy).onFailure.degrade).toBe('redis_unavailable');
      expect(named(strategy).onExhausted.escalate).toMatch(/^SEV[12]$/);
    }
  });

  it('R4 reconnect connects anew with three tries at 2x backoff, and is verified by PINGs under 10 ms', () => {
    const runbook = named('reconnect');
    expect(step(runbook, 'reconnect')).toMatchObject({
      uses: 'redis.ping',
      retry: { attempts: 3, delay: 1_000, factor: 2 },
    });
    expect(step(runbook, 'drop_stale')).toMatchObject({ uses: 'redis.kill-clients', with: { max_share: 0.5 } });
    expect(runbook.verify).toMatchObject([{ uses: 'redis.ping', with: { max_latency: '10ms' }, need: 3 }]);
  });

  it('R5 F59 flush_corrupted flushes only what the owner declared, on the server that was looked at, and can be undone', () => {
    const runbook = named('flush_corrupted');
    for (const id of ['find', 'flush'])
      expect(step(runbook, id).with).toMatchObject({
        pattern: '${{ connect.flush_pattern }}',
        run_id: '${{ steps.evidence.outputs.run_id }}',
        max: '${{ inputs.max }}',
      });
    expect(step(runbook, 'find').with).toMatchObject({ dry_run: true });
    expect(step(runbook, 'flush').undo).toMatchObject({
      uses: 'redis.restore-keys',
      with: { file: '${{ undo.file }}' },
    });
    expect(runbook.verify.some((check) => check.type === 'action' && check.uses === 'redis.memory')).toBe(true);
  });

  it('R6 R17 restart_container replaces, waits, pings and looks at INFO; when it fails a human is called at once', () => {
    const runbook = named('restart_container');
    expect(runbook.steps.map((one) => (isApproval(one) ? 'approve' : one.uses))).toEqual([
      'container.recreate',
      'redis.ping',
      'redis.info',
    ]);
    expect(step(runbook, 'clean').with).toMatchObject({ clean: true });
    expect(runbook.verify.map((check) => (check.type === 'action' ? check.uses : 'query'))).toEqual([
      'container.wait-ready',
      'redis.ping',
    ]);
    expect(runbook.onFailure.escalate).toBe('SEV1');
  });
});
