// A scrape of a real amends at work: every family that is documented has something to say, promtool finds nothing to say
// about any, and what waits for a human is told by whatever way it came.
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createLedger } from '../support/ledger.ts';
import type { Ledger } from '../support/ledger.ts';
import { exportedFamilies } from '../support/metrics.ts';
import { binaryOf, itWith } from '../support/requires.ts';
import { getJson, startedHere, until } from '../support/servers.ts';
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
const rule = (name: string, alertname: string, event: object): object => ({
  name,
  description: `About ${alertname}.`,
  priority: 10,
  conditions: { all: [{ fact: 'alertname', operator: 'equal', value: alertname }] },
  event,
});
const remediate = (mode: string): object => ({ type: 'remediate', params: { runbook: 'shop/mend', mode } });

const servers = startedHere();
let ledger: Ledger;
let amends: Running;

const post = async (...labels: ReadonlyArray<Readonly<Record<string, string>>>): Promise<void> => {
  const alerts = labels.map((own) => ({
    status: 'firing',
    labels: own,
    annotations: {},
    startsAt: new Date(Date.now() - 5_000).toISOString(),
    endsAt: '0001-01-01T00:00:00Z',
  }));
  const response = await fetch(`${amends.url}/webhook/alertmanager`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ version: '4', groupKey: '{}', receiver: 'amends', status: 'firing', novelty: 1, alerts }),
  });
  expect(response.status).toBe(202);
};
const scrape = async (): Promise<string> => (await fetch(`${amends.url}/metrics`)).text();
const figure = (text: string, series: string): number | undefined => {
  const line = text.split('\n').find((one) => one.startsWith(`${series} `));
  return line === undefined ? undefined : Number(line.slice(series.length + 1));
};
const told = (series: string, value: number): Promise<true> =>
  until(`${series} is ${value}`, async () => figure(await scrape(), series) === value || undefined, 20_000);
const open = 'amends_escalations_open';

beforeAll(async () => {
  const folder = await servers.folder();
  ledger = await createLedger(join(folder, 'ledger.ndjson'));
  const write = (name: string, content: object | string): void =>
    writeFileSync(join(folder, name), typeof content === 'string' ? content : JSON.stringify(content));
  mkdirSync(join(folder, 'rules'));
  mkdirSync(join(folder, 'runbooks/shop'), { recursive: true });
  write('rules/down.json', rule('shop-down', 'ShopDown', remediate('auto')));
  write('rules/asks.json', rule('shop-asks', 'ShopAsks', remediate('approve')));
  write('rules/hands.json', rule('shop-hands-over', 'ShopOdd', { type: 'escalate' }));
  write('runbooks/shop/mend.yaml', RUNBOOK);
  const health = { uses: 'http.get', component: 'shop', target: 'one', every: '1s' };
  write('amends.yaml', {
    version: 1,
    recovery: { mode: 'auto', attempts: [{ max: 3, per: '1h' }], cooldown: { after_failure: '1h', after_success: '0s' }, settle: '0s', storm: { min: 9 } }, // prettier-ignore
    components: {
      shop: { connect: { url: ledger.url }, inventory: { static: ['one', 'two', 'three', 'four', 'five'] }, allow: { actions: ['http.*', 'degrade.*'] } }, // prettier-ignore
      stall: { kind: 'shop', connect: { url: ledger.url }, attempts: [{ max: 1, per: '1h' }], inventory: { static: ['s1', 's2', 's3'] }, allow: { actions: ['http.*', 'degrade.*'] } }, // prettier-ignore
    },
    allow: { hosts: [ledger.host] },
    degraded_modes: { shop_unavailable: { available: [], unavailable: ['orders'], impact: 'no orders' } },
    notify: { receivers: [{ name: 'log', type: 'log' }], routes: [{ receiver: 'log' }] },
    probes: [{ name: 'shop_health', ...health, with: { url: `${ledger.url}/health/one` } }],
  });
  amends = await servers.amends({
    config: join(folder, 'amends.yaml'),
    args: [`--storage.path=${join(folder, 'data')}`],
  });
}, 60_000);
afterAll(async () => {
  await servers.stopAll();
  await ledger.close();
}, 30_000);

describe('a scrape', () => {
  it('counts each escalation once, from a rule that hands over and from a cap that is used up, until a human closes it', async () => {
    expect(figure(await scrape(), `${open}{component="shop"}`)).toBe(0);
    expect(figure(await scrape(), `${open}{component="stall"}`)).toBe(0);
    expect(figure(await scrape(), `${open}{component="*"}`)).toBe(0);

    // No run: the rule hands it over, of a component and of none.
    await post({ alertname: 'ShopOdd', component: 'shop', target: 'two' }, { alertname: 'ShopOdd' });
    await told(`${open}{component="shop"}`, 1);
    await told(`${open}{component="*"}`, 1);
    await told('amends_rule_decisions_total{rule="shop-hands-over",verdict="escalated"}', 2);

    // The only attempt there is fails: nothing automatic is left.
    ledger.answer('/health/s1', 500);
    await post({ alertname: 'ShopDown', component: 'stall', target: 's1' });
    await told('amends_runs_total{component="stall",strategy="mend",outcome="unresolved"}', 1);
    await told(`${open}{component="stall"}`, 1);
    // Alertmanager says it again, and again.
    await post({ alertname: 'ShopDown', component: 'stall', target: 's1' });
    await post({ alertname: 'ShopOdd' });
    await told('amends_decisions_total{reason="duplicate",origin="delivery"}', 2);
    const text = await scrape();
    expect([figure(text, `${open}{component="stall"}`), figure(text, `${open}{component="*"}`)]).toEqual([1, 1]);

    const { items } = await getJson<{ items: ReadonlyArray<{ id: string; component: string | null }> }>(
      `${amends.url}/api/v1/inbox?status=open&kind=escalation`,
    );
    expect(items.map(({ component }) => component ?? '*').toSorted()).toEqual(['*', 'shop', 'stall']);
    for (const { id } of items) {
      const closed = await fetch(`${amends.url}/api/v1/inbox/${id}/close`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ by: 'ann', comment: 'seen to' }),
      });
      expect([closed.status, await closed.text()]).toEqual([200, expect.any(String)]);
    }
    for (const component of ['shop', 'stall', '*'])
      expect(figure(await scrape(), `${open}{component="${component}"}`)).toBe(0);
  }, 60_000);

  itWith('promtool')(
    'promtool check metrics is silent about it, and every family of the page on metrics says something',
    async () => {
      await post({ alertname: 'ShopDown', component: 'shop', target: 'one' });
      await told('infra_recovery_success_total{component="shop",strategy="mend"}', 1);
      await post({ alertname: 'ShopAsks', component: 'shop', target: 'three' });
      await told('amends_approvals_waiting', 1);
      await told('amends_probe_success{probe="shop_health",component="shop",target="one"}', 1);
      await post({ alertname: 'Watchdog' });
      await until(
        'the head of the audit is known',
        async () => (await scrape()).includes('amends_audit_head_info{') || undefined,
        20_000,
      );
      const text = await scrape();
      const silent: string[] = [];
      for (const { name } of (await exportedFamilies()).values()) {
        if (!new RegExp(`^${name}(?:_bucket|_sum|_count)?(?:\\{| )`, 'm').test(text)) silent.push(name);
      }
      expect(silent).toEqual([]);
      const said = execFileSync(binaryOf('promtool') ?? 'promtool', ['check', 'metrics'], {
        input: text,
        encoding: 'utf8',
        stdio: ['pipe', 'pipe', 'pipe'],
      });
      expect(said).toBe('');
    },
    60_000,
  );
});
