// A PostgreSQL without a backup, with a session that blocks the others, an index that is no good, retrieval that is slow,
// rows that are gone, and a migration that failed.
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { changedRules } from './rules.mjs';
import { countOrders, hasPostgres, makeShop, pgDump, pgRestore, startPostgres } from '../test/support/postgres.ts';

const SOURCE = 'operations-runbook';
const ORDERS = 1_000;
/** In place of five minutes, so that nobody has to wait for it. */
const IDLE_MS = 1_000;

export const available = () => (hasPostgres ? null : 'there is no PostgreSQL here (npm run setup:servers brings it)');

export const prepare = async ({ folder, root }) => {
  const server = await startPostgres(folder);
  await makeShop(server, 'shop', ORDERS);
  await server.run(
    'shop',
    'CREATE TABLE schema_migrations (version int); INSERT INTO schema_migrations VALUES (2); ALTER TABLE schema_migrations OWNER TO shop; CREATE TABLE playbook_bullets (id serial, what text); CREATE INDEX by_bullet ON playbook_bullets (what); ALTER TABLE playbook_bullets OWNER TO shop',
  );
  let retrieval = { vectors: 80_000, breaker: 'closed', p95_ms: 9 };
  const service = createServer((request, response) => {
    if (request.method === 'POST') retrieval = { ...retrieval, vectors: 80_000, p95_ms: 9 };
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(retrieval));
  });
  await new Promise((resolve) => service.listen(0, '127.0.0.1', resolve));
  const script = join(folder, 'control');
  const url = server.url('shop').replace('shop@', `shop:${server.password}@`);
  writeFileSync(
    script,
    `#!${process.execPath}
const load = require('node:module').createRequire(${JSON.stringify(import.meta.url)});
const does = process.argv[2];
if (does === 'current') console.log('2');
if (does === 'down') {
  const client = new (load('pg').Client)({ connectionString: ${JSON.stringify(url)} });
  client.connect().then(() => client.query('ALTER TABLE orders DROP COLUMN IF EXISTS note; UPDATE schema_migrations SET version = 2')).then(() => client.end()).then(() => console.log('downgrade 3 -> 2'));
}
`,
  );
  chmodSync(script, 0o755);
  const dumps = join(folder, 'dumps');
  mkdirSync(dumps);
  const files = () => readdirSync(dumps).length;
  const valid = async () =>
    (await server.run('shop', 'SELECT indexrelid FROM pg_index WHERE NOT indisvalid')).rows.length === 0;
  const sessions = [];
  const letGo = async () => {
    for (const session of sessions.splice(0)) await session.end().catch(() => undefined);
  };
  const dump = () => {
    if (files() > 0) return;
    const name = `shop-${new Date().toISOString().replaceAll(/[-:.]/g, '')}.dump`;
    execFileSync(pgDump, ['-Fc', '-f', join(dumps, name), url]);
  };
  const faults = [
    {
      name: 'no backup',
      strategy: 'backup',
      alertname: 'PostgresBackupDue',
      break() {
        rmSync(dumps, { recursive: true });
        mkdirSync(dumps);
      },
      healthy: () => files() === 1,
    },
    {
      name: 'a session that blocks the others',
      strategy: 'release_blockers',
      alertname: 'PostgresBlocked',
      async break() {
        const [blocker, waiter] = [await server.client('shop', 'shop'), await server.client('shop', 'shop')];
        sessions.push(blocker, waiter);
        await blocker.query('BEGIN; LOCK TABLE orders');
        waiter.query('SELECT count(*) FROM orders').catch(() => undefined);
        await pause(IDLE_MS);
      },
      healthy: async () => (await countOrders(server, 'shop')) === ORDERS,
    },
    {
      name: 'an index that is not valid',
      strategy: 'reindex',
      alertname: 'PostgresIndexInvalid',
      break: () => server.run('shop', "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'by_what'::regclass"),
      healthy: valid,
    },
    {
      name: '150,000 vectors',
      strategy: 'high_retrieval_latency',
      alertname: 'HighRetrievalLatency',
      break() {
        retrieval = { vectors: 150_000, breaker: 'closed', p95_ms: 40 };
      },
      healthy: () => retrieval.vectors === 80_000,
    },
    {
      name: 'rows that are gone',
      strategy: 'restore',
      alertname: 'PostgresDataLost',
      asks: true,
      async break() {
        dump();
        await server.run('shop', 'DELETE FROM orders WHERE id > 3');
      },
      healthy: async () => (await countOrders(server, 'shop')) === ORDERS,
    },
    {
      // A restore may have brought its column back: a backup is made before a migration is taken back.
      name: 'a migration that failed',
      strategy: 'migration_rollback',
      alertname: 'PostgresMigrationFailed',
      asks: true,
      break: () =>
        server.run(
          'shop',
          'ALTER TABLE orders ADD COLUMN IF NOT EXISTS note TEXT; UPDATE schema_migrations SET version = 3',
        ),
      healthy: async () => (await server.run('shop', 'SELECT version FROM schema_migrations')).rows[0].version === 2,
    },
  ].map((fault) => ({ target: 'shop', source: SOURCE, figureMs: null, after: letGo, ...fault }));
  const ruleFiles = changedRules({ root, folder }, 'postgres', {
    'postgres-blocked': (params) => void (params.with = { idle_over: `${IDLE_MS}ms` }),
  });
  return {
    ruleFiles,
    component: {
      inventory: {
        static: [
          {
            target: 'shop',
            connect: {
              url: server.url('shop'),
              password_file: server.passwordFile,
              backups: dumps,
              safety: join(folder, 'safety'),
              pg_dump: pgDump,
              pg_restore: pgRestore,
              service: `http://127.0.0.1:${service.address().port}`,
              stop: [script, 'stop'],
              start: [script, 'start'],
              migration_current: [script, 'current'],
              migration_down: [script, 'down'],
            },
          },
        ],
      },
      allow: { actions: ['postgres.*', 'http.*', 'command.run', 'inbox.*', 'triage.*', 'degrade.*'] },
    },
    allow: {
      paths: [folder],
      hosts: [server.host, `127.0.0.1:${service.address().port}`],
      commands: [pgDump, pgRestore, script],
    },
    degradedModes: {
      postgres_unavailable: { available: ['cached pages'], unavailable: ['ordering'], impact: 'no orders' },
    },
    faults,
    async close() {
      await letGo();
      service.closeAllConnections();
      await new Promise((resolve) => service.close(resolve));
      await server.stop();
    },
  };
};
