// The first hour of somebody who has Prometheus and Alertmanager and no amends: init writes a configuration, serve takes it, and
// a test alert comes through the real Alertmanager.
import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { parse } from 'yaml';
import { createLauncher } from '../support/command.ts';
import type { Ended } from '../support/command.ts';
import { quietConfig } from '../support/alertmanager.ts';
import { deployedAlertmanager } from '../support/deployed.ts';
import { itWith } from '../support/requires.ts';
import { getJson, startedHere, until } from '../support/servers.ts';
import type { Running } from '../support/servers.ts';

const servers = startedHere();
const launcher = createLauncher();
afterEach(() => launcher.endAll());
afterAll(() => servers.stopAll(), 30_000);

const amends = (...args: readonly string[]): Promise<Ended> => launcher.launch(args, { cwd: '/' }).ended;

/** What a team might have, with an exporter that is not there: `up` is a series all the same. */
const TEAM_RULES = JSON.stringify({
  groups: [
    {
      name: 'team',
      rules: [
        { alert: 'RedisInstanceDown', expr: 'up{job="redis-cache"} == 0', labels: { severity: 'critical' } },
        { alert: 'RedisOutOfMemory', expr: 'redis_memory_used_bytes > 0.9 * redis_memory_max_bytes', for: '5m' },
        { alert: 'HostOutOfDiskSpace', expr: 'node_filesystem_avail_bytes{job="node"} < 1e9' },
        { alert: 'Unrelated', expr: 'vector(1) > 2' },
      ],
    },
  ],
});
const NOBODY = 'http://127.0.0.1:9';

describe('amends init', () => {
  let prometheus: Running;
  beforeAll(async () => {
    prometheus = await servers
      .prometheus({
        config: {
          global: { scrape_interval: '1s', evaluation_interval: '1s' },
          scrape_configs: [{ job_name: 'redis-cache', static_configs: [{ targets: ['127.0.0.1:9121'] }] }],
        },
        rules: { 'team.yaml': TEAM_RULES },
      })
      .catch(() => ({ url: NOBODY }) as Running);
  }, 30_000);

  itWith('prometheus', 'alertmanager')(
    'writes what amends serve takes, for the alerts and targets that Prometheus knows, and a test alert comes through',
    async () => {
      await until('the exporter was looked for', async () => {
        const answer = await getJson<{ data: { result: unknown[] } }>(`${prometheus.url}/api/v1/query?query=up`);
        return answer.data.result.length > 0;
      });
      const alertmanager = await servers.alertmanager({ config: quietConfig });
      const folder = join(await servers.folder(), 'new');
      const args = [
        'init',
        `--prometheus.url=${prometheus.url}`,
        `--alertmanager.url=${alertmanager.url}`,
        `--directory=${folder}`,
      ];
      const dry = await amends(...args, '--dry-run', '--output=json');
      expect([dry.code, existsSync(folder)]).toEqual([0, false]);

      const written = await amends(...args);
      expect([written.code, written.err.split('\n').filter((line) => /\[[a-z-]+\]/.test(line))]).toEqual([0, []]);
      expect(written.out).toMatch(/RedisInstanceDown +redis-connection-lost .* redis, not reachable/);
      expect(written.out).toContain('3 of 4 alerts resemble shipped strategies.');
      const config = await readFile(join(folder, 'amends.yaml'), 'utf8');
      expect(config).toContain('recovery: { mode: shadow }');
      expect(config).toContain(`match: ['job="redis-cache"', 'alertname=~"RedisInstanceDown|RedisOutOfMemory"']`);
      // What its runbooks use, the triage that some begin with included.
      expect(config).toContain(
        'allow: { actions: ["container.*", "http.*", "locks.*", "redis.*", "sqlite.*", "triage.*"] }',
      );
      // The exporter's address becomes the server's.
      expect(config).toContain('inventory: { static: ["127.0.0.1:6379"] }');
      expect(await readFile(join(folder, 'alertmanager-route.yml'), 'utf8')).toContain(
        `- matchers: ['alertname=~"HostOutOfDiskSpace|RedisInstanceDown|RedisOutOfMemory|AmendsTest"']`,
      );

      // Nothing that is there is written over.
      await writeFile(join(folder, 'amends.yaml'), `${config}# mine\n`);
      const again = await amends(...args);
      expect([again.code, again.err]).toEqual([
        2,
        expect.stringContaining('is there already, and nothing is written over'),
      ]);
      expect(await readFile(join(folder, 'amends.yaml'), 'utf8')).toContain('# mine');

      const running = await servers.amends({
        config: join(folder, 'amends.yaml'),
        args: [`--storage.path=${folder}/data`],
      });
      // The very route that was written, and nothing else that leads to amends.
      const added = (await readFile(join(folder, 'alertmanager-route.yml'), 'utf8')).replace(
        'http://127.0.0.1:9193',
        running.url,
      );
      const { route, receivers } = parse(added) as { route: { routes: object[] }; receivers: object[] };
      const routed = await servers.alertmanager({
        config: {
          route: { receiver: 'humans', group_by: ['alertname'], routes: route.routes },
          receivers: [{ name: 'humans' }, ...receivers],
        },
      });
      // There are alerts that this one does not route: that it posts to amends is not the end of it.
      const known = await amends(...args.slice(0, 2), `--alertmanager.url=${routed.url}`, '--dry-run');
      expect(known.out).toContain('amtool config routes test alertname=');
      const test = ['--url', running.url, 'send-test', `--alertmanager.url=${routed.url}`];
      const plain = await amends(...test);
      expect([plain.code, plain.out]).toEqual([
        0,
        expect.stringMatching(/^It came, and was decided after [\d.]+ s: no_match\./),
      ]);
      const real = ['alertname=RedisInstanceDown', 'job=redis-cache', 'instance=127.0.0.1:9121'].map(
        (pair) => `--label=${pair}`,
      );
      const shadow = await amends(...test, ...real, '--output=json');
      expect(JSON.parse(shadow.out)).toMatchObject({
        arrived: true,
        decision: { reason: 'shadow', component: 'redis-cache', target: '127.0.0.1:6379' },
      });
      // It is over in Alertmanager too.
      await until(
        'the test alerts have ended',
        async () => (await getJson<unknown[]>(`${routed.url}/api/v2/alerts?active=true`)).length === 0,
      );

      const deployed = await servers.alertmanager({ config: deployedAlertmanager(running.url) });
      const shipped = await amends('--url', running.url, 'send-test', `--alertmanager.url=${deployed.url}`);
      expect([shipped.code, shipped.out]).toEqual([0, expect.stringContaining('It came, and was decided after')]);

      const lost = await amends(
        '--url',
        running.url,
        'send-test',
        `--alertmanager.url=${alertmanager.url}`,
        '--wait=2s',
      );
      expect([lost.code, lost.out]).toEqual([
        1,
        expect.stringContaining('No decision within 2 s. Look, in this order:'),
      ]);
    },
    120_000,
  );

  it('says who does not answer, and how to name another', async () => {
    const nobody = await amends('init', `--prometheus.url=${NOBODY}`);
    expect([nobody.code, nobody.err]).toEqual([
      1,
      expect.stringContaining('Prometheus does not answer at http://127.0.0.1:9'),
    ]);
    const none = await amends('init');
    expect([none.code, none.err]).toEqual([2, expect.stringContaining('give --prometheus.url')]);
    const wrong = await amends('init', '--prometheus.url=prometheus');
    expect([wrong.code, wrong.err]).toEqual([2, expect.stringContaining('is no address; for example')]);
  });
});
