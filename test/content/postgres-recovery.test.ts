// The shipped PostgreSQL strategies on a real server, and P5 on a real SQLite: dumped, damaged, restored, unblocked.
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import Database from 'better-sqlite3';
import type { JsonObject } from '../../src/base/json.ts';
import { startEngine } from '../support/engine.ts';
import type { EngineUnderTest } from '../support/engine.ts';
import {
  countOrders,
  hasPostgres,
  itWithPostgres,
  makeShop,
  pgDump,
  pgRestore,
  startPostgres,
} from '../support/postgres.ts';
import type { PostgresServer } from '../support/postgres.ts';
import { root } from '../support/servers.ts';
import { countOrders as countRows, makeDatabase } from '../support/sqlite-files.ts';

let folder: string;
let server: PostgresServer;
let retrieval: Server;
let stats = { vectors: 150_000, breaker: 'closed', p95_ms: 40 };
const cleanups: string[] = [];
let amends: EngineUnderTest;
let files: ReturnType<typeof makeDatabase>;
let script: string;

const config = (): string => `
version: 1
rule_files: ["${root}rules/postgres/*.json", "${root}rules/database/*.json"]
runbook_files: ["${root}runbooks/postgres/*.yaml", "${root}runbooks/database/*.yaml"]
recovery: { mode: auto, cooldown: { after_failure: 60s, after_success: 0s }, attempts: [ { max: 50, per: 1h } ], budget: [ { max: 50, per: 1h } ], settle: 1s }
components:
  shop-pg:
    kind: postgres
    inventory:
      static:
        - target: shop
          connect:
            url: "${server.url('shop')}"
            password_file: "${server.passwordFile}"
            backups: "${folder}/dumps"
            safety: "${folder}/safety"
            pg_dump: "${pgDump}"
            pg_restore: "${pgRestore}"
            service: "http://127.0.0.1:${(retrieval.address() as AddressInfo).port}"
            stop: ["${script}", stop]
            start: ["${script}", start]
            migration_current: ["${script}", current]
            migration_down: ["${script}", down]
    allow: { actions: ["postgres.*", "http.*", "command.run", "inbox.*", "triage.*"] }
  shop-db:
    kind: database
    inventory:
      static: [ { target: orders, connect: { path: "${files.path}", backups: "${files.backups}", holders: [none], schema_file: "${folder}/none.sql", migration_down: ["${script}", sqlite-down] } } ]
    allow: { actions: ["sqlite.*", "inbox.*", "locks.*", "triage.*"] }
allow: { paths: ["${folder}"], hosts: ["127.0.0.1"], commands: ["${pgDump}", "${pgRestore}", "${script}"] }
degraded_modes:
  postgres_unavailable: { available: [], unavailable: [all], impact: "none" }
  database_unavailable: { available: [], unavailable: [all], impact: "none" }
`;

beforeAll(async () => {
  if (!hasPostgres) return;
  folder = mkdtempSync(join(tmpdir(), 'amends-pg-'));
  server = await startPostgres(folder);
  await makeShop(server, 'shop');
  files = makeDatabase(folder, 'wal');
  mkdirSync(files.backups);
  const file = new Database(files.path);
  file.exec('ALTER TABLE orders ADD COLUMN note TEXT');
  file.close();
  // The application's own commands: its supervisor (which notes what it did) and its migrations.
  script = join(folder, 'control');
  writeFileSync(
    script,
    `#!${process.execPath}
const { createRequire } = require('node:module');
const { appendFileSync } = require('node:fs');
const load = createRequire(${JSON.stringify(import.meta.url)});
const does = process.argv[2];
appendFileSync(${JSON.stringify(join(folder, 'did'))}, does + '\\n');
if (does === 'sqlite-down') { const file = new (load('better-sqlite3'))(${JSON.stringify(files.path)}); file.exec('ALTER TABLE orders DROP COLUMN note'); console.log('downgrade 2 -> 1'); }
if (does === 'down') {
  const client = new (load('pg').Client)({ connectionString: ${JSON.stringify(server.url('shop').replace('shop@', `shop:${server.password}@`))} });
  client.connect().then(() => client.query('ALTER TABLE orders DROP COLUMN IF EXISTS note')).then(() => client.end()).then(() => console.log('downgrade 2 -> 1'));
}
if (does === 'current') console.log('2');
`,
  );
  chmodSync(script, 0o755);
  retrieval = createServer((request, response) => {
    if (request.method === 'POST') {
      cleanups.push(request.url ?? '');
      stats = { ...stats, vectors: 80_000, p95_ms: 9 };
    }
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end(JSON.stringify(stats));
  });
  await new Promise<void>((resolve) => void retrieval.listen(0, '127.0.0.1', resolve));
  amends = await startEngine({ config: config(), files: {} });
}, 60_000);
afterAll(async () => {
  if (!hasPostgres) return;
  await amends.close();
  retrieval.closeAllConnections();
  await new Promise((resolve) => void retrieval.close(resolve));
  await server.stop();
  rmSync(folder, { recursive: true, force: true });
});

const NONE = JSON.stringify('');
let fired = 0;
const fire = (alertname: string, component = 'shop-pg', target = 'shop'): Promise<void> => {
  fired += 1;
  amends.clock.advance(120_000);
  return amends.post([{ labels: { alertname, component, target, incident: String(fired) } }]);
};
type Run = Awaited<ReturnType<typeof amends.list<'runs'>>>[number];
/** With `ended`, a run that waits to be approved as the next try is left out. */
const newest = async (
  ended = false,
): Promise<{
  run: Run;
  outputs: (step: string) => JsonObject;
  error: (step: string) => string;
}> => {
  const [run] = (await amends.list('runs'))
    .filter(({ outcome }) => !ended || outcome !== null)
    .toSorted((left, right) => right.createdAt - left.createdAt);
  if (run === undefined) throw new Error(`no run; decisions: ${JSON.stringify(await amends.list('decisions'))}`);
  const events = ((await amends.store.run(run.id))?.events ?? []).map(({ event }) => event);
  return {
    run,
    outputs(step) {
      const found = events.findLast((event) => event.type === 'step_succeeded' && event.step === step);
      return found !== undefined && 'outputs' in found ? found.outputs : {};
    },
    error(step) {
      const found = events.findLast((event) => event.type === 'step_failed' && event.step === step);
      return JSON.stringify(found ?? '');
    },
  };
};
const approve = async (): Promise<void> => {
  const { run } = await newest();
  expect(run).toMatchObject({ state: 'awaiting_approval' });
  expect(await amends.engine.desk.approve({ runId: run.id, step: null, by: 'ann', comment: 'yes' })).toMatchObject({
    ok: true,
  });
  await amends.settle();
};

// First: a backup's age is told by the real clock, and each incident moves the engine's ahead.
describe('a migration of a SQLite database', () => {
  itWithPostgres(
    'P5 on SQLite: by approval, a backup named by its time, one migration down, and both results told',
    async () => {
      await fire('DatabaseMigrationFailed', 'shop-db', 'orders');
      await approve();
      const { run, outputs, error } = await newest(true);
      expect([error('before/look'), error('steps/backup'), error('steps/downgrade')]).toEqual([NONE, NONE, NONE]);
      expect(run).toMatchObject({ strategy: 'migrate-down', outcome: 'resolved' });
      expect(outputs('before/triage_snapshot')).toMatchObject({ checked: true });
      expect(outputs('steps/backup')['path']).toMatch(/orders-\d{8}T\d{9}Z\.db$/);
      expect(outputs('steps/downgrade')).toMatchObject({
        exit_code: 0,
        stdout: 'downgrade 2 -> 1\n',
        schema_changed: true,
      });
      expect(countRows(files.path)).toBe(500);
      const note = (await amends.list('inbox')).find(({ title }) => title.includes('migration of orders'));
      const { path } = outputs('steps/backup') as { path: string };
      expect(JSON.stringify(note?.body)).toContain(path);
      expect(JSON.stringify(note?.body)).toContain('downgrade 2 -> 1');
    },
    60_000,
  );
});

describe('O9 a backup and the way back', () => {
  itWithPostgres(
    'O9 is made when it is due, and a damaged database is restored from it by approval; the replaced one is kept',
    async () => {
      await fire('PostgresBackupDue');
      expect((await newest()).run).toMatchObject({ strategy: 'backup', outcome: 'resolved' });
      expect(readdirSync(join(folder, 'dumps'))).toHaveLength(1);
      await server.run('shop', 'DELETE FROM orders WHERE id > 3');
      await fire('PostgresDataLost');
      expect(await countOrders(server, 'shop')).toBe(3);
      await approve();
      const { run, outputs } = await newest();
      expect(run).toMatchObject({ strategy: 'restore', outcome: 'resolved', cause: 'verified' });
      expect(await countOrders(server, 'shop')).toBe(1_000);
      expect(await countOrders(server, outputs('steps/restore')['replaced_to'] as string)).toBe(3);
      expect(existsSync(outputs('before/safety')['path'] as string)).toBe(true);
      expect((await amends.store.degraded()).map(({ mode }) => mode)).not.toContain('postgres_unavailable');
    },
    60_000,
  );
});

describe('O4 who waits', () => {
  itWithPostgres(
    'O4 goes on once the session that is idle in a transaction is ended',
    async () => {
      const [blocker, writer] = [await server.client('shop', 'shop'), await server.client('shop', 'shop')];
      await blocker.query("BEGIN; UPDATE orders SET what = 'held' WHERE id = 1");
      const writing = writer.query("UPDATE orders SET what = 'written' WHERE id = 1");
      const rule = {
        name: 'postgres-blocked',
        priority: 55,
        conditions: { all: [{ fact: 'alertname', operator: 'equal', value: 'PostgresBlocked' }] },
        event: {
          type: 'remediate',
          params: { runbook: 'postgres/release_blockers', mode: 'auto', with: { idle_over: '1s' } },
        },
      };
      await amends.reload(
        { 'rules/blocked.json': rule },
        config().replace('rules/postgres/*.json"', 'rules/postgres/high*.json", "rules/*.json"'),
      );
      await new Promise<void>((resolve) => {
        const timer = setInterval(() => {
          void server.run('shop', "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'").then(({ rows }) => {
            if (rows.length === 0) return;
            clearInterval(timer);
            resolve();
          });
        }, 200);
      });
      await server.run('shop', 'SELECT pg_sleep(1.1)');
      await fire('PostgresBlocked');
      const { run, outputs } = await newest();
      expect(run).toMatchObject({ strategy: 'release_blockers', outcome: 'resolved' });
      expect(outputs('before/waiting')).toMatchObject({ blocked: 1 });
      expect(outputs('steps/terminate')).toMatchObject({ terminated: 1 });
      await writing;
      await writer.end();
      await blocker.end().catch(() => undefined);
      expect((await server.run('shop', 'SELECT what FROM orders WHERE id = 1')).rows).toEqual([{ what: 'written' }]);
      await amends.reload({}, config());
    },
    60_000,
  );

  itWithPostgres(
    'O4 slow retrieval is looked into, unused indices above 100,000 vectors are cleared, and the indexes built anew',
    async () => {
      await server.run(
        'shop',
        "ALTER TABLE orders RENAME TO playbook_bullets; UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'by_what'::regclass",
      );
      await fire('HighRetrievalLatency');
      const { run, outputs } = await newest();
      expect(run).toMatchObject({ strategy: 'high_retrieval_latency', outcome: 'resolved' });
      expect(outputs('before/index')).toMatchObject({ json: { vectors: 150_000, breaker: 'closed' } });
      expect(cleanups).toEqual(['/retrieval/cleanup']);
      expect(outputs('steps/reindex')).toMatchObject({ reindexed: ['by_what', 'orders_pkey'] });
      expect((await server.run('shop', 'SELECT indexrelid FROM pg_index WHERE NOT indisvalid')).rows).toEqual([]);
      await server.run('shop', 'ALTER TABLE playbook_bullets RENAME TO orders');
    },
    60_000,
  );

  itWithPostgres(
    'O4 invalid indexes are built anew',
    async () => {
      await server.run('shop', "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'by_what'::regclass");
      await fire('PostgresIndexInvalid');
      const { run, outputs } = await newest();
      expect(run).toMatchObject({ strategy: 'reindex', outcome: 'resolved' });
      expect(outputs('steps/reindex')).toMatchObject({ reindexed: ['by_what'] });
    },
    60_000,
  );
});

describe('a migration taken back', () => {
  itWithPostgres(
    'O9 on PostgreSQL: by approval, after a dump that holds the state before',
    async () => {
      await server.run('shop', "ALTER TABLE orders ADD COLUMN note TEXT DEFAULT 'n'");
      await fire('PostgresMigrationFailed');
      await approve();
      const { run, outputs } = await newest();
      expect(run).toMatchObject({ strategy: 'migration_rollback', outcome: 'resolved' });
      expect(outputs('steps/downgrade')).toMatchObject({ exit_code: 0, stdout: 'downgrade 2 -> 1\n' });
      expect(existsSync(outputs('steps/backup')['path'] as string)).toBe(true);
      await expect(server.run('shop', 'SELECT note FROM orders')).rejects.toThrow('does not exist');
    },
    60_000,
  );
});

describe('O9 F58 the way back where there is none', () => {
  itWithPostgres(
    'O9 F58 R17 is not gone when no dump passes: nothing is touched, the application runs again, and a human has it',
    async () => {
      for (const name of readdirSync(join(folder, 'dumps'))) writeFileSync(join(folder, 'dumps', name), '');
      await server.run('shop', 'DELETE FROM orders WHERE id > 500');
      await fire('PostgresDataLost');
      await approve();
      const { run, error, outputs } = await newest(true);
      expect(run).toMatchObject({ strategy: 'restore', outcome: 'unresolved', cause: 'step_failed' });
      expect(error('steps/restore')).toContain('0 bytes');
      expect(outputs('steps/start')).toMatchObject({ exit_code: 0 });
      expect(await countOrders(server, 'shop')).toBe(500);
      expect((await amends.store.degraded()).map(({ mode }) => mode)).toContain('postgres_unavailable');
      expect(JSON.stringify(await amends.list('inbox'))).not.toContain(server.password);
      expect(JSON.stringify((await amends.store.run(run.id))?.events)).not.toContain(server.password);
    },
    60_000,
  );
});
