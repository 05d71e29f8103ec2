// The shipped configuration of Prometheus and Alertmanager, started as it is: only the ports are those that the system gave.
import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import { parse } from 'yaml';
import { binaryOf, itWith } from '../support/requires.ts';
import { getJson, root, startedHere, until } from '../support/servers.ts';
import type { Running } from '../support/servers.ts';

const servers = startedHere();
let amends: Running;
let prometheus: string;
let alertmanager: string;

const freePorts = async (count: number): Promise<readonly number[]> => {
  const held = Array.from({ length: count }, () => createServer());
  for (const server of held) await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', () => resolve()));
  const ports = held.map((server) => (server.address() as AddressInfo).port);
  for (const server of held) await new Promise((resolve) => void server.close(resolve));
  return ports;
};

const isUp = (url: string): Promise<true> =>
  until(`${url} is ready`, async () => (await fetch(`${url}/-/ready`)).ok || undefined, 30_000);

beforeAll(async () => {
  const folder = await servers.folder();
  const [prometheusPort = 0, alertmanagerPort = 0, redisPort = 0] = await freePorts(3);
  prometheus = `http://127.0.0.1:${prometheusPort}`;
  alertmanager = `http://127.0.0.1:${alertmanagerPort}`;
  mkdirSync(join(folder, 'deploy'));
  for (const shared of ['rules', 'runbooks']) symlinkSync(join(root, shared), join(folder, shared));
  cpSync(join(root, 'alerts'), join(folder, 'alerts'), { recursive: true });
  const shipped = (file: string, amendsPort: string): string => {
    const text = readFileSync(join(root, 'deploy', file), 'utf8')
      .replaceAll('127.0.0.1:9090', `127.0.0.1:${prometheusPort}`)
      .replaceAll('127.0.0.1:9093', `127.0.0.1:${alertmanagerPort}`)
      .replaceAll('127.0.0.1:6379', `127.0.0.1:${redisPort}`)
      .replaceAll('127.0.0.1:9193', `127.0.0.1:${amendsPort}`);
    const path = join(folder, 'deploy', file);
    writeFileSync(path, text);
    return path;
  };
  amends = await servers.amends({
    config: shipped('amends.yaml', ''),
    args: [`--storage.path=${join(folder, 'data')}`],
  });
  const { port: amendsPort } = new URL(amends.url);
  servers.process({
    name: 'alertmanager',
    file: binaryOf('alertmanager') ?? 'alertmanager',
    args: [
      `--config.file=${shipped('alertmanager.yml', amendsPort)}`,
      `--storage.path=${join(folder, 'alertmanager')}`,
      `--web.listen-address=127.0.0.1:${alertmanagerPort}`,
      '--cluster.listen-address=',
    ],
  });
  servers.process({
    name: 'prometheus',
    file: binaryOf('prometheus') ?? 'prometheus',
    args: [
      `--config.file=${shipped('prometheus.yml', amendsPort)}`,
      `--storage.tsdb.path=${join(folder, 'prometheus')}`,
      `--web.listen-address=127.0.0.1:${prometheusPort}`,
    ],
  });
  await isUp(alertmanager);
  await isUp(prometheus);
}, 60_000);
afterAll(() => servers.stopAll(), 30_000);

type Firing = {
  readonly labels: Readonly<Record<string, string>>;
  readonly receivers: ReadonlyArray<{ readonly name: string }>;
};

describe('deploy/', () => {
  itWith('prometheus', 'alertmanager')(
    'C9 Prometheus scrapes amends, has loaded every rule, and what it fires reaches amends through Alertmanager',
    async () => {
      const groups = readShippedGroups();
      const loaded = await getJson<{ data: { groups: Array<{ name: string }> } }>(`${prometheus}/api/v1/rules`);
      expect(new Set(loaded.data.groups.map(({ name }) => name))).toEqual(new Set(groups));
      await until('amends is scraped', async () => {
        const { data } = await getJson<{ data: { activeTargets: Array<{ health: string; labels: object }> } }>(
          `${prometheus}/api/v1/targets`,
        );
        return data.activeTargets.some(({ health }) => health === 'up') || undefined;
      });
      const seen = async (): Promise<boolean> =>
        /^amends_watchdog_last_seen_timestamp_seconds [1-9]/m.test(await (await fetch(`${amends.url}/metrics`)).text());
      // The first evaluation may be a minute away; what fires before Prometheus has found its Alertmanager is sent again at the
      // first evaluation that is a minute later.
      await until('the Watchdog has reached amends', seen, 200_000, 500);
      const { items } = await getJson<{ items: Array<{ reason: string }> }>(`${amends.url}/api/v1/decisions`);
      expect(items.length).toBeGreaterThan(0);
      expect(new Set(items.map(({ reason }) => reason))).not.toContain('admitted');
    },
    250_000,
  );

  itWith('prometheus', 'alertmanager')(
    'what amends acts on goes to it and to people, what is said about it to people alone, the Watchdog to amends alone',
    async () => {
      const post = async (labels: Readonly<Record<string, string>>): Promise<void> => {
        const response = await fetch(`${alertmanager}/api/v2/alerts`, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify([{ labels }]),
        });
        expect(response.status).toBe(200);
      };
      await post({ alertname: 'RedisDown', component: 'cache', target: '127.0.0.1:1', remediation: 'amends' });
      await post({ alertname: 'AmendsHalted', severity: 'warning', remediation: 'amends' });
      await post({ alertname: 'Watchdog', severity: 'info' });
      await post({ alertname: 'SomethingElse' });
      const receivers = await until('Alertmanager lists all four', async () => {
        const firing = await getJson<Firing[]>(`${alertmanager}/api/v2/alerts`);
        const told = new Map(
          firing.map((alert) => [alert.labels['alertname'] ?? '', alert.receivers.map(({ name }) => name).toSorted()]),
        );
        return ['RedisDown', 'AmendsHalted', 'Watchdog', 'SomethingElse'].every((name) => told.has(name))
          ? told
          : undefined;
      });
      expect(receivers.get('RedisDown')).toEqual(['amends', 'humans']);
      expect(receivers.get('AmendsHalted')).toEqual(['humans']);
      expect(receivers.get('Watchdog')).toEqual(['amends']);
      expect(receivers.get('SomethingElse')).toEqual(['humans']);
      // In shadow mode, as the shipped configuration is, it is decided and nothing is done.
      await until('amends has decided about the Redis', async () => {
        const { items } = await getJson<{ items: Array<{ reason: string; rule: string | null }> }>(
          `${amends.url}/api/v1/decisions?component=cache`,
        );
        return items.length > 0 || undefined;
      });
    },
    60_000,
  );
});

const readShippedGroups = (): readonly string[] => {
  const rule = parse(readFileSync(join(root, 'deploy/prometheusrule.yaml'), 'utf8')) as {
    spec: { groups: Array<{ name: string }> };
  };
  return rule.spec.groups.map(({ name }) => name);
};
