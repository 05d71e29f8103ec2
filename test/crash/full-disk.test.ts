// The disk fills while a step runs: what the step did is not forgotten, nothing new begins, and people are told.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { createApp } from '../../src/app.ts';
import type { App } from '../../src/app.ts';
import { createLog } from '../../src/base/log.ts';
import { createRedactor } from '../../src/base/secret.ts';
import { StoreUnavailable } from '../../src/port/store.ts';
import type { Store } from '../../src/port/store.ts';
import { settingsIn } from '../support/built.ts';
import { body, must, writeFiles } from '../support/engine.ts';
import { createLedger } from '../support/ledger.ts';
import type { Ledger } from '../support/ledger.ts';

const RULE = {
  name: 'shop-down',
  description: 'It is mended.',
  priority: 10,
  conditions: { all: [{ fact: 'alertname', operator: 'equal', value: 'ShopDown' }] },
  event: { type: 'remediate', params: { runbook: 'shop/mend', mode: 'auto' } },
};
const RUNBOOK = `version: 1
summary: Charge it.
severity: SEV3
timeout: 60s
guide: Look at it.
steps:
  - id: charge
    uses: http.request
    with: { url: "\${{ connect.url }}/charge", method: POST }
    idempotent: false
verify:
  - { uses: http.get, with: { url: "\${{ connect.url }}/health" }, need: 1, of: 1, every: 10ms }
`;

describe('F16 F25 the store cannot be written while a step runs', () => {
  let folder: string;
  let ledger: Ledger;
  let full: boolean;
  const apps: App[] = [];

  /** Refuses every write while `full`, as a full disk does: the transaction is rolled back whole. */
  const fullDisk = (store: Store): Store => {
    const refusing = Object.create(store) as Store;
    for (const name of [
      'receive',
      'decide',
      'changeRun',
      'extendRun',
      'write',
      'claim',
      'renew',
      'outboxDone',
    ] as const) {
      const verb = store[name] as (...given: readonly unknown[]) => Promise<unknown>;
      const value = (...given: readonly unknown[]): Promise<unknown> =>
        full ? Promise.reject(new StoreUnavailable('database or disk is full')) : verb.apply(store, [...given]);
      Object.defineProperty(refusing, name, { value });
    }
    return refusing;
  };
  const start = async (): Promise<string> => {
    const app = must(
      await createApp(settingsIn(folder), { aroundStore: fullDisk, log: createLog('silent', createRedactor()) }),
    );
    apps.push(app);
    return (await app.start()).url;
  };
  const get = async (url: string): Promise<{ status: number; body: { items: Record<string, unknown>[] } }> => {
    const response = await fetch(url, { headers: { connection: 'close' } });
    return { status: response.status, body: (await response.json()) as { items: Record<string, unknown>[] } };
  };
  const post = (url: string): Promise<Response> =>
    fetch(`${url}/webhook/alertmanager`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', connection: 'close' },
      body: new Uint8Array(
        body({ now: () => Date.now() }, [{ labels: { alertname: 'ShopDown', component: 'shop', target: 'main' } }]),
      ),
    });
  const until = async (so: () => Promise<boolean>): Promise<void> => {
    const end = performance.now() + 15_000;
    while (!(await so())) {
      if (performance.now() > end) throw new Error('it did not come about within 15 s');
      await new Promise((resolve) => void setTimeout(resolve, 25));
    }
  };

  beforeEach(async () => {
    full = false;
    folder = mkdtempSync(join(tmpdir(), 'amends-full-'));
    ledger = await createLedger(join(folder, 'ledger.ndjson'));
    writeFiles(folder, {
      'amends.yaml': `version: 1\nrecovery: { mode: auto, settle: 0s }\ncomponents:\n  shop:\n    inventory: { static: [ { target: main, connect: { url: "${ledger.url}" } } ] }\n    allow: { actions: ["http.*"] }\nallow: { hosts: ["${ledger.host}"] }\n`,
      'rules/shop.json': RULE,
      'runbooks/shop/mend.yaml': RUNBOOK,
    });
  });
  afterEach(async () => {
    full = false;
    for (const app of apps.splice(0)) await app.stop(1_000);
    await ledger.close();
    rmSync(folder, { recursive: true, force: true });
  });

  it('and is written again soon: the run goes on where it was, its step is felt once', async () => {
    const url = await start();
    const felt = ledger.next('/charge').then(() => void (full = true));
    expect((await post(url)).status).toBe(202);
    await felt;
    await until(async () => (await get(`${url}/-/ready`)).status === 503);
    expect((await post(url)).status).toBe(503);
    full = false;
    await until(async () => (await get(`${url}/api/v1/runs`)).body.items[0]?.['state'] === 'done');
    expect((await get(`${url}/api/v1/runs`)).body.items[0]).toMatchObject({ outcome: 'resolved' });
    await until(async () => (await get(`${url}/-/ready`)).status === 200);
    expect(ledger.effects().map(({ path }) => path)).toEqual(['/charge']);
  }, 60_000);

  it('and amends is stopped before it is written again: the next start finds what the step did, and does not do it twice', async () => {
    const first = await start();
    const felt = ledger.next('/charge').then(() => void (full = true));
    await post(first);
    await felt;
    await until(async () => (await get(`${first}/-/ready`)).status === 503);
    await apps.pop()?.stop(0);
    full = false;
    const second = await start();
    await until(async () => (await get(`${second}/api/v1/runs`)).body.items[0]?.['state'] === 'done');
    expect((await get(`${second}/api/v1/runs`)).body.items[0]).toMatchObject({ outcome: 'resolved' });
    expect(ledger.effects().map(({ path }) => path)).toEqual(['/charge']);
  }, 60_000);
});
