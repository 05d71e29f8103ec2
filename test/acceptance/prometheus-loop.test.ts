// The whole loop on real servers: amends' prober finds it, a real Prometheus scrapes and fires the shipped alert, a real
// Alertmanager posts, amends recovers a real SQLite file, the metric is healthy again, the alert resolves, the episode closes.
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect } from '@jest/globals';
import { stringify } from 'yaml';
import type { ChildProcess } from 'node:child_process';
import { deployedAlertmanager, hurriedAlerts } from '../support/deployed.ts';
import { endHolder, startHolder } from '../support/holder.ts';
import { itWith } from '../support/requires.ts';
import { getJson, root, startedHere, until } from '../support/servers.ts';
import type { Running } from '../support/servers.ts';
import { addOrders, breakHeader, breakPages, countOrders, makeDatabase } from '../support/sqlite-files.ts';

const WHOLE_LOOP_MS = 120_000;

const servers = startedHere();
const holders: ChildProcess[] = [];
let folder: string;
let files: ReturnType<typeof makeDatabase>;
let pager: {
  readonly server: Server;
  readonly url: string;
  readonly received: Array<{ topic: string; title: string; body: string }>;
};

beforeEach(async () => {
  folder = await servers.folder();
  files = makeDatabase(folder, 'wal');
  mkdirSync(files.backups);
  pager = await startPager();
});
afterEach(async () => {
  for (const holder of holders.splice(0)) await endHolder(holder);
  await servers.stopAll();
  await new Promise((resolve) => void pager.server.close(resolve));
  rmSync(folder, { recursive: true, force: true });
}, 30_000);

/** What a human is told arrives here. */
async function startPager(): Promise<typeof pager> {
  const received: (typeof pager)['received'] = [];
  const server = createServer((request, response) => {
    let text = '';
    request.on('data', (chunk: Buffer) => (text += chunk.toString()));
    request.on('end', () => {
      received.push(JSON.parse(text) as (typeof received)[number]);
      response.writeHead(204).end();
    });
  });
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  return { server, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`, received };
}

/** The shipped rules and runbooks; only what waits for minutes waits for seconds. */
const configuration = (): string =>
  stringify({
    version: 1,
    rule_files: [`${root}rules/database/*.json`],
    runbook_files: [`${root}runbooks/database/*.yaml`],
    recovery: {
      mode: 'auto',
      cooldown: { after_failure: '1s', after_success: '1s' },
      settle: '20s',
      resolve_hold: '2s',
    },
    components: {
      'shop-db': {
        kind: 'database',
        inventory: {
          static: [
            { target: 'orders', connect: { path: files.path, backups: files.backups, holders: ['shop-worker'] } },
          ],
        },
        allow: { actions: ['sqlite.*', 'locks.*', 'inbox.*'] },
      },
    },
    allow: { paths: [files.folder] },
    probes: [
      {
        name: 'orders_db',
        uses: 'sqlite.check',
        component: 'shop-db',
        target: 'orders',
        every: '1s',
        with: { path: files.path, backups: files.backups, busy: '200ms' },
      },
    ],
    degraded_modes: {
      database_unavailable: { available: ['reading'], unavailable: ['ordering'], impact: 'no orders' },
    },
    notify: { receivers: [{ name: 'pager', type: 'webhook', url: pager.url }], routes: [{ receiver: 'pager' }] },
  });

type Loop = { readonly amends: Running; readonly alertmanager: Running; readonly prometheus: Running };

const startLoop = async (): Promise<Loop> => {
  const config = join(folder, 'amends.yaml');
  writeFileSync(config, configuration());
  const amends = await servers.amends({ config, args: [`--storage.path=${join(folder, 'data')}`] });
  const alertmanager = await servers.alertmanager({ config: deployedAlertmanager(amends.url) });
  const prometheus = await servers.prometheus({
    config: {
      global: { scrape_interval: '1s', scrape_timeout: '1s', evaluation_interval: '1s' },
      alerting: { alertmanagers: [{ static_configs: [{ targets: [alertmanager.url.replace('http://', '')] }] }] },
      scrape_configs: [{ job_name: 'amends', static_configs: [{ targets: [amends.url.replace('http://', '')] }] }],
    },
    rules: { 'database.yaml': hurriedAlerts('database.yaml') },
  });
  await until('Prometheus sees a healthy database', () =>
    sees({ prometheus }, 'amends_probe_success{target="orders"} == 1'),
  );
  return { amends, alertmanager, prometheus };
};

type Row = Readonly<Record<string, unknown>>;
const list = async ({ amends }: Pick<Loop, 'amends'>, what: string): Promise<readonly Row[]> =>
  (await getJson<{ items: Row[] }>(`${amends.url}/api/v1/${what}`)).items;

/** Whether the expression gives anything on Prometheus now. */
async function sees({ prometheus }: Pick<Loop, 'prometheus'>, query: string): Promise<boolean> {
  const answer = await getJson<{ data: { result: unknown[] } }>(
    `${prometheus.url}/api/v1/query?query=${encodeURIComponent(query)}`,
  );
  return answer.data.result.length > 0;
}

const ended = (loop: Loop, count = 1): Promise<readonly Row[]> =>
  until(
    `${count} run(s) have ended; amends said:\n${loop.amends.output().slice(-3_000)}`,
    async () => {
      const runs = (await list(loop, 'runs')).filter(({ state }) => state === 'done');
      return runs.length >= count ? runs : undefined;
    },
    WHOLE_LOOP_MS / 2,
  );

const allWell = async (loop: Loop): Promise<void> => {
  await until('the metric is healthy again', () => sees(loop, 'amends_probe_success{target="orders"} == 1'));
  await until(
    'the alert has resolved',
    async () => (await getJson<unknown[]>(`${loop.alertmanager.url}/api/v2/alerts`)).length === 0,
  );
  await until('the episode is closed', async () => {
    const episodes = await list(loop, 'episodes');
    return episodes.length > 0 && episodes.every(({ state }) => state === 'closed');
  });
};

const decided = async (loop: Loop): Promise<readonly unknown[]> =>
  (await list(loop, 'decisions'))
    .filter(({ reason }) => reason !== 'duplicate' && reason !== 'resolved')
    .map(({ reason, rule }) => [reason, rule]);

describe('from a broken database to a closed episode', () => {
  itWith('prometheus', 'alertmanager')(
    'D1 D3 D7 R1 R20 a corrupted file is found by the probe, restored from the newest sound backup, and everybody sees it well again',
    async () => {
      const backup = (day: string): string => join(files.backups, `orders-202601${day}T000000000Z.db`);
      for (const [day, rows] of [
        ['01', 0],
        ['02', 10],
        ['03', 10],
      ] as const) {
        addOrders(files.path, rows);
        writeFileSync(backup(day), readFileSync(files.path));
      }
      breakPages(backup('03'));
      const loop = await startLoop();

      breakHeader(files.path);
      const [run] = await ended(loop);
      expect(run).toMatchObject({
        component: 'shop-db',
        target: 'orders',
        strategy: 'restore-backup',
        rule: 'database-corrupt',
        outcome: 'resolved',
        cause: 'verified',
      });
      expect(countOrders(files.path)).toBe(510);
      expect(readdirSync(files.backups).filter((name) => name.endsWith('.damaged'))).toHaveLength(1);
      await allWell(loop);

      expect(await decided(loop)).toEqual([['admitted', 'database-corrupt']]);
      expect(await list(loop, 'runs')).toHaveLength(1);
      expect((await list(loop, 'runs'))[0]).toMatchObject({ outcome: 'resolved' });
      expect(await list(loop, 'inbox')).toEqual([]);
      const of = '{component="shop-db",strategy="restore-backup"}';
      for (const query of [
        'infra_recovery_attempts_total{component="shop-db",strategy="restore-backup",result="success"} == 1',
        `infra_recovery_success_total${of} == 1`,
        `infra_recovery_duration_seconds_count${of} == 1`,
        `amends_recovery_from_alert_seconds_count${of} == 1`,
        'infra_recovery_cooldown_active{component="shop-db"}',
        'infra_degraded_mode_active{mode="database_unavailable"} == 0',
      ]) {
        await until(`Prometheus has ${query}`, () => sees(loop, query));
      }
    },
    WHOLE_LOOP_MS,
  );

  itWith('prometheus', 'alertmanager')(
    'D1 D4 R1 a process that hangs with the lock is found by the tables of the kernel and let go of',
    async () => {
      const loop = await startLoop();
      const holder = await startHolder(folder, { path: files.path, does: 'write' }, 'shop-worker');
      holders.push(holder);
      const [run] = await ended(loop);
      expect(run).toMatchObject({ strategy: 'release-lock', rule: 'database-locked', outcome: 'resolved' });
      const full = await getJson<{
        events: Array<{ type: string; step?: string; outputs?: { locking_processes?: unknown } }>;
      }>(`${loop.amends.url}/api/v1/runs/${String(run?.['id'])}`);
      const found = full.events.find(({ type, step }) => type === 'step_succeeded' && step === 'before/holders');
      expect(found?.outputs?.locking_processes).toMatchObject([{ pid: holder.pid, name: 'shop-worker' }]);
      await until('the holder is gone', () => holder.exitCode !== null || holder.signalCode !== null);
      addOrders(files.path, 1);
      expect(countOrders(files.path)).toBe(501);
      await allWell(loop);
      expect(await decided(loop)).toEqual([['admitted', 'database-locked']]);
    },
    WHOLE_LOOP_MS,
  );

  itWith('prometheus', 'alertmanager')(
    'D3 R3 R17 R20 a file that cannot be mended is tried as its attempts allow and handed to a human once, with the evidence',
    async () => {
      const broken = join(files.backups, 'orders-20260101T000000000Z.db');
      writeFileSync(broken, readFileSync(files.path));
      breakHeader(broken);
      const loop = await startLoop();
      breakHeader(files.path);
      const runs = await ended(loop, 3);
      expect(runs.map(({ strategy, outcome, cause }) => [strategy, outcome, cause])).toEqual(
        Array.from({ length: 3 }, () => ['restore-backup', 'unresolved', 'step_failed']),
      );

      // Alertmanager goes on posting; nothing more comes of it.
      const duplicates = async (): Promise<number> => (await list(loop, 'decisions?reason=duplicate&limit=500')).length;
      const before = await duplicates();
      await until('two more deliveries were taken in', async () => (await duplicates()) >= before + 2);
      expect(await list(loop, 'runs')).toHaveLength(3);
      const inbox = await list(loop, 'inbox');
      expect(inbox).toMatchObject([
        { kind: 'escalation', severity: 'SEV1', status: 'open', component: 'shop-db', target: 'orders', count: 1 },
      ]);
      const evidence = JSON.stringify(inbox[0]?.['body']);
      for (const part of [
        'breaker_open: restore-backup failed 3 times',
        'orders-20260101T000000000Z.db',
        'DatabaseCorrupt',
        'What happened:',
      ])
        expect(evidence).toContain(part);
      await until('the page has arrived', () => pager.received.some(({ topic }) => topic === 'escalation'));
      expect(pager.received.filter(({ topic }) => topic === 'escalation')).toHaveLength(1);
      const modes = await list(loop, 'degraded-modes');
      expect(modes).toMatchObject([{ name: 'database_unavailable', active: true }]);
      await until('Prometheus has the failures', () =>
        sees(
          loop,
          'infra_recovery_attempts_total{component="shop-db",strategy="restore-backup",result="failure"} == 3',
        ),
      );
      await until('Prometheus has the degraded mode', () =>
        sees(loop, 'infra_degraded_mode_active{mode="database_unavailable"} == 1'),
      );
    },
    WHOLE_LOOP_MS,
  );
});
