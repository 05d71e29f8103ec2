// A started amends beside a real ChromaDB and a real PostgreSQL that lose what they hold.
import { chmodSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect } from '@jest/globals';
import { makeChroma } from '../support/chroma.ts';
import type { ChromaServer } from '../support/chroma.ts';
import { countOrders, itWithPostgres, makeShop, pgDump, pgRestore, startPostgres } from '../support/postgres.ts';
import type { PostgresServer } from '../support/postgres.ts';
import { itWith } from '../support/requires.ts';
import { startedHere, until } from '../support/servers.ts';
import { resolved, startShipped } from '../support/shipped.ts';
import type { Shipped } from '../support/shipped.ts';

const servers = startedHere();
const ends: Array<() => Promise<unknown>> = [];
let folder: string;
let amends: Shipped | null = null;

beforeEach(async () => {
  folder = await servers.folder();
});
afterEach(async () => {
  await amends?.stop();
  amends = null;
  for (const end of ends.splice(0)) await end();
}, 30_000);
afterAll(() => servers.stopAll());

const DOCUMENTS = 600;
const beginChroma = async (): Promise<{ chroma: ChromaServer; amends: Shipped }> => {
  const chroma = await makeChroma(folder);
  ends.push(() => chroma.stop());
  await chroma.start();
  await chroma.fill('docs', DOCUMENTS);
  const supervisor = createServer((request, response) => {
    if (request.url === '/stop') void chroma.stop().then(() => response.end());
    else {
      chroma.launch();
      response.end();
    }
  });
  await new Promise<void>((resolve) => void supervisor.listen(0, '127.0.0.1', resolve));
  ends.push(async () => {
    supervisor.closeAllConnections();
    await new Promise((resolve) => void supervisor.close(resolve));
  });
  const control = join(folder, 'control');
  writeFileSync(
    control,
    `#!${process.execPath}\nfetch('http://127.0.0.1:${(supervisor.address() as AddressInfo).port}/' + process.argv[2]).then((reply) => reply.text());\n`,
  );
  chmodSync(control, 0o755);
  const connect = {
    url: chroma.url,
    collection: 'docs',
    path: chroma.path,
    snapshots: join(folder, 'snapshots'),
    stop: [control, 'stop'],
    start: [control, 'start'],
  };
  amends = await startShipped(servers, {
    kinds: ['chromadb'],
    components: {
      memory: {
        kind: 'chromadb',
        inventory: { static: [{ target: 'docs', connect }] },
        allow: { actions: ['chroma.*', 'command.run', 'degrade.*', 'inbox.*', 'triage.*'] },
      },
    },
    allow: { paths: [folder], hosts: [chroma.host], commands: [control] },
    more: {
      degraded_modes: { chromadb_unavailable: { available: ['talk'], unavailable: ['search'], impact: 'no search' } },
      probes: [
        {
          name: 'chroma_file_docs',
          uses: 'sqlite.check',
          component: 'memory',
          target: 'docs',
          every: '1s',
          with: { path: join(chroma.path, 'chroma.sqlite3') },
        },
      ],
    },
  });
  return { chroma, amends };
};

describe('a ChromaDB and a started amends', () => {
  itWith('chroma')(
    'R2 R7 R8 R10 queries are tried again, the collection is loaded, and its index is built anew',
    async () => {
      const { chroma, amends: run } = await beginChroma();
      await chroma.stop();
      await run.fire('ChromaDBQueryTimeout', 'memory', 'docs');
      await until('the first query has failed', async () =>
        (await run.list('runs')).some(({ strategy, state }) => strategy === 'query_retry' && state === 'running'),
      );
      await chroma.start();
      expect(await run.ended('query_retry')).toMatchObject(resolved('query_retry'));
      await run.fire('ChromaDBCollectionMissing', 'memory', 'docs');
      expect(await run.ended('collection_reload')).toMatchObject(resolved('collection_reload'));
      const rebuilt = await run.ask(0, 'recover', '--component=memory', '--failure-type=index_error', '--wait');
      expect(rebuilt).toMatchObject(resolved('index_rebuild'));
      expect(await chroma.count('docs')).toBe(DOCUMENTS);
    },
    60_000,
  );

  itWith('chroma')(
    'R2 R9 P1 a damaged database is seen by its probe, and goes back to the snapshot once a human says yes',
    async () => {
      const { chroma, amends: run } = await beginChroma();
      const snapshot = ['recover', '--component=memory', '--strategy=snapshot', '--wait'];
      expect(await run.ask(0, ...snapshot)).toMatchObject(resolved('snapshot'));
      await chroma.stop();
      const file = join(chroma.path, 'chroma.sqlite3');
      writeFileSync(file, Buffer.alloc(readFileSync(file).length, 0xa5));
      // What the shipped alert ChromaDBDataCorruption looks at.
      await until('the probe sees it', async () =>
        /amends_probe_output\{probe="chroma_file_docs",[^}]*output="layer_integrity"\} 0/.test(await run.metrics()),
      );
      await run.fire('ChromaDBDataCorruption', 'memory', 'docs');
      expect(await run.approved('snapshot_rollback')).toMatchObject(resolved('snapshot_rollback'));
      expect(await chroma.count('docs')).toBe(DOCUMENTS);
      expect(await run.modes()).toEqual([]);
    },
    60_000,
  );
});

describe('a PostgreSQL and a started amends', () => {
  let server: PostgresServer;
  let retrieval = { vectors: 150_000, breaker: 'closed', p95_ms: 40 };
  const begin = async (): Promise<Shipped> => {
    server = await startPostgres(folder);
    ends.push(() => server.stop());
    await makeShop(server, 'shop');
    const service = createServer((request, response) => {
      if (request.method === 'POST') retrieval = { ...retrieval, vectors: 80_000, p95_ms: 9 };
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(retrieval));
    });
    await new Promise<void>((resolve) => void service.listen(0, '127.0.0.1', resolve));
    ends.push(async () => {
      service.closeAllConnections();
      await new Promise((resolve) => void service.close(resolve));
    });
    const script = join(folder, 'control');
    writeFileSync(
      script,
      `#!${process.execPath}
const load = require('node:module').createRequire(${JSON.stringify(import.meta.url)});
const does = process.argv[2];
if (does === 'current') console.log('2');
if (does === 'down') {
  const client = new (load('pg').Client)({ connectionString: ${JSON.stringify(server.url('shop').replace('shop@', `shop:${server.password}@`))} });
  client.connect().then(() => client.query('ALTER TABLE orders DROP COLUMN IF EXISTS note; UPDATE schema_migrations SET version = 2')).then(() => client.end()).then(() => console.log('downgrade 3 -> 2'));
}
`,
    );
    chmodSync(script, 0o755);
    mkdirSync(join(folder, 'dumps'), { recursive: true });
    const connect = {
      url: server.url('shop'),
      password_file: server.passwordFile,
      backups: join(folder, 'dumps'),
      safety: join(folder, 'safety'),
      pg_dump: pgDump,
      pg_restore: pgRestore,
      service: `http://127.0.0.1:${(service.address() as AddressInfo).port}`,
      stop: [script, 'stop'],
      start: [script, 'start'],
      migration_current: [script, 'current'],
      migration_down: [script, 'down'],
    };
    const probe = (name: string, uses: string, more: object = {}): object => ({
      name,
      uses,
      component: 'shop-pg',
      target: 'shop',
      every: '1s',
      with: more,
    });
    amends = await startShipped(servers, {
      kinds: ['postgres'],
      components: {
        'shop-pg': {
          kind: 'postgres',
          inventory: { static: [{ target: 'shop', connect }] },
          allow: { actions: ['postgres.*', 'http.*', 'command.run', 'inbox.*', 'triage.*'] },
        },
      },
      allow: { paths: [folder], hosts: ['127.0.0.1'], commands: [pgDump, pgRestore, script] },
      more: {
        degraded_modes: { postgres_unavailable: { available: [], unavailable: ['all'], impact: 'none' } },
        probes: [
          probe('shop_backup', 'postgres.check-backup'),
          probe('shop_data', 'postgres.check-data', { tables: { orders: 500 } }),
          probe('postgres_schema_shop', 'postgres.check-schema', { expected: '2' }),
        ],
      },
    });
    return amends;
  };
  /** What the shipped alerts look at. */
  const probed = (run: Shipped, probe: string, output: string, value: number): Promise<unknown> =>
    until(`${probe} says ${output} ${value}`, async () =>
      new RegExp(`amends_probe_output\\{probe="${probe}",[^}]*output="${output}"\\} ${value}\n`).test(
        await run.metrics(),
      ),
    );

  itWithPostgres(
    'O9 P1 a missing backup is made, lost data comes back from it, and a migration is taken back, each seen first by its probe',
    async () => {
      const run = await begin();
      await probed(run, 'shop_backup', 'dump_sound', 0);
      await run.fire('PostgresBackupDue', 'shop-pg', 'shop');
      expect(await run.ended('backup')).toMatchObject(resolved('backup'));
      await probed(run, 'shop_backup', 'dump_sound', 1);
      expect(readdirSync(join(folder, 'dumps'))).toHaveLength(1);

      await server.run('shop', 'DELETE FROM orders WHERE id > 3');
      await probed(run, 'shop_data', 'data_lost', 1);
      await run.fire('PostgresDataLost', 'shop-pg', 'shop');
      expect(await run.approved('restore')).toMatchObject(resolved('restore'));
      expect(await countOrders(server, 'shop')).toBe(1_000);
      await probed(run, 'shop_data', 'data_lost', 0);

      await server.run(
        'shop',
        'ALTER TABLE orders ADD COLUMN note TEXT; CREATE TABLE schema_migrations (version int); INSERT INTO schema_migrations VALUES (3); GRANT ALL ON schema_migrations TO shop',
      );
      await probed(run, 'postgres_schema_shop', 'schema_ahead', 1);
      await run.fire('PostgresMigrationFailed', 'shop-pg', 'shop');
      expect(await run.approved('migration_rollback')).toMatchObject(resolved('migration_rollback'));
      await probed(run, 'postgres_schema_shop', 'schema_matches', 1);
    },
    60_000,
  );

  itWithPostgres(
    'O4 slow retrieval: unused indices are cleared and those of the database built anew',
    async () => {
      const run = await begin();
      await server.run(
        'shop',
        "ALTER TABLE orders RENAME TO playbook_bullets; UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'by_what'::regclass",
      );
      await run.fire('HighRetrievalLatency', 'shop-pg', 'shop');
      expect(await run.ended('high_retrieval_latency')).toMatchObject(resolved('high_retrieval_latency'));
      expect((await server.run('shop', 'SELECT indexrelid FROM pg_index WHERE NOT indisvalid')).rows).toEqual([]);
      expect(retrieval.vectors).toBe(80_000);
    },
    60_000,
  );
});
