// The demo as somebody runs it who meets amends for the first time: what it says is held against what the shop, the
// process table and the disk say.
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { afterAll, describe, expect, it } from '@jest/globals';
import { createLauncher } from '../support/command.ts';
import type { Launched } from '../support/command.ts';
import { itWith } from '../support/requires.ts';

import { getJson, startedHere, until } from '../support/servers.ts';

const servers = startedHere();
const launcher = createLauncher();
afterAll(async () => {
  await launcher.endAll();
  await servers.stopAll();
});

const start = async (args: readonly string[]): Promise<Launched & { readonly temp: string }> => {
  const temp = await servers.folder();
  return { ...launcher.launch(['demo', ...args], { cwd: temp, env: { TMPDIR: temp } }), temp };
};

const found = (running: Launched, pattern: RegExp): Promise<string> =>
  until(`${pattern.source} in what it says`, () => pattern.exec(running.output())?.[1], 60_000);

/** Every process whose command line names the folder. */
const leftOf = (temp: string): readonly string[] =>
  readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(temp) ? [pid] : [];
      } catch {
        return [];
      }
    });

type Incident = {
  readonly component: string;
  readonly strategy: string;
  readonly outcome: string;
  readonly attempts: number;
  readonly in_inbox: boolean;
  readonly alert_to_first_step_ms: number;
  readonly alert_to_verified_ms: number | null;
};

/** What customers see meanwhile: each department's answers, in order, without repeats. */
const watchShop = (
  url: string,
  running: Launched,
): { readonly seen: { orders: number[]; receipts: number[] }; readonly done: Promise<void> } => {
  const seen: { orders: number[]; receipts: number[] } = { orders: [], receipts: [] };
  const done = (async () => {
    while (!running.exited()) {
      for (const [department, statuses] of Object.entries(seen)) {
        const status = await fetch(`${url}/${department}`).then(
          (response) => response.status,
          () => null,
        );
        if (status !== null && statuses.at(-1) !== status) statuses.push(status);
      }
      await until('the next look', () => true, 1_000, 20);
    }
  })();
  return { seen, done };
};

const playsOnce = async (args: readonly string[], via: 'prometheus' | 'direct'): Promise<void> => {
  const running = await start(['--once', '--output=json', ...args]);
  const shop = watchShop(await found(running, /shop +(http:\/\/127\.0\.0\.1:\d+)\/orders/), running);
  const { code, out, err } = await running.ended;
  await shop.done;
  expect({ code, err: code === 0 ? '' : err }).toEqual({ code: 0, err: '' });
  const { incidents, via: saidVia } = JSON.parse(out.trim().split('\n').at(-1) ?? '') as {
    incidents: Incident[];
    via: string;
  };
  expect(saidVia).toBe(via);
  expect(incidents).toEqual([
    expect.objectContaining({
      component: 'shop-orders',
      strategy: 'restore-backup',
      outcome: 'resolved',
      attempts: 1,
      in_inbox: false,
    }),
    expect.objectContaining({
      component: 'shop-stock',
      strategy: 'release-lock',
      outcome: 'resolved',
      attempts: 1,
      in_inbox: false,
    }),
    expect.objectContaining({
      component: 'shop-receipts',
      strategy: 'restore-backup',
      outcome: 'unresolved',
      attempts: 3,
      in_inbox: true,
    }),
  ]);
  for (const { outcome, alert_to_first_step_ms: first, alert_to_verified_ms: verified } of incidents) {
    expect(first).toBeGreaterThanOrEqual(0);
    if (outcome === 'resolved') expect(verified).toBeGreaterThan(first);
    else expect(verified).toBeNull();
  }
  // Broken, then well again; and what cannot be mended stays broken.
  expect(shop.seen.orders.slice(-2)).toEqual([503, 200]);
  expect(shop.seen.receipts).toEqual([200, 503]);
  expect(leftOf(running.temp)).toEqual([]);
  expect(readdirSync(running.temp)).toEqual([]);
};

describe('demo', () => {
  it(
    'R1 R3 D3 D4 a corrupted database and a hung lock are mended, a third fault is handed to a human, by posts of its own',
    () => playsOnce(['--direct'], 'direct'),
    180_000,
  );

  itWith('prometheus', 'alertmanager')(
    'R1 R3 D1 D3 D4 the same comes about through a real Prometheus and Alertmanager',
    () => playsOnce([], 'prometheus'),
    180_000,
  );

  it('it stays up until Ctrl-C, answers at the addresses it says, and takes everything away', async () => {
    const running = await start(['--direct']);
    const url = await found(running, /amends +(http:\/\/127\.0\.0\.1:\d+): the console/);
    await found(running, /(Stays up until Ctrl-C)/);
    const { items } = await getJson<{ items: unknown[] }>(`${url}/api/v1/inbox?status=open`);
    expect(items).toHaveLength(1);
    const page = await fetch(`${url}/console`);
    expect([page.status, page.headers.get('content-type')]).toEqual([200, 'text/html; charset=utf-8']);
    const metrics = await (await fetch(`${url}/metrics`)).text();
    expect(metrics).toMatch(/^infra_recovery_success_total\{component="shop-orders",strategy="restore-backup"\} 1$/m);
    process.kill(running.pid, 'SIGINT');
    expect(await running.ended).toMatchObject({ code: 0 });
    expect(leftOf(running.temp)).toEqual([]);
    expect(existsSync(running.temp) ? readdirSync(running.temp) : []).toEqual([]);
    await expect(fetch(url)).rejects.toThrow('fetch failed');
  }, 120_000);
});
