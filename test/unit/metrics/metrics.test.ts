// The metrics: names and labels that dashboards depend on, at zero from the start, and never more series than there is room for.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { Registry } from 'prom-client';
import { defaultPolicy } from '../../../src/config.ts';
import { vocabularyOf } from '../../../src/http/figures.ts';
import { createMetrics } from '../../../src/metrics.ts';
import { sha256 } from '../../../src/base/json.ts';
import type { Collected, Metrics } from '../../../src/metrics.ts';
import { binaryOf, itWith } from '../../support/requires.ts';
import { root } from '../../support/servers.ts';
import { loadWhole } from '../../support/whole.ts';

const NOW = 1_790_000_000_000;
const nothing: Collected = {
  store: {
    undecided: 0,
    oldestUndecidedAt: null,
    outboxDepth: 2,
    oldestOutboxAt: NOW - 60_000,
    approvalsWaiting: 1,
    openEpisodes: 0,
    inboxOpen: 0,
    openEscalations: [
      { component: 'cache', open: 2 },
      { component: 'gone', open: 0 },
    ],
    storms: ['cache'],
    bytes: 4_096,
    oldestDeliveryAt: 1_700_000_000_000,
    archived: { files: 2, rows: 9_000, bytes: 1_500_000 },
  },
  halted: false,
  degraded: [],
  demoted: ['redis-down'],
  components: [
    {
      name: 'cache',
      disabled: false,
      attempts: [{ window: 3_600_000, used: 1, limit: 3 }],
      cooldownUntil: NOW + 1_000,
      breakers: [{ strategy: 'reconnect', open: true }],
    },
  ],
};
const make = (collect: () => Promise<Collected> = () => Promise.resolve(nothing)): Metrics => {
  const metrics = createMetrics({ registry: new Registry(), clock: { now: () => NOW }, version: '1.2.3', collect });
  metrics.initialise({
    components: [{ name: 'cache', strategies: ['reconnect'] }],
    rules: ['redis-down'],
    actions: ['redis.ping'],
    probes: [],
    degradedModes: ['slow'],
    receivers: ['oncall'],
  });
  return metrics;
};
const series = (text: string): string[] => text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
const ended = { component: 'cache', strategy: 'reconnect', fromAlertMs: 5_000, fromStartMs: 2_000, durationMs: 2_000 };

describe('R20 the families that others depend on', () => {
  it('R20 counts attempts by result and times what was verified', async () => {
    const metrics = make();
    for (const outcome of ['resolved', 'unresolved', 'stuck', 'withdrawn'] as const)
      metrics.telemetry.runEnded({
        ...ended,
        outcome,
        ...(outcome === 'resolved'
          ? {}
          : { fromAlertMs: null, fromStartMs: null, durationMs: outcome === 'withdrawn' ? null : 3_000 }),
      });
    const lines = series(await metrics.text());
    expect(lines).toEqual(
      expect.arrayContaining([
        'infra_recovery_attempts_total{component="cache",strategy="reconnect",result="success"} 1',
        'infra_recovery_attempts_total{component="cache",strategy="reconnect",result="failure"} 2',
        'infra_recovery_attempts_total{component="cache",strategy="reconnect",result="withdrawn"} 1',
        'infra_recovery_success_total{component="cache",strategy="reconnect"} 1',
        'infra_recovery_duration_seconds_count{component="cache",strategy="reconnect"} 3',
        'amends_recovery_from_alert_seconds_sum{component="cache",strategy="reconnect"} 5',
        'infra_recovery_cooldown_active{component="cache"} 1',
        'amends_breaker_open{component="cache",strategy="reconnect"} 1',
        'infra_degraded_mode_active{mode="slow"} 0',
      ]),
    );
  });

  it('a degraded mode goes up and comes down again', async () => {
    let degraded: string[] = ['slow'];
    const metrics = make(() => Promise.resolve({ ...nothing, degraded }));
    expect(await metrics.text()).toContain('infra_degraded_mode_active{mode="slow"} 1');
    degraded = [];
    expect(await metrics.text()).toContain('infra_degraded_mode_active{mode="slow"} 0');
  });
});

describe('our own', () => {
  it('stand at zero before anything happens', async () => {
    const text = await make().text();
    for (const line of [
      'amends_deliveries_total{result="unauthorized"} 0',
      'amends_decisions_total{reason="cooldown",origin="delivery"} 0',
      'amends_decisions_total{reason="admitted",origin="retry"} 0',
      'amends_steps_total{action="redis.ping",result="failed"} 0',
      'amends_recovery_from_alert_seconds_count{component="cache",strategy="reconnect"} 0',
      'amends_verifications_total{component="cache",strategy="reconnect",result="failed"} 0',
      'amends_rule_decisions_total{rule="redis-down",verdict="held"} 0',
      'infra_recovery_attempts_total{component="cache",strategy="reconnect",result="failure"} 0',
      'amends_notifications_total{receiver="oncall",result="failed"} 0',
      'amends_notifications_total{receiver="all",result="dead"} 0',
    ])
      expect(text).toContain(line);
  });

  it('tell what the store knows at each scrape, and that it does not answer', async () => {
    const lines = series(await make().text());
    expect(lines).toEqual(
      expect.arrayContaining([
        'amends_approvals_waiting 1',
        'amends_outbox_depth 2',
        `amends_outbox_oldest_timestamp_seconds ${NOW / 1_000 - 60}`,
        'amends_storm_active{component="cache"} 1',
        'amends_storm_active{component="*"} 0',
        'amends_escalations_open{component="cache"} 2',
        'amends_escalations_open{component="*"} 0',
        'amends_attempts_used{component="cache",window="1h"} 1',
        'amends_attempts_limit{component="cache",window="1h"} 3',
        `amends_cooldown_end_timestamp_seconds{component="cache"} ${NOW / 1_000 + 1}`,
        'amends_store_up 1',
        `amends_build_info{version="1.2.3",node="${process.version}"} 1`,
      ]),
    );
    const down = await make(() => Promise.reject(new Error('disk full'))).text();
    expect(down).toContain('amends_store_up 0');
    expect(down).toContain('amends_deliveries_total');
  });

  it('C16: tell where the audit ends, in one series however often it moves', async () => {
    const metrics = make();
    for (let seq = 1; seq <= 3_000; seq += 1) metrics.auditHead({ seq, hash: sha256(String(seq)) });
    const lines = series(await metrics.text());
    expect(lines.filter((line) => /^amends_(audit|journal)/.test(line))).toEqual([
      'amends_journal_oldest_timestamp_seconds 1700000000',
      `amends_audit_head_info{head="${sha256('3000').slice(0, 16)}"} 1`,
      'amends_audit_rows 3000',
      'amends_audit_archived_rows 9000',
      'amends_audit_archives 2',
      'amends_audit_archive_size_bytes 1500000',
    ]);
  });

  it('export what a probe found: numbers and truths, not texts', async () => {
    const metrics = make();
    metrics.telemetry.probe(
      { name: 'db', component: 'shop', target: 'orders' },
      { success: false, ms: 12, at: NOW, outputs: { exists: true, wal_bytes: 5, layer: 'integrity', odd: Number.NaN } },
    );
    const lines = series(await metrics.text()).filter((line) => line.startsWith('amends_probe'));
    const labels = 'probe="db",component="shop",target="orders"';
    expect(lines).toEqual([
      `amends_probe_success{${labels}} 0`,
      `amends_probe_duration_seconds{${labels}} 0.012`,
      `amends_probe_last_run_timestamp_seconds{${labels}} ${NOW / 1_000}`,
      `amends_probe_output{${labels},output="exists"} 1`,
      `amends_probe_output{${labels},output="wal_bytes"} 5`,
    ]);
  });
});

describe('what is no longer there', () => {
  const found = { success: false, ms: 1, at: NOW, outputs: { locked: true } };
  const vocabulary = {
    components: [{ name: 'cache', strategies: ['reconnect'] }],
    rules: [],
    actions: [],
    degradedModes: [],
    receivers: [],
  };

  it('a probe that a reload took away says nothing more, and the others go on', async () => {
    const metrics = make();
    metrics.telemetry.probe({ name: 'db', component: 'shop', target: 'orders' }, found);
    metrics.telemetry.probe({ name: 'ping', component: 'cache', target: 'a' }, found);
    metrics.initialise({ ...vocabulary, probes: [{ probe: 'ping', component: 'cache', target: 'a' }] });
    const probes = series(await metrics.text()).filter((line) => line.startsWith('amends_probe'));
    expect(probes.filter((line) => line.includes('probe="db"'))).toEqual([]);
    expect(probes.filter((line) => line.includes('probe="ping"'))).toHaveLength(4);
  });

  it('a component that a reload took away has no attempts, cooldown or breaker any more', async () => {
    let { components } = nothing;
    const metrics = make(() => Promise.resolve({ ...nothing, components }));
    expect(await metrics.text()).toContain('amends_attempts_used{component="cache",window="1h"} 1');
    components = [];
    expect(await metrics.text()).not.toMatch(
      /^(?:amends_attempts|amends_cooldown|infra_recovery_cooldown|amends_breaker)\w*\{component="cache"/m,
    );
  });

  it('one configuration is told of at a time: by digest, and by the commit of its folder', async () => {
    const metrics = make();
    metrics.loaded({ config: 'sha256:1', catalog: 'sha256:2', revision: null });
    metrics.loaded({ config: 'sha256:3', catalog: 'sha256:2', revision: 'abc' });
    expect(series(await metrics.text()).filter((line) => line.startsWith('amends_config_info'))).toEqual([
      'amends_config_info{config="sha256:3",catalog="sha256:2",revision="abc"} 1',
    ]);
  });

  it('times of runs that were observed stay when their series are asked for again', async () => {
    const metrics = make();
    metrics.telemetry.runEnded({ ...ended, strategy: 'restart', outcome: 'resolved' });
    metrics.telemetry.runStarted('cache', 'restart');
    expect(await metrics.text()).toContain(
      'amends_recovery_from_start_seconds_count{component="cache",strategy="restart"} 1',
    );
  });
});

describe('C9 cardinality', () => {
  it('C9 100,000 sets of labels stay within 2,000 series and 1 MiB, the rest counted as other', async () => {
    const metrics = make();
    for (let index = 0; index < 100_000; index += 1) {
      metrics.telemetry.runEnded({ ...ended, component: `c${index}`, strategy: `s${index}`, outcome: 'resolved' });
      metrics.telemetry.step(`a.${index}`, 'succeeded', 1);
    }
    for (let index = 0; index < 1_000; index += 1) metrics.request(`/path-${index}`, 200);
    const text = await metrics.text();
    expect(series(text).length).toBeLessThanOrEqual(2_000);
    expect(Buffer.byteLength(text)).toBeLessThan(1_024 * 1_024);
    expect(text).toContain('infra_recovery_attempts_total{component="other",strategy="other",result="other"}');
    // What was there before is still told apart.
    metrics.telemetry.runEnded({ ...ended, outcome: 'resolved' });
    expect(await metrics.text()).toContain('infra_recovery_success_total{component="cache",strategy="reconnect"} 1');
  });

  it('C9 a label value cannot break a line', async () => {
    const metrics = make();
    metrics.telemetry.step('a"\n} 1\nfake_total 5\\', 'failed', 1);
    expect(series(await metrics.text()).some((line) => line.startsWith('fake_total'))).toBe(false);
  });
});

describe('C9 with everything loaded that is shipped', () => {
  /** As it stands after the first scrape: each component has its caps, its cooldown, its breakers. */
  const whole = async () => {
    const loaded = await loadWhole();
    const vocabulary = vocabularyOf(loaded);
    const components = vocabulary.components.map(({ name, strategies }) => ({
      name,
      disabled: false,
      attempts: defaultPolicy.attempts.map(({ per, max }) => ({ window: per, used: 0, limit: max })),
      cooldownUntil: null,
      breakers: strategies.map((strategy) => ({ strategy, open: false })),
    }));
    const metrics = createMetrics({
      registry: new Registry(),
      clock: { now: () => NOW },
      version: '1.2.3',
      collect: () => Promise.resolve({ ...nothing, components }),
    });
    metrics.initialise(vocabulary);
    const runs = vocabulary.components.flatMap(({ name: component, strategies }) =>
      strategies.map((strategy) => ({ component, strategy })),
    );
    return { metrics, runs, text: await metrics.text() };
  };
  const counted = (text: string, family: string): readonly string[] =>
    series(text)
      .filter((line) => line.startsWith(`${family}_count{`))
      .map((line) => line.slice(line.indexOf('{'), line.indexOf('}') + 1));
  const labelled = ({ component, strategy }: { component: string; strategy: string }): string =>
    `{component="${component}",strategy="${strategy}"}`;

  it('C9 what is loaded stands at zero, times of recovery as far as there is room, always the same', async () => {
    const { runs, text } = await whole();
    expect(runs.length).toBeGreaterThan(40);
    for (const run of runs) {
      const labels = labelled(run).slice(1, -1);
      expect(text).toContain(`infra_recovery_attempts_total{${labels},result="failure"} 0`);
      expect(text).toContain(`amends_runs_total{${labels},outcome="stuck"} 0`);
      expect(text).toContain(`infra_recovery_success_total{${labels}} 0`);
    }
    expect(text).not.toContain('"other"');
    const times = counted(text, 'amends_recovery_from_alert_seconds');
    expect(times.length).toBeGreaterThan(20);
    expect(times).toEqual(runs.slice(0, times.length).map(labelled));
    const names = (said: string): readonly string[] => series(said).map((line) => line.slice(0, line.lastIndexOf(' ')));
    expect(names((await whole()).text)).toEqual(names(text));
  });

  it('C9 what happens takes the room of what only may happen, and keeps it', async () => {
    const { metrics, runs, text } = await whole();
    const before = counted(text, 'amends_recovery_from_alert_seconds').length;
    // The last ones have no times yet, and all of them begin.
    const late = runs.slice(-8);
    for (const run of late) {
      metrics.telemetry.runStarted(run.component, run.strategy);
      metrics.telemetry.runEnded({ ...ended, ...run, outcome: 'resolved' });
    }
    const after = await metrics.text();
    expect(series(after).length).toBeLessThanOrEqual(2_000);
    expect(after).not.toContain('"other"');
    for (const run of late) expect(after).toContain(`amends_recovery_from_alert_seconds_count${labelled(run)} 1`);
    const times = counted(after, 'amends_recovery_from_alert_seconds');
    expect(times.length - late.length).toBeLessThan(before);
    // The first in order are the last to go.
    expect(times.slice(0, 3)).toEqual(runs.slice(0, 3).map(labelled));
    for (const run of runs) metrics.telemetry.runEnded({ ...ended, ...run, outcome: 'unresolved' });
    const full = await metrics.text();
    expect(series(full).length).toBeLessThanOrEqual(2_000);
    for (const run of late) expect(full).toContain(`amends_recovery_from_alert_seconds_count${labelled(run)} 1`);
  });

  it('C9 the page on metrics says how many series that makes', async () => {
    const { text } = await whole();
    const page = readFileSync(join(root, 'docs/metrics.md'), 'utf8');
    const said = /these are some ([\d,]+) series/.exec(page.replaceAll(/\s+/g, ' '))?.[1]?.replace(',', '');
    expect(Math.abs(Number(said) - series(text).length)).toBeLessThanOrEqual(50);
  });
});

it('a scrape of as many series as there may be takes less than 20 ms of the processor', async () => {
  const metrics = make();
  for (let index = 0; index < 200; index += 1)
    metrics.telemetry.runEnded({ ...ended, strategy: `s${index}`, outcome: 'resolved' });
  expect(series(await metrics.text()).length).toBeGreaterThan(1_900);
  const spent = async (scrapes: number): Promise<number> => {
    const before = process.cpuUsage();
    for (let scrape = 0; scrape < scrapes; scrape += 1) await metrics.text();
    const { user, system } = process.cpuUsage(before);
    return (user + system) / 1_000 / scrapes;
  };
  await spent(20);
  // The best of several: what else this process does at the same time is not of the scrape.
  const rounds: number[] = [];
  for (let round = 0; round < 5; round += 1) rounds.push(await spent(10));
  expect(Math.min(...rounds)).toBeLessThan(20);
});

itWith('promtool')('promtool finds nothing to say about any of them', async () => {
  const metrics = make();
  metrics.telemetry.runEnded({ ...ended, outcome: 'resolved' });
  metrics.telemetry.step('redis.ping', 'succeeded', 3);
  metrics.telemetry.probe(
    { name: 'db', component: 'shop', target: 'orders' },
    { success: true, ms: 1, at: NOW, outputs: { ok: true } },
  );
  metrics.telemetry.delivery('accepted', NOW);
  metrics.telemetry.watchdog(NOW);
  metrics.telemetry.acknowledged(1);
  metrics.telemetry.decided(1);
  metrics.telemetry.admission(1);
  metrics.telemetry.runStarted('cache', 'reconnect');
  metrics.telemetry.runIneffective('cache', 'reconnect');
  metrics.telemetry.verification({ component: 'cache', strategy: 'reconnect', passed: true, ms: 1 });
  metrics.telemetry.notification('oncall', 'sent');
  metrics.telemetry.unknownFields(1);
  metrics.committed(1);
  metrics.loaded({ config: 'sha256:1', catalog: 'sha256:2', revision: null });
  metrics.reloaded(true);
  metrics.request('/metrics', 200);
  const said = execFileSync(binaryOf('promtool') ?? 'promtool', ['check', 'metrics'], {
    input: await metrics.text(),
    encoding: 'utf8',
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  expect(said).toBe('');
});
