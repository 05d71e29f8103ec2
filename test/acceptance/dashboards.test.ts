// The shipped dashboards on a real Prometheus that has scraped a real amends at work: every panel has something to show.
import { execFile } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import { dashboards, filled, queriesOf } from '../support/dashboards.ts';
import { createLedger } from '../support/ledger.ts';
import type { Ledger } from '../support/ledger.ts';
import { itWith } from '../support/requires.ts';
import { getJson, root, startedHere, until } from '../support/servers.ts';
import type { Running } from '../support/servers.ts';

const RUNBOOK = `version: 1
summary: Mend the shop.
severity: SEV3
timeout: 10s
steps:
  - { id: mend, uses: http.request, with: { url: "\${{ connect.url }}/mend/\${{ target }}", method: POST }, idempotent: true }
verify:
  - { uses: http.get, with: { url: "\${{ connect.url }}/health/\${{ target }}" }, need: 1, of: 1, every: 10ms }
on_failure: { degrade: shop_unavailable }
guide: Look at the shop.
`;
const rule = (name: string, alertname: string, mode: string): object => ({
  name,
  priority: 10,
  conditions: { all: [{ fact: 'alertname', operator: 'equal', value: alertname }] },
  event: { type: 'remediate', params: { runbook: 'shop/mend', mode } },
});

const servers = startedHere();
let ledger: Ledger;
let amends: Running;
let prometheus: Running;

const post = async (alertname: string, target: string): Promise<void> => {
  const alert = {
    status: 'firing',
    labels: { alertname, component: 'shop', target },
    annotations: {},
    startsAt: new Date(Date.now() - 5_000).toISOString(),
    endsAt: '0001-01-01T00:00:00Z',
  };
  const response = await fetch(`${amends.url}/webhook/alertmanager`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ version: '4', groupKey: '{}', receiver: 'amends', status: 'firing', alerts: [alert] }),
  });
  expect(response.status).toBe(202);
};

type Answer = { readonly data: { readonly result: ReadonlyArray<{ readonly values: readonly unknown[] }> } };
/** How many series a query has over the last minutes, as a panel would ask. */
const seriesOf = async (expr: string): Promise<number> => {
  const end = Date.now() / 1_000;
  const asked = new URLSearchParams({ query: filled(expr), start: String(end - 60), end: String(end), step: '2' });
  const answer = await getJson<Answer>(`${prometheus.url}/api/v1/query_range?${asked.toString()}`);
  return answer.data.result.length;
};

beforeAll(async () => {
  const folder = await servers.folder();
  ledger = await createLedger(join(folder, 'ledger.ndjson'));
  mkdirSync(join(folder, 'rules'));
  mkdirSync(join(folder, 'runbooks/shop'), { recursive: true });
  writeFileSync(join(folder, 'rules/shop.json'), JSON.stringify(rule('shop-down', 'ShopDown', 'auto')));
  writeFileSync(join(folder, 'rules/slow.json'), JSON.stringify(rule('shop-slow', 'ShopSlow', 'shadow')));
  writeFileSync(join(folder, 'runbooks/shop/mend.yaml'), RUNBOOK);
  writeFileSync(
    join(folder, 'amends.yaml'),
    JSON.stringify({
      version: 1,
      recovery: {
        mode: 'auto',
        cooldown: { after_failure: '1h', after_success: '0s' },
        settle: '0s',
        storm: { min: 5 },
      },
      components: {
        shop: {
          connect: { url: ledger.url },
          inventory: { static: ['one', 'two', 'three', 'four', 'five'] },
          allow: { actions: ['http.*', 'degrade.*'] },
        },
      },
      allow: { hosts: [ledger.host] },
      degraded_modes: { shop_unavailable: { available: [], unavailable: ['orders'], impact: 'no orders' } },
      notify: { receivers: [{ name: 'log', type: 'log' }], routes: [{ receiver: 'log' }] },
      probes: [
        {
          name: 'shop_health',
          uses: 'http.get',
          component: 'shop',
          target: 'one',
          every: '1s',
          with: { url: `${ledger.url}/health/one` },
        },
      ],
    }),
  );
  amends = await servers.amends({
    config: join(folder, 'amends.yaml'),
    args: [`--storage.path=${join(folder, 'data')}`],
  });
  prometheus = await servers.prometheus({
    config: {
      global: { scrape_interval: '1s', evaluation_interval: '1s' },
      scrape_configs: [{ job_name: 'amends', static_configs: [{ targets: [new URL(amends.url).host] }] }],
    },
  });
  await until('the first scrape is in', async () => (await seriesOf('amends_build_info')) > 0);
  // One is recovered, one only would have been, the next is not recovered, and the last is held by the cooldown.
  await post('ShopDown', 'one');
  await post('ShopSlow', 'four');
  const ended = async (outcome: string): Promise<boolean> =>
    (await getJson<{ items: unknown[] }>(`${amends.url}/api/v1/runs?outcome=${outcome}`)).items.length === 1;
  await until('one is recovered', () => ended('resolved'));
  ledger.answer('/health/two', 500);
  await post('ShopDown', 'two');
  await until('two is not', () => ended('unresolved'));
  await post('ShopDown', 'three');
  await until(
    'all of it is scraped',
    async () => (await seriesOf('amends_decisions_total{reason="cooldown"} > 0')) > 0,
  );
}, 60_000);
afterAll(async () => {
  await servers.stopAll();
  await ledger.close();
}, 30_000);

describe.each([...dashboards()])('grafana/dashboards/%s on a real Prometheus', (_name, board) => {
  itWith('prometheus')(
    'every panel gets data',
    async () => {
      for (const { panel, expr } of queriesOf(board)) {
        await until(`${board.title}: ${panel} has data: ${expr}`, async () => (await seriesOf(expr)) > 0, 10_000);
      }
    },
    60_000,
  );
});

describe('the overview', () => {
  itWith('prometheus')(
    'R20 counts what is on record: one recovery, one failure, a rate of a half',
    async () => {
      const overview = dashboards().get('overview.json');
      const say = async (title: string): Promise<number> => {
        const panel = overview?.panels.find(({ type, title: own }) => type !== 'row' && own === title);
        const query = filled(panel?.targets?.[0]?.expr ?? '');
        const answer = await getJson<{ data: { result: Array<{ value: [number, string] }> } }>(
          `${prometheus.url}/api/v1/query?${new URLSearchParams({ query }).toString()}`,
        );
        return Number(answer.data.result[0]?.value[1]);
      };
      const runs = (await getJson<{ items: Array<{ outcome: string | null }> }>(`${amends.url}/api/v1/runs`)).items;
      const count = (outcome: string): number => runs.filter((run) => run.outcome === outcome).length;
      expect([count('resolved'), count('unresolved')]).toEqual([1, 1]);
      // Over the few seconds of this test the two ends that increase() makes up weigh more: at most the half of it.
      for (const [title, outcome] of [
        ['Recovered', 'resolved'],
        ['Failed', 'unresolved'],
      ] as const) {
        const said = await say(title);
        expect(said).toBeGreaterThanOrEqual(count(outcome) * 0.999);
        expect(said).toBeLessThan(count(outcome) * 1.5);
      }
      expect(await say('Recovery rate')).toBeCloseTo(0.5, 2);
    },
    30_000,
  );
});

describe('npm run dashboards:preview', () => {
  itWith('prometheus')(
    'draws every panel with its data on one page that needs nothing from elsewhere',
    async () => {
      const page = join(await servers.folder(), 'preview.html');
      await promisify(execFile)(process.execPath, [
        join(root, 'scripts/dashboards-preview.mjs'),
        `--prometheus=${prometheus.url}`,
        '--minutes=2',
        '--scrape=1',
        `--out=${page}`,
      ]);
      const html = readFileSync(page, 'utf8');
      // Somebody looks at it with a browser; a test looks at what it says.
      const kept = process.env['AMENDS_KEEP_PREVIEW'];
      if (kept !== undefined) writeFileSync(kept, html);
      const drawn = new Map(
        [...html.matchAll(/<section id="panel-([^"]+)" data-type="[^"]+" data-series="(\d+)"/g)].map(
          ([, id = '', series]) => [id, Number(series)],
        ),
      );
      const panels = [...dashboards().values()].flatMap((board) =>
        board.panels.filter(({ type }) => type !== 'row').map(({ id, title }) => ({ id: `${board.uid}-${id}`, title })),
      );
      expect(drawn.size).toBe(panels.length);
      for (const { id, title } of panels) expect([title, (drawn.get(id) ?? 0) > 0]).toEqual([title, true]);
      expect(html).not.toContain('No data');
      expect(html).not.toMatch(/<script|<link|@import|url\(|\bsrc=|https?:/);
      expect(html).not.toMatch(/NaN|undefined|Infinity/);
    },
    60_000,
  );
});
