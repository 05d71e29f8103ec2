// amends.yaml: defaults, inheritance, inventories and precedence.
import { mkdtempSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { builtInConfig, defaultPolicy, loadConfig } from '../../../src/config.ts';
import { glob } from '../../../src/config-files.ts';
import type { Config } from '../../../src/config.ts';

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'amends-config-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const write = (name: string, text: string): string => {
  const path = join(folder, name);
  mkdirSync(join(path, '..'), { recursive: true });
  writeFileSync(path, text);
  return path;
};
const load = async (text: string, mode: string | null = null): Promise<Config> => {
  const result = await loadConfig(write('amends.yaml', text), undefined, mode);
  if (!result.ok) throw new Error(JSON.stringify(result.problems, null, 1));
  return result.value;
};

describe('defaults', () => {
  it('an empty file gives the built-in defaults of the design', async () => {
    const config = await load('');
    expect(config.recovery).toEqual(defaultPolicy);
    expect(config).toMatchObject({
      ruleFiles: ['rules/**/*.json'],
      runbookFiles: ['runbooks/**/*.yaml'],
      auditRetentionDays: 30,
      journalRetentionDays: 30,
      prometheus: null,
    });
    expect([...config.ignoreLabels]).toEqual(['replica', 'prometheus_replica', '__replica__']);
  });

  it('no file at all is shadow mode with nothing declared', () => {
    expect(builtInConfig('/x')).toMatchObject({
      file: null,
      folder: '/x',
      recovery: { mode: 'shadow' },
      probes: [],
      ruleFiles: [],
    });
  });
});

describe('inheritance', () => {
  it('R3 lays a component over recovery and recovery over the defaults, member by member', async () => {
    const config = await load(`
recovery: { mode: auto, cooldown: { after_failure: 10m }, max_attempts_per_hour: 2 }
components:
  cache: { mode: approve, cooldown_seconds: 7200, max_attempts_per_hour: 5, approval: { expires: 1h } }
  other: {}
`);
    expect(config.recovery).toMatchObject({
      mode: 'auto',
      attempts: [
        { max: 2, per: 3_600_000 },
        { max: 9, per: 86_400_000 },
      ],
      cooldown: { afterFailure: 600_000, max: 3_600_000 },
    });
    expect(config.components.get('cache')?.policy).toMatchObject({
      mode: 'approve',
      attempts: [
        { max: 5, per: 3_600_000 },
        { max: 9, per: 86_400_000 },
      ],
      // The inherited ceiling of 1h must not shorten a cooldown of 2h.
      cooldown: { afterFailure: 7_200_000, max: 7_200_000, afterSuccess: 60_000 },
      approval: { remind: 300_000, expires: 3_600_000 },
    });
    expect(config.components.get('other')?.policy).toEqual(config.recovery);
  });

  it('the mode of the command line goes before the file', async () => {
    expect((await load('recovery: { mode: auto }', 'shadow')).recovery.mode).toBe('shadow');
  });

  it('I7 a maintenance window of recovery holds for every component, which may add its own', async () => {
    const config = await load(`
recovery: { maintenance: [ { schedule: '0 2 * * sun', timezone: Europe/Berlin, duration: 1h30m, reason: patches } ] }
components:
  cache: { maintenance: [ { schedule: '0 12 * * *', duration: 10m } ] }
  other: {}
`);
    const patches = { schedule: '0 2 * * sun', timezone: 'Europe/Berlin', duration: 5_400_000, reason: 'patches' };
    expect(config.recovery.maintenance).toEqual([patches]);
    expect(config.components.get('other')?.policy.maintenance).toEqual([patches]);
    expect(config.components.get('cache')?.policy.maintenance).toEqual([
      patches,
      { schedule: '0 12 * * *', timezone: 'UTC', duration: 600_000, reason: '' },
    ]);
  });

  it('what a rule has to show before it is promoted can be set, member by member', async () => {
    const config = await load(
      'recovery: { promotion: { share: 99% } }\ncomponents: { a: { promotion: { successes: 5 } } }',
    );
    expect(config.recovery.promotion).toEqual({ successes: 20, share: 0.99 });
    expect(config.components.get('a')?.policy.promotion).toEqual({ successes: 5, share: 0.99 });
  });

  it('F41 I1 a component may have a health floor, failure domains and caps for each target; others do not inherit them', async () => {
    const config = await load(`
prometheus: { url: "http://127.0.0.1:9090" }
components:
  hosts:
    inventory: { static: [ { target: one, labels: { zone: a } } ] }
    min_healthy: { query: 'sum(up{job="hosts"})', min: 2.5 }
    domain: zone
    split: target
    fleet: { attempts: [ { max: 10, per: 1h } ], max_concurrent: 2 }
  other: {}
`);
    expect(config.components.get('hosts')?.policy).toMatchObject({
      minHealthy: { query: 'sum(up{job="hosts"})', min: 2.5 },
      domain: 'zone',
      fleet: { attempts: [{ max: 10, per: 3_600_000 }], maxConcurrent: 2 },
    });
    expect(config.components.get('other')?.policy).toEqual(config.recovery);
  });
});

describe('components', () => {
  it('reads the example of the design, as far as this version goes', async () => {
    write('targets/cache/a.yaml', '- targets: ["10.0.0.9:6379"]\n  labels: { zone: a }\n');
    write('targets/cache/b.json', '[{"targets": ["10.0.0.10:6379"]}]');
    const config = await load(`
version: 1
alertmanagers: [ { url: "http://127.0.0.1:9093" } ]
prometheus: { url: "http://127.0.0.1:9090" }
components:
  cache:
    kind: redis
    team: storage
    match: ['job="redis-cache"']
    target: { label: instance, regex: '(.+):9121', replacement: '$1:6379' }
    inventory: { static: ["10.0.0.7:6379", "10.0.0.8:6379"], file_sd: [targets/cache/*.yaml, targets/cache/*.json] }
    connect: { url: "redis://\${{ target }}", username: amends, password_file: /run/secrets/redis }
    allow: { actions: ["redis.*", "degrade.*"] }
  shop-db:
    kind: database
    inventory: { static: [ { target: orders, connect: { path: /var/lib/shop/orders.db, backups: /var/backups/shop }, labels: { zone: a } } ] }
degraded_modes:
  redis_unavailable: { available: [in-memory cache], unavailable: [multi-session state], impact: "memory limited" }
allow: { hosts: ["127.0.0.1:6379"], paths: [/var/lib/shop] }
probes: [ { name: orders_db, uses: sqlite.check, component: shop-db, target: orders, every: 30s } ]
notify: { receivers: [ { name: oncall, type: webhook, url_file: /run/secrets/oncall } ], routes: [ { severity: [SEV1, SEV2], receiver: oncall } ] }
audit: { retention_days: 30, compression_enabled: true }
journal: { retention_days: 30 }
`);
    const cache = config.components.get('cache');
    expect(cache).toMatchObject({
      kind: 'redis',
      team: 'storage',
      allowedActions: ['redis.*', 'degrade.*'],
      matchers: [{ label: 'job', operator: '=', value: 'redis-cache' }],
    });
    expect([...(cache?.targets.keys() ?? [])]).toEqual([
      '10.0.0.7:6379',
      '10.0.0.8:6379',
      '10.0.0.9:6379',
      '10.0.0.10:6379',
    ]);
    expect(cache?.mapping.apply('10.0.0.7:9121')).toBe('10.0.0.7:6379');
    expect(cache?.targets.get('10.0.0.9:6379')).toMatchObject({
      labels: { zone: 'a' },
      connect: { username: 'amends', password_file: '/run/secrets/redis' },
    });
    expect(config.probes).toEqual([
      {
        name: 'orders_db',
        uses: 'sqlite.check',
        component: 'shop-db',
        target: 'orders',
        every: 30_000,
        timeout: 10_000,
        with: { path: '/var/lib/shop/orders.db', backups: '/var/backups/shop' },
      },
    ]);
    expect(config.degradedModes.get('redis_unavailable')).toEqual({
      available: ['in-memory cache'],
      unavailable: ['multi-session state'],
      impact: 'memory limited',
    });
    expect(config.receivers).toEqual([
      { name: 'oncall', type: 'webhook', settings: { url_file: '/run/secrets/oncall' } },
    ]);
    expect(config.texts.map(({ text }) => text).join('')).toContain('10.0.0.10:6379');
  });

  it('F32 a bad or doubled entry of a target file is refused with the place in that file', async () => {
    const file = write('t.yaml', '- targets: [a]\n- targets: [b, a]\n');
    const result = await loadConfig(
      write('amends.yaml', 'components: { cache: { inventory: { file_sd: [t.yaml] } } }'),
    );
    expect(result.ok ? [] : result.problems).toMatchObject([
      { code: 'duplicate-target', file, pointer: '/1/targets/1', line: 2 },
    ]);
  });

  it('the digest changes with any text that made it, and only then', async () => {
    write('t.yaml', '- targets: [a]\n');
    const text = 'components: { cache: { inventory: { file_sd: [t.yaml] } } }';
    const before = await load(text);
    expect((await load(text)).digest).toBe(before.digest);
    write('t.yaml', '- targets: [b]\n');
    expect((await load(text)).digest).not.toBe(before.digest);
  });

  it('a missing file is said as such', async () => {
    const result = await loadConfig(join(folder, 'nope.yaml'));
    expect(result.ok ? [] : result.problems).toMatchObject([{ code: 'no-such-file' }]);
  });

  it('C11 hostile YAML is refused quickly', async () => {
    for (const text of [
      `a: ${'['.repeat(10_000)}`,
      `a: &a [x,x]\nb: &b [*a,*a]\nc: [*b,*b]`,
      `${'  '.repeat(200)}x: {`,
      '? {a: b}\n: c',
      '\u0000',
      `__proto__: { polluted: 1 }`,
    ]) {
      const start = performance.now();
      const result = await loadConfig(write('amends.yaml', text));
      expect(result.ok).toBe(false);
      expect(performance.now() - start).toBeLessThan(1_000);
    }
    expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
  });
});

describe('patterns', () => {
  it('find files, sorted, hidden ones left out', async () => {
    for (const name of [
      'rules/b/x.json',
      'rules/a/y.json',
      'rules/z.json',
      'rules/a/y.test.yaml',
      'rules/.git/n.json',
      'rules/a/deep/er/q.json',
    ])
      write(name, '');
    const found = async (pattern: string): Promise<string[]> =>
      (await glob(folder, pattern)).map((file) => file.slice(folder.length + 1));
    expect(await found('rules/**/*.json')).toEqual([
      'rules/a/deep/er/q.json',
      'rules/a/y.json',
      'rules/b/x.json',
      'rules/z.json',
    ]);
    expect(await found('rules/*.json')).toEqual(['rules/z.json']);
    expect(await found('rules/?/y.*')).toEqual(['rules/a/y.json', 'rules/a/y.test.yaml']);
    expect(await found('rules/z.json')).toEqual(['rules/z.json']);
    expect(await found('nowhere/**/*.json')).toEqual([]);
  });
});
